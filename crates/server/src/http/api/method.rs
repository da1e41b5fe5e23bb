use throng_protocol::api::ApiRequest;

/// What can be asked of the API: the last part of the path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Method {
    /// Its place among all methods.
    place: usize,
    name: &'static str,
}

impl Method {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        ApiRequest::methods().enumerate().map(|(place, name)| Self { place, name })
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().find(|method| method.name == name)
    }

    pub(super) const fn name(self) -> &'static str {
        self.name
    }
}

/// What a path leads to, as far as it is the API's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Target {
    Method(Method),
    /// Commands line by line, as libraries of old send them.
    Pipeline,
    Nothing,
}

impl Target {
    /// All, each at its own place.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::Nothing, Self::Pipeline].into_iter().chain(Method::all().map(Self::Method))
    }

    /// A number of its own, for counting.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Pipeline => 1,
            Self::Method(method) => 2 + method.place,
        }
    }

    /// Its name, as a label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Pipeline => "pipeline",
            Self::Method(method) => method.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stand_in_the_list_at_their_own_place() {
        for (place, target) in Target::all().enumerate() {
            assert_eq!(target.place(), place, "{}", target.label());
        }
    }
}
