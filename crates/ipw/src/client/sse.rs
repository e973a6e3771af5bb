//! Server-sent events out of arriving bytes: what the `data:` lines between two blank lines say.
//!
//! Pure and incremental: an event may come in any number of reads, and a read may hold any number of
//! events. Knows nothing of what the data mean. Comments (`:`, sent as pings) and the fields `event`,
//! `id` and `retry` carry nothing for us.

use super::lines::{LineTooLong, Lines};

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The data lines of one event, joined by LF.
    Data(Vec<u8>),
    /// A line that is no field of an event stream, e.g. a JSON error that a proxy wrote into it.
    Stray(Vec<u8>),
}

/// The event that is being read.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    lines: Lines,
    event: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    data: Option<Vec<u8>>,
    begun: bool,
}

impl EventStream {
    /// Takes in bytes and hands each event that is now complete to `each`.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Event),
    ) -> Result<(), LineTooLong> {
        let event = &mut self.event;
        self.lines.take(bytes, |line| event.line(line, &mut each))
    }

    /// The stream is over: the event whose closing blank line is missing, if its lines are whole. A
    /// body of a single line without an end, like a JSON answer, is a stray line.
    pub(super) fn finish(&mut self) -> Option<Event> {
        match self.lines.rest() {
            None => self.event.data.take().map(Event::Data),
            Some(line) if !self.event.begun && matches!(field(&line), Field::Unknown) => {
                Some(Event::Stray(line))
            }
            Some(_) => None,
        }
    }
}

impl Pending {
    fn line(&mut self, line: &[u8], each: &mut impl FnMut(Event)) {
        let line = if self.begun { line } else { without_byte_order_mark(line) };
        self.begun = true;
        match field(line) {
            Field::End => {
                if let Some(data) = self.data.take() {
                    each(Event::Data(data));
                }
            }
            Field::Data(value) => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                none => *none = Some(value.to_vec()),
            },
            Field::Ignored => (),
            Field::Unknown => each(Event::Stray(line.to_vec())),
        }
    }
}

enum Field<'a> {
    End,
    Data(&'a [u8]),
    Ignored,
    Unknown,
}

fn field(line: &[u8]) -> Field<'_> {
    if line.is_empty() {
        return Field::End;
    }
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default();
    match &line[..colon] {
        b"data" => Field::Data(value.strip_prefix(b" ").unwrap_or(value)),
        b"" | b"event" | b"id" | b"retry" => Field::Ignored,
        _ => Field::Unknown,
    }
}

fn without_byte_order_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::cut;
    use super::*;
    use proptest::prelude::*;

    fn events_of(parts: &[&[u8]]) -> Vec<Event> {
        let mut stream = EventStream::default();
        let mut events = Vec::new();
        for part in parts {
            stream.take(part, |event| events.push(event)).unwrap();
        }
        events.extend(stream.finish());
        events
    }

    fn data(texts: &[&str]) -> Vec<Event> {
        texts.iter().map(|text| Event::Data(text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn pings_line_ends_and_the_optional_space_do_not_matter() {
        let bytes =
            b"\xef\xbb\xbf:\n\n: ping\r\n\r\ndata:{\"a\":1}\r\n\r\nevent: x\nid: 7\ndata:  two\n\n";
        assert_eq!(events_of(&[bytes]), data(&["{\"a\":1}", " two"]));
    }

    #[test]
    fn data_lines_of_one_event_are_joined() {
        assert_eq!(events_of(&[b"data: a\ndata\ndata: b\n\n"]), data(&["a\n\nb"]));
    }

    #[test]
    fn several_events_in_one_read_come_one_by_one() {
        assert_eq!(events_of(&[b"data: a\n\ndata: b\n\n"]), data(&["a", "b"]));
    }

    #[test]
    fn a_last_event_counts_if_its_lines_are_whole() {
        assert_eq!(events_of(&[b"data: [DONE]\n"]), data(&["[DONE]"]));
        assert_eq!(events_of(&[b"data: {\"cut"]), []);
    }

    #[test]
    fn a_line_that_is_no_field_is_told_apart() {
        let stray = Event::Stray(b"{\"error\":\"x\"}".to_vec());
        for bytes in [&b"{\"error\":\"x\"}\n"[..], b"{\"error\":\"x\"}"] {
            assert_eq!(events_of(&[bytes]), std::slice::from_ref(&stray));
        }
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            fields in prop::collection::vec("(data: ?|:|event: |x|)[ab\u{e9}\u{1f600}]{0,3}(\n|\r\n|\r|\n\n)", 0..12),
            cuts in prop::collection::vec(0_usize..60, 0..12),
        ) {
            let text = fields.concat();
            let bytes = text.as_bytes();
            prop_assert_eq!(events_of(&cut(bytes, &cuts)), events_of(&[bytes]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            events_of(&[&bytes]);
        }
    }
}
