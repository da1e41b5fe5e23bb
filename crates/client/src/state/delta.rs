use throng_protocol::{Format, Payload, Publication, fossil};

/// Turns the patches of a subscription with delta compression back into payloads: each is against the payload before.
#[derive(Debug)]
pub(crate) struct DeltaChain {
    format: Format,
    max_bytes: usize,
    wanted: bool,
    /// The server has agreed: from then on every payload is packed.
    on: bool,
    /// The payload before, in a buffer of its own.
    base: Option<Payload>,
}

/// Why a payload cannot be had: the server has to begin anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeltaFault {
    #[error("a patch without a payload that it is against")]
    NoBase,
    #[error("a payload that is no JSON string")]
    NotQuoted,
    #[error(transparent)]
    Patch(#[from] fossil::PatchError),
}

impl DeltaChain {
    /// `max_bytes` bounds what a patch may grow to.
    pub(crate) const fn new(wanted: bool, format: Format, max_bytes: usize) -> Self {
        Self { format, max_bytes, wanted, on: false, base: None }
    }

    pub(crate) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// A subscription begins. If it goes on where the one before ended, the next patch may be against what came last there.
    pub(crate) fn start(&mut self, on: bool, continued: bool) {
        self.on = on;
        if !(on && continued) {
            self.base = None;
        }
    }

    /// Puts the whole payload into a publication.
    ///
    /// # Errors
    ///
    /// It cannot be had. Patches are not wanted any more then, because the next chain could break in the same way.
    pub(crate) fn resolve(&mut self, publication: &mut Publication) -> Result<(), DeltaFault> {
        let resolved = self.unpacked(publication);
        if resolved.is_err() {
            self.wanted = false;
            self.base = None;
        }
        if let Some(whole) = resolved? {
            publication.data = whole.clone();
            publication.delta = false;
            self.base = Some(whole);
        }
        Ok(())
    }

    /// The whole payload; none where nothing is packed.
    fn unpacked(&self, publication: &Publication) -> Result<Option<Payload>, DeltaFault> {
        if !self.on && publication.delta {
            return Err(DeltaFault::NoBase);
        }
        if !self.on || publication.data.is_empty() {
            return Ok(None);
        }
        let sent = match self.format {
            Format::Json => publication.data.unquoted().ok_or(DeltaFault::NotQuoted)?,
            Format::Protobuf => publication.data.clone(),
        };
        if publication.delta {
            let base = self.base.as_ref().ok_or(DeltaFault::NoBase)?;
            return Ok(Some(fossil::apply(base.as_bytes(), sent.as_bytes(), self.max_bytes)?.into()));
        }
        // It stays here until the next one comes, and must not keep a frame.
        Ok(Some(if self.format == Format::Json { sent } else { sent.detached() }))
    }
}
