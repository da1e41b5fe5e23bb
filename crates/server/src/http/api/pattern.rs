/// Which channels are meant: `*` stands for any characters, `?` for one, everything else for itself. The empty pattern means
/// all.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Box<[u8]>);

impl Pattern {
    /// Longest pattern, in bytes: twice the longest channel name, so that every character may have its star.
    const MAX_BYTES: usize = 512;

    /// `None` for a pattern that is too long.
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        (pattern.len() <= Self::MAX_BYTES).then(|| Self(pattern.as_bytes().into()))
    }

    /// Takes at most as many steps as the lengths of both multiplied.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (&self.0, name.as_bytes());
        let (mut at, mut read) = (0, 0);
        // Behind the last star, and how much of the name it has taken: if what follows does not fit, the star takes one more.
        let mut star = None;
        while read < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, read));
                }
                Some(byte) if *byte == b'?' || *byte == name[read] => {
                    at += 1;
                    read += 1;
                }
                Some(_) | None => {
                    let Some((behind, taken)) = star else { return pattern.is_empty() };
                    at = behind;
                    read = taken + 1;
                    star = Some((behind, read));
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        for (pattern, name) in [
            ("", "anything:at.all"),
            ("*", "news"),
            ("news", "news"),
            ("news:*", "news:"),
            ("news:*", "news:a:b"),
            ("*:b", "a:b:b"),
            ("n?ws", "news"),
            ("*a*b*", "xaybz"),
            ("a*?", "ab"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("news", "newsx"),
            ("news", "xnews"),
            ("News", "news"),
            ("n?ws", "nws"),
            ("*:b", "a:bc"),
            ("a*?", "a"),
            ("news:*", "new"),
            ("[a]", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_full_of_stars_ends_in_time() {
        let pattern = "a*".repeat(255) + "b";
        assert!(!matches(&pattern, &"a".repeat(255)));
        assert!(Pattern::new(&"*".repeat(513)).is_none());
    }
}
