//! What a command or reply is made of while it is read, and the rules for what may be in it; the same in both formats.

use crate::{Command, DecodeError, ErrorReply, Outcome, Push, PushEvent, Reply, Request, SendRequest};

/// A command while it is read.
#[derive(Default)]
pub(super) struct CommandDraft {
    pub(super) id: u32,
    body: Option<CommandBody>,
}

pub(super) enum CommandBody {
    Request(Request),
    Send(SendRequest),
    /// A request that nobody answers any more.
    Ping,
}

impl CommandDraft {
    pub(super) fn fill(&mut self, body: CommandBody) -> Result<(), DecodeError> {
        fill(&mut self.body, body, self.id)
    }

    /// Without an id only `send` means something: whatever else is there, the command counts as a pong.
    pub(super) fn finish(self) -> Result<Command, DecodeError> {
        match (self.id, self.body) {
            (_, Some(CommandBody::Send(message))) => Ok(Command::Send(message)),
            (0, _) => Ok(Command::Pong),
            (id, Some(CommandBody::Request(request))) => Ok(Command::Request { id, request }),
            (id, Some(CommandBody::Ping) | None) => Err(DecodeError::NoBody { id }),
        }
    }
}

/// A reply while it is read.
#[derive(Default)]
pub(super) struct ReplyDraft {
    pub(super) id: u32,
    outcome: Option<Result<Outcome, ErrorReply>>,
    pub(super) push: Option<PushDraft>,
}

impl ReplyDraft {
    pub(super) fn fill(&mut self, outcome: Result<Outcome, ErrorReply>) -> Result<(), DecodeError> {
        fill(&mut self.outcome, outcome, self.id)
    }

    /// None for a push of a kind that is not known here.
    pub(super) fn finish(self) -> Result<Option<Reply>, DecodeError> {
        match (self.id, self.outcome, self.push) {
            (0, _, Some(push)) => Ok(push.finish().map(Reply::Push)),
            (0, _, None) => Ok(Some(Reply::Ping)),
            (id, Some(outcome), _) => Ok(Some(Reply::Answer { id, outcome })),
            (id, None, _) => Err(DecodeError::NoBody { id }),
        }
    }
}

/// A push while it is read.
#[derive(Default)]
pub(super) struct PushDraft {
    channel: String,
    event: Option<PushEvent>,
}

impl PushDraft {
    /// Sets the channel, in a buffer that was used before.
    pub(super) fn name(&mut self, channel: &str, spare: &mut String) {
        if self.channel.capacity() == 0 {
            self.channel = std::mem::take(spare);
        }
        self.channel.clear();
        self.channel.push_str(channel);
    }

    pub(super) fn fill(&mut self, event: PushEvent) -> Result<(), DecodeError> {
        fill(&mut self.event, event, 0)
    }

    fn finish(self) -> Option<Push> {
        Some(Push { channel: self.channel, event: self.event? })
    }
}

fn fill<T>(place: &mut Option<T>, body: T, id: u32) -> Result<(), DecodeError> {
    if place.is_some() {
        return Err(DecodeError::SeveralBodies { id });
    }
    *place = Some(body);
    Ok(())
}
