use throng_client::{Client, State, StateWatch};

use crate::{
    failure::{Failure, chain},
    output::Output,
    show::Line,
};

/// Follows the connection, and says when it is lost and when it is back.
pub(crate) struct Watch {
    states: StateWatch,
    lost: bool,
}

impl Watch {
    /// From the present state on.
    pub(crate) fn new(client: &Client) -> Self {
        let mut states = client.watch();
        states.current();
        Self { states, lost: false }
    }

    /// Waits for another state. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Option<State> {
        self.states.changed().await
    }

    pub(crate) fn tell(&mut self, state: Option<State>, output: &mut Output) -> Result<(), Failure> {
        match state {
            Some(State::Connecting { last: Some(reason), .. }) if !self.lost => {
                self.lost = true;
                output.warn(&format!("connection lost, trying again: {}", chain(&reason)));
                let reason = Some(chain(&reason));
                tell(output, &Line { reason, ..Line::new("disconnected", None) })
            }
            Some(State::Connected { .. }) if self.lost => {
                self.lost = false;
                output.warn("connection is back");
                announce(output, "connected", None)
            }
            Some(State::Disconnected(reason)) => Err(Failure::disconnect(&reason)),
            None => Err(Failure::other("the client has ended")),
            Some(_) => Ok(()),
        }
    }
}

/// Something without details that only programs are told.
pub(crate) fn announce(
    output: &mut Output,
    event: &'static str,
    channel: Option<&str>,
) -> Result<(), Failure> {
    tell(output, &Line::new(event, channel))
}

/// Something that only programs are told.
pub(crate) fn tell(output: &mut Output, line: &Line<'_>) -> Result<(), Failure> {
    if output.is_json() { output.object(line) } else { Ok(()) }
}
