use std::collections::BTreeMap;

use futures_util::{Stream, stream};
use throng_protocol::{
    ClientInfo, Format, HistoryRequest, Outcome, Payload, PresenceRequest, PresenceStatsRequest, Publication,
    PublishRequest, Request, RpcRequest, SendRequest, StreamPosition,
};
use tokio::sync::oneshot;

use super::Client;
use crate::{RequestError, state::RequestOrder};

/// Which publications of the past to get; see [`Client::history`]. The default is all that the server gives at once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HistoryQuery {
    /// Most publications: 0 asks for the position alone. None: as many as the server gives at once (throng: 300).
    pub limit: Option<u32>,
    /// Only those after this place; with `reverse`, before it. An empty epoch fits any stream.
    /// Default: from the oldest on that is kept, or with `reverse` from the newest.
    pub since: Option<StreamPosition>,
    /// Newest first. Default oldest first.
    pub reverse: bool,
}

/// What was published to a channel in the past.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    /// The publications, in the order that was asked for.
    pub publications: Vec<Publication>,
    /// Where the stream stands: the place of its newest publication, whether it is among these or not.
    pub position: StreamPosition,
}

/// Publications of a page when the query does not say.
const HISTORY_PAGE: u32 = 100;

/// How many are in a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PresenceStats {
    /// Connections.
    pub clients: u32,
    /// Different users among them; all anonymous ones count as one.
    pub users: u32,
}

/// What the requests have in common: several may be under way at once, they share frames, and the server sees them in
/// the order in which they were first polled. Without a connection each waits for one, and then for its answer, at most
/// for the command timeout each time.
impl Client {
    /// Publishes to a channel and returns when the server has acknowledged it.
    ///
    /// On a JSON connection the payload has to be JSON text. Several calls may be under way at once: they share frames,
    /// and the server sees them in the order in which they were first polled. Without a connection it waits for one, at
    /// most for the command timeout. Not cancel safe: a dropped call may or may not have been carried out.
    ///
    /// # Errors
    ///
    /// [`RequestError`] tells whether it was refused, was never sent, or may have been carried out.
    pub async fn publish(&self, channel: &str, payload: impl Into<Payload>) -> Result<(), RequestError> {
        if channel.is_empty() {
            return Err(RequestError::EmptyChannel);
        }
        let data = payload.into();
        if self.inner.format == Format::Json && !data.is_json() {
            return Err(RequestError::NotJson);
        }
        let request = PublishRequest { channel: channel.to_owned(), data, ..PublishRequest::default() };
        self.request(Request::Publish(request)).await.map(drop)
    }

    /// Asks for what was published to a channel.
    ///
    /// ```no_run
    /// # async fn example(client: throng_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use throng_client::HistoryQuery;
    ///
    /// let newest = HistoryQuery { limit: Some(1), reverse: true, ..HistoryQuery::default() };
    /// let history = client.history("news", newest).await?;
    /// println!("{:?}, at {:?}", history.publications, history.position);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RequestError`]. Refused with 108 when the channel has no history, and with 112 when `since` is a place in
    /// another stream.
    pub async fn history(&self, channel: &str, query: HistoryQuery) -> Result<History, RequestError> {
        let HistoryQuery { limit, since, reverse } = query;
        let limit = limit.map_or(-1, |limit| i32::try_from(limit).unwrap_or(i32::MAX));
        let channel = named(channel)?;
        match self.request(Request::History(HistoryRequest { channel, limit, since, reverse })).await? {
            Outcome::History(result) => {
                let position = StreamPosition { offset: result.offset, epoch: result.epoch };
                Ok(History { publications: result.publications, position })
            }
            other => Err(wrong("history", &other)),
        }
    }

    /// Reads the past of a channel page by page, until the present: a stream of pages with
    /// [`limit`](HistoryQuery::limit) publications at most (default 100, at least 1), each asked for when the stream is
    /// polled for it. There is always one page, which may be empty. The stream ends after its first error.
    ///
    /// What the server throws away while this reads is missing between two pages: then the offsets do not follow on
    /// each other.
    ///
    /// ```no_run
    /// # async fn example(client: throng_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::TryStreamExt as _;
    /// use throng_client::HistoryQuery;
    ///
    /// let mut pages = client.history_pages("news", HistoryQuery::default());
    /// while let Some(page) = pages.try_next().await? {
    ///     println!("{} of those up to {}", page.publications.len(), page.position.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn history_pages<'a>(
        &'a self,
        channel: &'a str,
        query: HistoryQuery,
    ) -> impl Stream<Item = Result<History, RequestError>> + Send + Unpin + use<'a> {
        let limit = query.limit.unwrap_or(HISTORY_PAGE).max(1);
        let first = HistoryQuery { limit: Some(limit), ..query };
        Box::pin(stream::unfold(Some(first), async move |query| {
            let query = query?;
            let page = self.history(channel, query.clone()).await;
            let next = page.as_ref().ok().and_then(|page| next_page(query, page));
            Some((page, next))
        }))
    }

    /// Asks who is in a channel: the clients by their connections' ids.
    ///
    /// # Errors
    ///
    /// [`RequestError`]. Refused with 108 when the channel has no presence.
    pub async fn presence(&self, channel: &str) -> Result<BTreeMap<String, ClientInfo>, RequestError> {
        let channel = named(channel)?;
        match self.request(Request::Presence(PresenceRequest { channel })).await? {
            Outcome::Presence(result) => Ok(result.presence),
            other => Err(wrong("presence", &other)),
        }
    }

    /// Asks how many are in a channel.
    ///
    /// # Errors
    ///
    /// [`RequestError`]. Refused with 108 when the channel has no presence.
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStats, RequestError> {
        let channel = named(channel)?;
        match self.request(Request::PresenceStats(PresenceStatsRequest { channel })).await? {
            Outcome::PresenceStats(result) => {
                Ok(PresenceStats { clients: result.num_clients, users: result.num_users })
            }
            other => Err(wrong("presence_stats", &other)),
        }
    }

    /// Calls a method of the application behind the server, and returns what it answers. On a JSON connection the data
    /// has to be JSON text, or empty for none. Not cancel safe: a dropped call may or may not have been carried out.
    ///
    /// # Errors
    ///
    /// [`RequestError`]. Refused with 104 or 108 when there is no such method, and with the application's own codes.
    pub async fn rpc(&self, method: &str, data: impl Into<Payload>) -> Result<Payload, RequestError> {
        let data = self.optional(data.into())?;
        match self.request(Request::Rpc(RpcRequest { data, method: method.to_owned() })).await? {
            Outcome::Rpc(result) => Ok(result.data),
            other => Err(wrong("rpc", &other)),
        }
    }

    /// Sends a message to the application behind the server, which does not answer; returns once it is on its way.
    /// A server without an application for it ends the connection with 3508. On a JSON connection the data has to be
    /// JSON text, or empty for none. Cancel safe as long as it waits for a connection: then nothing is sent.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; nothing was sent then.
    pub async fn send(&self, data: impl Into<Payload>) -> Result<(), RequestError> {
        let message = SendRequest { data: self.optional(data.into())? };
        let (sent, done) = oneshot::channel();
        self.order(RequestOrder::Send { message, sent }, done).await
    }

    async fn request(&self, request: Request) -> Result<Outcome, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.order(RequestOrder::Request { request, answer }, answered).await
    }

    async fn order<T>(
        &self,
        order: RequestOrder,
        done: oneshot::Receiver<Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let queued = self.inner.requests.push(order).await?;
        // An error means that the task is gone with the request in its hands.
        let outcome = done.await.unwrap_or_else(|_| Err(RequestError::Stopped(self.stop_reason())));
        queued.over();
        outcome
    }

    /// Data that may be left out.
    fn optional(&self, data: Payload) -> Result<Payload, RequestError> {
        if self.inner.format == Format::Json && !data.is_empty() && !data.is_json() {
            return Err(RequestError::NotJson);
        }
        Ok(data)
    }
}

/// What to ask for after this page; none when it was the last.
fn next_page(query: HistoryQuery, page: &History) -> Option<HistoryQuery> {
    let last = page.publications.last()?.offset;
    let more = if query.reverse { last > 1 } else { last < page.position.offset };
    let since = StreamPosition { offset: last, epoch: page.position.epoch.clone() };
    more.then_some(HistoryQuery { since: Some(since), ..query })
}

fn named(channel: &str) -> Result<String, RequestError> {
    if channel.is_empty() { Err(RequestError::EmptyChannel) } else { Ok(channel.to_owned()) }
}

const fn wrong(asked: &'static str, answered: &Outcome) -> RequestError {
    RequestError::WrongAnswer { asked, answered: answered.name() }
}
