use std::cell::Cell;

use super::{BYTE_UNIT, Bucket, Limit, Limits};

/// What a connection has used of its limits.
#[derive(Debug)]
pub(crate) struct Meter {
    exempt: bool,
    buckets: [Cell<Bucket>; Limit::OF_CONNECTION],
}

impl Meter {
    /// Nothing is used yet.
    pub(super) fn new(limits: &Limits) -> Self {
        let now = limits.now();
        let full = |place: usize| Cell::new(Bucket::full(&limits.rates[place], now));
        Self { exempt: false, buckets: std::array::from_fn(full) }
    }

    /// Nothing is ever counted.
    pub(crate) fn exempt() -> Self {
        Self { exempt: true, buckets: Default::default() }
    }

    /// Whether the connection is not limited, and its user and channels are not on its behalf.
    pub(crate) const fn is_exempt(&self) -> bool {
        self.exempt
    }

    /// Takes from one of the connection's own limits; false if as much is not there.
    pub(crate) fn take(&self, limits: &Limits, limit: Limit, amount: u32) -> bool {
        if self.exempt {
            return true;
        }
        let Some(cell) = self.buckets.get(limit as usize) else { return true };
        let mut bucket = cell.get();
        let took = bucket.take(&limits.rate(limit), amount, limits.now());
        cell.set(bucket);
        limits.note(limit, took)
    }

    /// Takes bytes that were read.
    pub(crate) fn take_bytes(&self, limits: &Limits, bytes: usize) -> bool {
        let units = u32::try_from(bytes.div_ceil(BYTE_UNIT)).unwrap_or(u32::MAX);
        self.take(limits, Limit::ConnectionBytes, units)
    }
}
