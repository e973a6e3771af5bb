//! One JSON text a line out of arriving bytes. Pure and incremental; knows nothing of the content.

use super::lines::{LineTooLong, Lines};

/// The line that is being read.
#[derive(Debug, Default)]
pub(super) struct JsonLines(Lines);

impl JsonLines {
    /// Takes in bytes and hands each line that is now complete and not blank to `each`.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), LineTooLong> {
        self.0.take(bytes, |line| {
            if !line.trim_ascii().is_empty() {
                each(line);
            }
        })
    }

    /// The stream is over: its last line, if that came without a line end.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        self.0.rest().filter(|line| !line.trim_ascii().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::cut;
    use super::*;
    use proptest::prelude::*;

    fn lines_of(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = JsonLines::default();
        let mut all = Vec::new();
        for part in parts {
            lines.take(part, |line| all.push(line.to_vec())).unwrap();
        }
        all.extend(lines.finish());
        all
    }

    #[test]
    fn blank_lines_are_skipped_and_the_last_needs_no_end() {
        assert_eq!(lines_of(&[b"{}\r\n\n \n[1]"]), [&b"{}"[..], b"[1]"]);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(
            text in "(\\{\"\u{e9}\u{1f600}\"\\}|\r\n|\n| ){0,20}",
            cuts in prop::collection::vec(0_usize..60, 0..12),
        ) {
            let bytes = text.as_bytes();
            prop_assert_eq!(lines_of(&cut(bytes, &cuts)), lines_of(&[bytes]));
        }
    }
}
