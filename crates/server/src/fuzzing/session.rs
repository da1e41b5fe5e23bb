use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throng_protocol::{ChannelName, Command, ConnectRequest, Format, Limits};
use throng_registry::ClientId;

use crate::config::{ChannelOptions, Namespace, Settings};
use crate::handlers::{HandlerSet, Handlers};
use crate::node::Namespaces;
use crate::session::{Decision, Grant, PingStyle, Plan, Rules, Session, Subscriptions};

/// The namespace in which nobody may do anything.
const CLOSED: &str = "closed:";
const USER: &str = "42";

/// The channels that a session thinks its client is subscribed to.
#[derive(Default)]
struct Channels(BTreeSet<String>);

impl Subscriptions for Channels {
    fn contains(&self, channel: &ChannelName) -> bool {
        self.0.contains(channel.as_str())
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

/// Whatever the commands of a client are, nothing is granted that is not allowed, and nothing before it is let in. The input is a
/// byte that chooses the settings, and a frame of commands.
pub fn session(bytes: &[u8]) -> usize {
    let Some((&choice, frame)) = bytes.split_first() else { return 0 };
    let format = if choice & 1 == 0 { Format::Json } else { Format::Protobuf };
    let settings = settings(choice);
    let handlers = Handlers::new(HandlerSet::default(), 1, Duration::ZERO, None);
    let rules = Rules::new(&settings, Arc::new(Namespaces::new(&settings)), &handlers);
    let named = (choice & 2 != 0).then(|| USER.into());
    let user = if named.is_some() { USER } else { "" };
    let mut session =
        Session::new(ClientId::from_u128(1), format, PingStyle::Application, Arc::new(rules), named);
    let mut run = Run { settings: &settings, user, channels: Channels::default(), granted: 0 };
    for command in format.decode_commands(Bytes::copy_from_slice(frame), &Limits::default()) {
        let Ok(command) = command else { break };
        if !run.step(&mut session, command) {
            break;
        }
    }
    run.granted
}

fn settings(choice: u8) -> Settings {
    let mut settings = Settings::default();
    if choice & 4 != 0 {
        settings.client.token.hmac_secret_key = "a secret that nobody can guess so soon".into();
    }
    settings.client.channel_limit = if choice & 8 == 0 { 128 } else { 2 };
    settings.channel.without_namespace = Some(ChannelOptions::open());
    let name = CLOSED.trim_end_matches(':').into();
    settings.channel.namespaces.push(Namespace { name, options: ChannelOptions::default() });
    settings
}

/// One client's course.
struct Run<'a> {
    settings: &'a Settings,
    user: &'a str,
    channels: Channels,
    granted: usize,
}

impl Run<'_> {
    /// Carries out one command; false if the connection ends.
    fn step(&mut self, session: &mut Session, command: Command) -> bool {
        let shown = format!("{command:?}");
        let is_open = session.identity().is_some();
        let decision = session.handle(command, &self.channels);
        let needs_open = match &decision {
            Decision::Close(_) => return false,
            Decision::Reply(_)
            | Decision::Authenticate { .. }
            | Decision::Verify { .. }
            | Decision::Open(_) => false,
            Decision::Subscribe { .. }
            | Decision::Consent { .. }
            | Decision::Refresh { .. }
            | Decision::SubRefresh { .. }
            | Decision::Unsubscribe { .. }
            | Decision::Publish { .. }
            | Decision::Presence { .. }
            | Decision::PresenceStats { .. }
            | Decision::History { .. }
            | Decision::Rpc { .. }
            | Decision::Message(_)
            | Decision::Pong => true,
        };
        assert!(is_open || !needs_open, "{decision:?} before the client was let in, for {shown}");
        self.granted += usize::from(needs_open);
        self.carry_out(session, decision, &shown)
    }

    fn carry_out(&mut self, session: &mut Session, decision: Decision, shown: &str) -> bool {
        match decision {
            Decision::Close(_) => return false,
            Decision::Authenticate { id, request } | Decision::Verify { id, request } => {
                return self.let_in(session, id, &request);
            }
            Decision::Open(welcome) => welcome.plans.iter().for_each(|plan| self.subscribe(plan, shown)),
            Decision::Subscribe { plan, .. } => {
                assert!(
                    !plan.channel.as_str().starts_with('$'),
                    "a private channel without a token: {shown}"
                );
                self.subscribe(&plan, shown);
            }
            Decision::Unsubscribe { channel, .. } => {
                if let Some(channel) = channel {
                    self.channels.0.remove(channel.as_str());
                }
            }
            Decision::Publish { channel, publication, .. } => {
                self.may_use(&channel, shown);
                assert!(
                    publication.data.is_json() || !publication.data.is_empty(),
                    "nothing was published: {shown}"
                );
            }
            Decision::Presence { channel, .. } | Decision::PresenceStats { channel, .. } => {
                self.may_use(&channel, shown)
            }
            Decision::History { channel, query, .. } => {
                self.may_use(&channel, shown);
                let most = self.settings.client.history_max_publication_limit;
                assert!(query.limit.is_some_and(|limit| limit <= most), "a history without bound: {shown}");
            }
            Decision::SubRefresh { channel, .. } => {
                assert!(self.channels.contains(&channel), "a refresh of no subscription: {shown}");
            }
            Decision::Reply(_)
            | Decision::Consent { .. }
            | Decision::Refresh { .. }
            | Decision::Rpc { .. }
            | Decision::Message(_)
            | Decision::Pong => {}
        }
        true
    }

    /// Lets the client in as its token may have said.
    fn let_in(&mut self, session: &mut Session, id: u32, request: &ConnectRequest) -> bool {
        self.user = USER;
        let grant = Grant { user: USER.to_owned(), ..Grant::default() };
        match session.admit(id, request, grant) {
            Ok(welcome) => {
                assert!(welcome.plans.is_empty(), "subscriptions that were not granted");
                true
            }
            Err(_) => false,
        }
    }

    fn subscribe(&mut self, plan: &Plan, shown: &str) {
        let channel = &plan.channel;
        self.may_use(channel, shown);
        assert!(self.channels.count() < self.settings.client.channel_limit, "one channel too many: {shown}");
        assert!(self.channels.0.insert(channel.as_str().to_owned()), "subscribed twice: {shown}");
    }

    /// Nobody may use a closed channel, and one that is limited to users only they.
    fn may_use(&self, channel: &ChannelName, shown: &str) {
        let name = channel.as_str();
        assert!(!name.trim_start_matches('$').starts_with(CLOSED), "a closed channel: {shown}");
        if let Some((_, users)) = name.rsplit_once('#') {
            let is_member = !self.user.is_empty() && users.split(',').any(|user| user == self.user);
            assert!(is_member, "a channel of other users: {shown}");
        }
    }
}
