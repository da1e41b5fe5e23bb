use std::sync::Arc;

use throng_protocol::{Publication, StreamPosition, SubscribeResult};

use super::delta::{DeltaChain, DeltaFault};
use crate::Event;

/// How far one channel was read, over one subscription of it after another.
///
/// Decides what a reader gets: each publication of the stream once and in order, and [`Event::Gap`] where some are
/// missing. Without a place (the server keeps no stream, or has not told where it stands) everything passes.
#[derive(Debug)]
pub(crate) struct Track {
    /// Where the reader stands, once everything that was told has been read.
    place: Option<Place>,
    /// The server has declared void what this client remembers: the place is of no use but to tell what is missing.
    void: bool,
    /// Offsets are skipped on purpose, because a filter is on.
    filtered: bool,
    chain: DeltaChain,
}

/// A place in a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// Shared by all places of one stream.
    pub(crate) epoch: Arc<str>,
    /// The server lets this client recover from here.
    pub(crate) recoverable: bool,
}

/// An event, and where its reader stands when it has it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    pub(crate) place: Option<Place>,
}

impl Track {
    /// `since`: where to begin, if not at the present.
    pub(crate) fn new(since: Option<&StreamPosition>, filtered: bool, chain: DeltaChain) -> Self {
        let place = since.map(|since| Place {
            offset: since.offset,
            epoch: since.epoch.as_str().into(),
            recoverable: true,
        });
        Self { place, void: false, filtered, chain }
    }

    /// What to ask for, so that nothing is missed; none when nothing can be recovered.
    pub(crate) fn recovery(&self) -> Option<StreamPosition> {
        let place = self.place.as_ref().filter(|place| place.recoverable)?;
        // No stream has this epoch, so the server says where the stream stands now.
        let nowhere = || StreamPosition { offset: 0, epoch: "_".to_owned() };
        Some(if self.void { nowhere() } else { place.position() })
    }

    /// Patches are not to be asked for, because they did not fit.
    pub(crate) const fn wants_delta(&self) -> bool {
        self.chain.is_wanted()
    }

    /// What this client remembers is void, says the server.
    pub(crate) const fn forget(&mut self) {
        self.void = true;
    }

    /// The server has confirmed the subscription. Tells [`Event::Subscribed`], then what is missing, then what the
    /// server gave back.
    ///
    /// # Errors
    ///
    /// A patch that does not fit; then the publications from that one on are not taken in.
    pub(crate) fn confirmed(
        &mut self,
        result: SubscribeResult,
        mut tell: impl FnMut(Told),
    ) -> Result<(), DeltaFault> {
        let before = self.place.take();
        let start = start_of(&result);
        let continued = before.as_ref().zip(start.as_ref()).is_some_and(|(before, start)| {
            let same = before.epoch.is_empty() || before.epoch == start.epoch;
            same && !self.void && (result.recovered || before.offset == result.offset)
        });
        self.void = false;
        self.chain.start(result.delta, continued);
        // Until a gap is told, the reader stands where it stood.
        self.place = start.clone().map(|start| match &before {
            Some(before) => Place { recoverable: start.recoverable, ..before.clone() },
            None => start,
        });
        tell(self.other(Event::Subscribed));
        if let (Some(place), Some(start), true) = (&mut self.place, &start, continued) {
            place.epoch = Arc::clone(&start.epoch);
        } else if let Some(before) = before {
            self.place = start;
            self.tell_gap(&before, &mut tell);
        }
        for publication in result.publications {
            self.publication(publication, &mut tell)?;
        }
        if let (Some(place), true) = (&mut self.place, self.filtered) {
            // What lies between is of no interest, and need not be looked through again.
            place.offset = place.offset.max(result.offset);
        }
        Ok(())
    }

    /// A publication has arrived: tells it, unless the reader has it already, and before it what is missing.
    ///
    /// # Errors
    ///
    /// It is a patch that does not fit; then nothing has changed.
    pub(crate) fn publication(
        &mut self,
        mut publication: Publication,
        mut tell: impl FnMut(Told),
    ) -> Result<(), DeltaFault> {
        let step = self.step(&publication);
        if step == Step::Repeated {
            return Ok(());
        }
        self.chain.resolve(&mut publication)?;
        self.advance(step, &publication, &mut tell);
        tell(Told { event: Event::Publication(publication), place: self.place.clone() });
        Ok(())
    }

    /// Something else has happened, which does not move the reader.
    pub(crate) fn other(&self, event: Event) -> Told {
        Told { event, place: self.place.clone() }
    }

    fn step(&self, publication: &Publication) -> Step {
        let (Some(place), 1..) = (&self.place, publication.offset) else { return Step::Apart };
        let known = !publication.epoch.is_empty() && !place.epoch.is_empty();
        if known && *publication.epoch != *place.epoch {
            Step::OtherStream
        } else if publication.offset <= place.offset {
            Step::Repeated
        } else if publication.offset - 1 > place.offset && !self.filtered {
            Step::Jump
        } else {
            Step::Next
        }
    }

    /// Moves the place to a publication, and tells what is missing before it.
    fn advance(&mut self, step: Step, publication: &Publication, mut tell: impl FnMut(Told)) {
        let Some(place) = &mut self.place else { return };
        if matches!(step, Step::Jump | Step::OtherStream) {
            let before = place.clone();
            place.offset = publication.offset - 1;
            if step == Step::OtherStream {
                place.epoch = publication.epoch.as_str().into();
            }
            self.tell_gap(&before, &mut tell);
        }
        let Some(place) = &mut self.place else { return };
        match step {
            Step::Next | Step::Jump | Step::OtherStream => {
                place.offset = publication.offset;
                if place.epoch.is_empty() {
                    place.epoch = publication.epoch.as_str().into();
                }
            }
            Step::Apart | Step::Repeated => {}
        }
    }

    fn tell_gap(&self, before: &Place, tell: &mut impl FnMut(Told)) {
        let current = self.place.as_ref().map(Place::position);
        tell(self.other(Event::Gap { since: before.position(), current }));
    }
}

/// How a publication follows on what was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// It is in no stream, or in one whose place is not known.
    Apart,
    /// The reader has it.
    Repeated,
    /// It is the next one, as far as one can know.
    Next,
    /// Some are missing before it.
    Jump,
    /// It belongs to a stream that has replaced the one that was read.
    OtherStream,
}

/// Where reading starts that does not go on from anywhere: right before what the server gives back, or else where the
/// stream stands. None when the server does not tell.
fn start_of(result: &SubscribeResult) -> Option<Place> {
    let first = result.publications.iter().map(|publication| publication.offset).find(|offset| *offset > 0);
    (result.recoverable || result.positioned).then(|| Place {
        offset: first.map_or(result.offset, |first| first - 1),
        epoch: result.epoch.as_str().into(),
        recoverable: result.recoverable,
    })
}

impl Place {
    pub(crate) fn position(&self) -> StreamPosition {
        StreamPosition { offset: self.offset, epoch: self.epoch.as_ref().to_owned() }
    }
}
