//! Cuts arriving bytes into lines, whatever the reads they come in. Pure; reads no clock.
//!
//! A line ends in LF, CR LF or CR (the event-stream rules; JSON text never holds a bare CR). A line
//! without its end is kept for the next read, up to a bound.

/// Longest line taken, in bytes. A whole answer in one line is far below.
pub(super) const MAX_LINE_BYTES: usize = 16 << 20;

/// A line beyond [`MAX_LINE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineTooLong;

/// The part of a line that has come so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    after_carriage_return: bool,
}

impl Lines {
    /// Takes in bytes and hands each line that is now complete to `each`, without its end.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), LineTooLong> {
        if self.after_carriage_return && !bytes.is_empty() {
            self.after_carriage_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.complete(&bytes[..end], &mut each)?;
            let carriage_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if carriage_return {
                self.after_carriage_return = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.keep(bytes)
    }

    /// The last line, if it came without its end.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending))
    }

    fn complete(&mut self, end: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), LineTooLong> {
        if self.pending.is_empty() {
            // The usual case, without a copy.
            if end.len() > MAX_LINE_BYTES {
                return Err(LineTooLong);
            }
            each(end);
            return Ok(());
        }
        self.keep(end)?;
        each(&std::mem::take(&mut self.pending));
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        if self.pending.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(LineTooLong);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `bytes` cut at the given places (each taken modulo what is left).
    pub(in super::super) fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut rest = bytes;
        let mut parts = Vec::new();
        for cut in cuts {
            let (part, tail) = rest.split_at(cut % (rest.len() + 1));
            parts.push(part);
            rest = tail;
        }
        parts.push(rest);
        parts
    }

    fn lines_of(parts: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for part in parts {
            lines.take(part, |line| all.push(line.to_vec())).unwrap();
        }
        (all, lines.rest())
    }

    #[test]
    fn all_three_line_ends_count_and_cr_lf_is_one() {
        let (lines, rest) = lines_of(&[b"a\nb\r\nc\rd\r", b"\ne\n\nf"]);
        assert_eq!(lines, [&b"a"[..], b"b", b"c", b"d", b"e", b""]);
        assert_eq!(rest.as_deref(), Some(&b"f"[..]));
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_whether_it_has_an_end_or_not() {
        let half = vec![b'x'; MAX_LINE_BYTES / 2 + 1];
        let mut lines = Lines::default();
        lines.take(&half, |_| ()).unwrap();
        assert_eq!(lines.take(&half, |_| ()), Err(LineTooLong));
        let mut long = vec![b'x'; MAX_LINE_BYTES + 1];
        long.push(b'\n');
        assert_eq!(Lines::default().take(&long, |_| ()), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(
            text in "[ab\r\n]{0,40}", cuts in prop::collection::vec(0_usize..40, 0..8)
        ) {
            let bytes = text.as_bytes();
            prop_assert_eq!(lines_of(&cut(bytes, &cuts)), lines_of(&[bytes]));
        }
    }
}
