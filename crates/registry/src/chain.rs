use slab::Slab;

/// Doubly linked lists through the entries of a slab: an entry leaves from anywhere in a list without the others being touched.
///
/// An entry has one [`Link`] for each kind of list that it may be in.
pub(crate) trait Linked<K> {
    /// The entry's link in lists of this kind.
    fn link(&mut self, kind: K) -> &mut Link;
}

/// An entry's neighbours in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    before: u32,
    after: u32,
}

const NONE: u32 = u32::MAX;

impl Default for Link {
    fn default() -> Self {
        Self { before: NONE, after: NONE }
    }
}

impl Link {
    /// The entry that follows.
    pub(crate) fn after(self) -> Option<u32> {
        (self.after != NONE).then_some(self.after)
    }
}

/// Where a list begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Chain {
    pub(crate) fn first(self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(crate) fn last(self) -> Option<u32> {
        (self.last != NONE).then_some(self.last)
    }

    /// Adds an entry at the end.
    pub(crate) fn append<K: Copy, T: Linked<K>>(&mut self, entries: &mut Slab<T>, kind: K, entry: u32) {
        *entries[entry as usize].link(kind) = Link { before: self.last, after: NONE };
        match self.last() {
            Some(last) => entries[last as usize].link(kind).after = entry,
            None => self.first = entry,
        }
        self.last = entry;
    }

    /// Takes an entry of this list out of it.
    pub(crate) fn unlink<K: Copy, T: Linked<K>>(&mut self, entries: &mut Slab<T>, kind: K, entry: u32) {
        let Link { before, after } = std::mem::take(entries[entry as usize].link(kind));
        match before {
            NONE => self.first = after,
            before => entries[before as usize].link(kind).after = after,
        }
        match after {
            NONE => self.last = before,
            after => entries[after as usize].link(kind).before = before,
        }
    }
}
