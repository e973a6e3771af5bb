//! From the bytes that `powermetrics -f plist` writes to its samples, each a property list.
//!
//! It writes a NUL *before* each sample but the first (found by cubestat, okuvshynov/cubestat), so a sample is whole at its `</plist>`: to wait
//! for the NUL would be to wait for the next sample. What is in a sample isn't known here.
//!
//! Pure, and bounded whatever comes: a sample that is too long is dropped, and the next one is looked
//! for behind the next NUL.

/// The most bytes of a sample. Those of a machine with 32 cores have about 100,000.
pub(super) const MAX_SAMPLE_BYTES: usize = 1 << 20;

/// What ends a property list.
const END: &[u8] = b"</plist>";

/// What lies between two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// These bytes, which ought to be a sample.
    Sample(&'a [u8]),
    /// Something that is longer than any sample.
    TooLong,
}

/// Bytes that have come and aren't told yet.
#[derive(Debug, Default)]
pub(super) struct Samples {
    bytes: Vec<u8>,
    /// What was told already.
    told: usize,
    /// Up to here there is no end.
    searched: usize,
    /// Whether everything up to the next NUL is a part of what was too long.
    skipping: bool,
}

impl Samples {
    /// Takes what was read. [`Self::next`] has to be called until it has nothing more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.told);
        self.searched -= self.told;
        self.told = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next sample that is whole.
    pub(super) fn next(&mut self) -> Option<Found<'_>> {
        loop {
            if self.skipping {
                self.skip_to_nul()?;
            }
            let Some(end) = self.end() else { return self.too_long() };
            let start = self.told;
            self.told = end;
            self.searched = end;
            if end - start > MAX_SAMPLE_BYTES {
                return Some(Found::TooLong);
            }
            // The line's end behind a sample and the NUL before the next are no sample.
            if !is_blank(&self.bytes[start..end]) {
                return Some(Found::Sample(trimmed(&self.bytes[start..end])));
            }
        }
    }

    /// What has come of a sample that isn't whole.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.told..]
    }

    /// Forgets all that has come.
    pub(super) fn clear(&mut self) {
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        self.bytes.clear();
    }

    /// Behind the next NUL or `</plist>`.
    fn end(&mut self) -> Option<usize> {
        let unsearched = &self.bytes[self.searched..];
        let nul = unsearched.iter().position(|byte| *byte == 0);
        let before = &unsearched[..nul.unwrap_or(unsearched.len())];
        let closed = before.windows(END.len()).position(|window| window == END);
        let end = closed.map(|at| at + END.len()).or(nul.map(|at| at + 1));
        match end {
            Some(end) => Some(self.searched + end),
            None => {
                // An end may have come in part.
                let keep = self.bytes.len().saturating_sub(END.len() - 1);
                self.searched = keep.max(self.searched);
                None
            }
        }
    }

    fn too_long(&mut self) -> Option<Found<'_>> {
        if self.bytes.len() - self.told <= MAX_SAMPLE_BYTES {
            return None;
        }
        self.skipping = true;
        self.drop_all();
        Some(Found::TooLong)
    }

    fn skip_to_nul(&mut self) -> Option<()> {
        let unsearched = &self.bytes[self.told..];
        let Some(nul) = unsearched.iter().position(|byte| *byte == 0) else {
            self.drop_all();
            return None;
        };
        self.told += nul + 1;
        self.searched = self.told;
        self.skipping = false;
        Some(())
    }

    fn drop_all(&mut self) {
        self.told = self.bytes.len();
        self.searched = self.told;
    }
}

fn is_filler(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is_filler(*byte))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_filler(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_filler(*byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(samples: &mut Samples) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::new();
        while let Some(next) = samples.next() {
            found.push(match next {
                Found::Sample(bytes) => Some(bytes.to_vec()),
                Found::TooLong => None,
            });
        }
        found
    }

    fn in_chunks(bytes: &[u8], size: usize) -> Vec<Option<Vec<u8>>> {
        let mut samples = Samples::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(size) {
            samples.push(chunk);
            found.extend(all(&mut samples));
        }
        found
    }

    #[test]
    fn a_sample_is_whole_at_its_end_and_not_at_the_nul_that_comes_with_the_next() {
        let mut samples = Samples::default();
        samples.push(b"<plist>1</pl");
        assert_eq!(samples.next(), None);
        samples.push(b"ist>\n");
        assert_eq!(samples.next(), Some(Found::Sample(b"<plist>1</plist>")));
        assert_eq!(samples.next(), None);
        samples.push(b"\0<plist>2</plist>\n");
        assert_eq!(samples.next(), Some(Found::Sample(b"<plist>2</plist>")));
    }

    #[test]
    fn samples_come_out_alike_however_they_are_cut() {
        let stream = b"<plist>1</plist>\n\0<plist>2</plist>\n\0\0broken\0<plist>3</plist>";
        let whole = in_chunks(stream, stream.len());
        let told: Vec<_> = whole.iter().flatten().map(|bytes| bytes.as_slice()).collect();
        assert_eq!(
            told,
            [&b"<plist>1</plist>"[..], b"<plist>2</plist>", b"broken", b"<plist>3</plist>"]
        );
        for size in 1..20 {
            assert_eq!(in_chunks(stream, size), whole, "{size}");
        }
    }

    #[test]
    fn what_is_too_long_is_dropped_and_the_next_sample_found_behind_a_nul() {
        let mut samples = Samples::default();
        let mut found = Vec::new();
        for _ in 0..40 {
            samples.push(&[b'x'; 1 << 16]);
            found.extend(all(&mut samples));
            assert!(samples.bytes.len() <= MAX_SAMPLE_BYTES + (1 << 16));
        }
        samples.push(b"</plist>\n\0<plist>1</plist>");
        found.extend(all(&mut samples));
        assert_eq!(found, [None, Some(b"<plist>1</plist>".to_vec())]);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic_or_grow(
            chunks in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..200),
                    Just(b"</plist>".to_vec()),
                    Just(b"\0\0\0\0".to_vec()),
                    (1_usize..4).prop_map(|times| vec![b'a'; times << 17]),
                ],
                0..20,
            ),
        ) {
            let mut samples = Samples::default();
            for chunk in chunks {
                samples.push(&chunk);
                for bytes in all(&mut samples).into_iter().flatten() {
                    prop_assert!(bytes.len() <= MAX_SAMPLE_BYTES);
                }
                prop_assert!(samples.rest().len() <= MAX_SAMPLE_BYTES);
            }
        }
    }
}
