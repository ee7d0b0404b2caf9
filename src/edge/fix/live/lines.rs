//! Bytes as they come, cut into lines. What has no end within the limit is dropped up to the next end and told once.

pub(super) struct Lines {
    limit: usize,
    begun: Vec<u8>,
    /// Within a line that was too long.
    dropping: bool,
}

impl Lines {
    pub(super) fn of_at_most(limit: usize) -> Self {
        Self { limit, begun: Vec::new(), dropping: false }
    }

    /// Calls `each` with every line that is complete now, without its end, and with `None` for one that is too long.
    /// Empty lines are passed over.
    pub(super) fn split(&mut self, bytes: &[u8], mut each: impl FnMut(Option<&[u8]>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n' || *byte == b'\r') {
            let (text, ended) = match part {
                [text @ .., b'\n' | b'\r'] => (text, true),
                text => (text, false),
            };
            if !self.dropping {
                if self.begun.len() + text.len() > self.limit {
                    self.begun.clear();
                    self.dropping = true;
                    each(None);
                } else {
                    self.begun.extend_from_slice(text);
                }
            }
            if ended {
                if !self.begun.is_empty() {
                    each(Some(&self.begun));
                }
                self.begun.clear();
                self.dropping = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(limit: usize, chunks: &[&[u8]]) -> Vec<Option<String>> {
        let mut found = Vec::new();
        let mut lines = Lines::of_at_most(limit);
        for chunk in chunks {
            lines.split(chunk, |line| found.push(line.map(|line| String::from_utf8_lossy(line).into_owned())));
        }
        found
    }

    #[test]
    fn half_lines_wait_for_their_rest() {
        let found = lines(20, &[b"first\r", b"\nsec", b"ond\n\n", b"never ended"]);
        assert_eq!(found, [Some("first".into()), Some("second".into())]);
    }

    #[test]
    fn a_line_without_an_end_is_told_once_and_the_next_is_read() {
        let found = lines(8, &[b"0123456", b"89", b"more and more", b" and more\nnext\n"]);
        assert_eq!(found, [None, Some("next".into())]);
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_changes_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..200), at in 0usize..200) {
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(lines(16, &[&bytes]), lines(16, &[head, tail]));
        }
    }
}
