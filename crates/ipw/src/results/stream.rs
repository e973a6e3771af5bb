//! Arrow IPC streams that grow while others read them.
//!
//! A reader can't load a stream that is cut inside a message, so the file always ends, for readers,
//! in the eight bytes of an end of stream:
//!
//! ```text
//! schema, batch, batch, END                                  as readers see it
//! schema, batch, batch, END, [new batch from byte 8 on, END] written and synced; still the old rows
//! schema, batch, batch, [new batch, END]                     its first 8 bytes replace the old END
//! ```
//!
//! Messages begin at multiples of eight bytes, so those eight lie in one page and one sector: they
//! are replaced as a whole or not at all. Nothing is ever truncated; what lies behind the end of the
//! stream is no one's, and the next commit writes over it.
//!
//! Foreign bytes are not trusted: lengths and counts are checked against the file before Arrow's
//! decoder sees them, and its panics are caught.

use std::fs::File;
use std::io::{self, Cursor, Write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_format::ipc::planus::{ReadAsRoot, Vector};
use arrow_format::ipc::{FieldRef, MessageHeaderRef, MessageRef, RecordBatchRef};
use arrow2::array::Array;
use arrow2::chunk::Chunk;
use arrow2::datatypes::Schema;
use arrow2::io::ipc::read::{StreamMetadata, StreamReader, StreamState, read_stream_metadata};
use arrow2::io::ipc::write::{StreamWriter, WriteOptions};

use super::replace::replace;
use super::{Result, ResultsError, columns};

/// Columns of one batch.
pub(super) type Batch = Chunk<Box<dyn Array>>;

/// The bytes that end a stream: a message of no length.
pub(super) const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The most a batch's body may have, in bytes. Ours have far less, but for a single long answer.
pub(super) const MAX_BODY_BYTES: u64 = 1 << 30;

/// The most a message's header may have, in bytes: those of the rows have about 15,000. In a forged
/// one, parts may be referred to many times over; this bounds what they can grow to.
const MAX_HEADER_BYTES: u32 = 1 << 16;

/// The deepest nesting of fields; the rows have seven levels.
const MAX_FIELD_DEPTH: u32 = 16;

/// The most fields a schema may have, nested ones counted; the rows have about 200.
const MAX_FIELDS: u32 = 1024;

/// The whole messages of a schema and, where there is one, a batch of it.
fn encode(schema: &Schema, batch: Option<&Batch>) -> arrow2::error::Result<(Vec<u8>, Vec<u8>)> {
    let mut writer = StreamWriter::new(Cursor::new(Vec::new()), WriteOptions { compression: None });
    writer.start(schema, None)?;
    if let Some(batch) = batch {
        writer.write(batch, None)?;
    }
    let mut bytes = writer.into_inner().into_inner();
    let header_length = header_length(&bytes);
    if header_length > MAX_HEADER_BYTES {
        return Err(arrow2::error::Error::OutOfSpec("the schema is too long".into()));
    }
    let batch = bytes.split_off(8 + header_length as usize);
    Ok((bytes, batch))
}

/// The message that opens a stream.
pub(super) fn schema_message(schema: &Schema) -> arrow2::error::Result<Vec<u8>> {
    encode(schema, None).map(|(schema, _)| schema)
}

/// The message of one batch.
pub(super) fn batch_message(schema: &Schema, batch: &Batch) -> arrow2::error::Result<Vec<u8>> {
    encode(schema, Some(batch)).map(|(_, batch)| batch)
}

/// Where a stream's bytes go.
pub(super) trait Storage {
    /// Writes all of `bytes` from `offset` on.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns once what was written survives a loss of power.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A stream that can grow.
#[derive(Debug)]
pub(super) struct GrowingStream<S = File> {
    storage: S,
    /// Where the end of stream is.
    end: u64,
}

impl GrowingStream<File> {
    /// A stream without a batch at `path`, in place of what is there.
    pub(super) fn create(path: &Path, schema: &Schema) -> Result<Self> {
        let message =
            schema_message(schema).map_err(|source| ResultsError::unencodable(path, source))?;
        replace(path, |file| {
            file.write_all(&message)
                .and_then(|()| file.write_all(&END_OF_STREAM))
                .map_err(ResultsError::writing(path))
        })?;
        Self::at(path, message.len() as u64)
    }

    /// The stream at `path`, which must have the columns of `schema`. `None` if it has others.
    pub(super) fn open(path: &Path, schema: &Schema) -> Result<Option<Self>> {
        let mut messages = Messages::open(path)?;
        if messages.schema()?.schema.fields != schema.fields {
            return Ok(None);
        }
        while messages.next_header()?.is_some() {}
        Self::at(path, messages.position).map(Some)
    }

    fn at(path: &Path, end: u64) -> Result<Self> {
        let storage =
            File::options().write(true).open(path).map_err(ResultsError::writing(path))?;
        Ok(Self { storage, end })
    }
}

impl<S: Storage> GrowingStream<S> {
    /// Appends whole messages; readers see all of them or none. On an error none is there, and the
    /// same call may be made again. Durable after [`Self::sync`].
    pub(super) fn append(&mut self, messages: &[u8]) -> io::Result<()> {
        let Some((head, rest)) = messages.split_first_chunk::<8>() else { return Ok(()) };
        let behind = self.end + END_OF_STREAM.len() as u64;
        self.storage.write_at(behind, rest)?;
        self.storage.write_at(behind + rest.len() as u64, &END_OF_STREAM)?;
        // Without this the disk might hold the new head before what it leads to.
        self.storage.sync()?;
        self.storage.write_at(self.end, head)?;
        self.end += messages.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.storage.sync()
    }
}

/// A message's place in the file.
pub(super) struct Header {
    /// The flatbuffer.
    pub(super) bytes: Vec<u8>,
    pub(super) body_offset: u64,
    pub(super) body_length: u64,
}

/// Walks the messages of a stream up to its end.
pub(super) struct Messages {
    file: File,
    path: PathBuf,
    /// Where the next message begins; at the end of stream once that was met.
    position: u64,
}

impl Messages {
    fn open(path: &Path) -> Result<Self> {
        Self::open_at(path, 0)
    }

    /// Those of a stream that begins at this byte of the file.
    pub(super) fn open_at(path: &Path, position: u64) -> Result<Self> {
        let file = File::open(path).map_err(ResultsError::reading(path))?;
        Ok(Self { file, path: path.to_owned(), position })
    }

    /// Whether the file ends here, as a stream may without the mark of its end.
    pub(super) fn is_at_end_of_file(&self) -> Result<bool> {
        let length = self.file.metadata().map_err(ResultsError::reading(&self.path))?.len();
        Ok(self.position == length)
    }

    /// The next message's header; `None` at the end of the stream.
    pub(super) fn next_header(&mut self) -> Result<Option<Header>> {
        let prefix = self.read(self.position, END_OF_STREAM.len() as u64)?;
        if prefix == END_OF_STREAM {
            return Ok(None);
        }
        if prefix[..4] != END_OF_STREAM[..4] {
            return Err(self.damaged("no message begins here"));
        }
        let header_length = header_length(&prefix);
        if header_length > MAX_HEADER_BYTES || !header_length.is_multiple_of(8) {
            return Err(self.damaged("the header has an impossible length"));
        }
        let header_offset = self.position + prefix.len() as u64;
        let bytes = self.read(header_offset, u64::from(header_length))?;
        let body_length = MessageRef::read_as_root(&bytes)
            .and_then(|message| message.body_length())
            .ok()
            .and_then(|length| u64::try_from(length).ok())
            .filter(|length| *length <= MAX_BODY_BYTES && length.is_multiple_of(8))
            .ok_or_else(|| self.damaged("the header can't be read"))?;
        let body_offset = header_offset + u64::from(header_length);
        self.position = body_offset + body_length;
        Ok(Some(Header { bytes, body_offset, body_length }))
    }

    /// The stream's schema, which must be the first message.
    fn schema(&mut self) -> Result<StreamMetadata> {
        let metadata = self.any_schema()?;
        let is_supported =
            |field: &arrow2::datatypes::Field| columns::is_supported(&field.data_type);
        if !metadata.schema.fields.iter().all(is_supported) {
            return Err(self.damaged("it has columns of types that are not in use"));
        }
        Ok(metadata)
    }

    /// The same, whatever types its columns have.
    pub(super) fn any_schema(&mut self) -> Result<StreamMetadata> {
        let start = self.position;
        let header = self.next_header()?.ok_or_else(|| self.damaged("it has no columns"))?;
        if !is_modest_schema(&header.bytes) || header.body_length != 0 {
            return Err(self.damaged("the first message is no schema, or an excessive one"));
        }
        let message = self.read(start, self.position - start)?;
        guarded(|| read_stream_metadata(&mut message.as_slice()))
            .map_err(|what| self.damaged(&what))
    }

    /// The next batch, by way of `message`, which may be used again; `None` at the end of the stream.
    fn next_batch(
        &mut self,
        metadata: &StreamMetadata,
        message: &mut Vec<u8>,
    ) -> Result<Option<Batch>> {
        let start = self.position;
        let Some(header) = self.next_header()? else { return Ok(None) };
        if !is_plausible_batch(&header) {
            return Err(self.damaged("the batch before this byte contradicts itself"));
        }
        let length = header.body_offset + header.body_length - start;
        self.read_into(message, start, length)?;
        decode_batch(message, metadata, None).map(Some).map_err(|what| self.damaged(&what))
    }

    pub(super) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes, offset, length).map(|()| bytes)
    }

    /// The same, in place of what is in `bytes`.
    fn read_into(&self, bytes: &mut Vec<u8>, offset: u64, length: u64) -> Result<()> {
        // Asked each time: a commit may have made the file longer.
        let present = self.file.metadata().map_err(ResultsError::reading(&self.path))?.len();
        if offset.saturating_add(length) > present {
            return Err(ResultsError::damaged(
                &self.path,
                format!("it was cut inside the message at byte {offset}"),
            ));
        }
        // Bounded by the file's own length and by the limits on a header and a body.
        bytes.resize(length as usize, 0);
        self.file.read_exact_at(bytes, offset).map_err(ResultsError::reading(&self.path))
    }

    pub(super) fn damaged(&self, what: &str) -> ResultsError {
        ResultsError::damaged(&self.path, format!("{what} (at byte {})", self.position))
    }
}

/// The batches of a stream, one in memory at a time. Whether it sees what is committed meanwhile
/// depends on how far it is; half a commit it never sees.
pub(super) struct BatchReader {
    messages: Messages,
    metadata: StreamMetadata,
    /// The message of the last batch: its memory is used again, which the kernel would have to clear.
    message: Vec<u8>,
    is_done: bool,
}

impl BatchReader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut messages = Messages::open(path)?;
        let metadata = messages.schema()?;
        Ok(Self { messages, metadata, message: Vec::new(), is_done: false })
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.metadata.schema
    }

    pub(super) fn path(&self) -> &Path {
        &self.messages.path
    }

    /// Gives no batch any more.
    pub(super) fn stop(&mut self) {
        self.is_done = true;
    }
}

impl Iterator for BatchReader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.messages.next_batch(&self.metadata, &mut self.message).transpose();
        // Behind a damaged message nothing can be found any more.
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The batch in a message without compression; of its columns only those at `projection`, if given.
pub(super) fn decode_batch(
    message: &[u8],
    metadata: &StreamMetadata,
    projection: Option<Vec<usize>>,
) -> std::result::Result<Batch, String> {
    guarded(|| {
        let mut reader = StreamReader::new(message, metadata.clone(), projection);
        match reader.next() {
            Some(Ok(StreamState::Some(batch))) => Ok(batch),
            Some(Err(error)) => Err(error),
            Some(Ok(StreamState::Waiting)) | None => {
                Err(arrow2::error::Error::OutOfSpec("no batch in it".into()))
            }
        }
    })
}

/// What `decode` gives; its panics are errors. The decoder is known to panic on some damaged input.
pub(super) fn guarded<T, E: std::fmt::Display>(
    decode: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its content can't be decoded".to_owned()),
    }
}

/// Whether these bytes are a schema that can be decoded without deep recursion or much memory.
fn is_modest_schema(header: &[u8]) -> bool {
    let count = || {
        let message = MessageRef::read_as_root(header).ok()?;
        let MessageHeaderRef::Schema(schema) = message.header().ok()?? else { return None };
        let mut budget = MAX_FIELDS;
        count_fields(schema.fields().ok()??, MAX_FIELD_DEPTH, &mut budget)
    };
    count().is_some()
}

/// Takes one off `budget` for each field; `None` if it doesn't suffice or they are nested too deep.
fn count_fields(
    fields: Vector<'_, arrow_format::ipc::planus::Result<FieldRef<'_>>>,
    depth: u32,
    budget: &mut u32,
) -> Option<()> {
    let deeper = depth.checked_sub(1)?;
    for field in fields {
        *budget = budget.checked_sub(1)?;
        if let Some(children) = field.ok()?.children().ok()? {
            count_fields(children, deeper, budget)?;
        }
    }
    Some(())
}

/// Whether this is a batch without compression whose buffers lie in its body and, together, are no
/// longer than it: then decoding it takes memory in proportion to its bytes in the file.
fn is_plausible_batch(header: &Header) -> bool {
    let check = || {
        let message = MessageRef::read_as_root(&header.bytes).ok()?;
        let MessageHeaderRef::RecordBatch(batch) = message.header().ok()?? else { return None };
        let no_compression = batch.compression().ok()?.is_none();
        Some(no_compression && buffers_fit(&batch, header.body_length)?)
    };
    check().unwrap_or(false)
}

/// Whether a batch's buffers lie in a body of this length and, together, are no longer.
pub(super) fn buffers_fit(batch: &RecordBatchRef<'_>, body_length: u64) -> Option<bool> {
    let mut total = 0_u64;
    for buffer in batch.buffers().ok()?? {
        let offset = u64::try_from(buffer.offset()).ok()?;
        let length = u64::try_from(buffer.length()).ok()?;
        total = total.checked_add(length)?;
        if offset.checked_add(length)? > body_length {
            return Some(false);
        }
    }
    Some(total <= body_length)
}

/// The length that a message's first eight bytes announce.
fn header_length(message: &[u8]) -> u32 {
    u32::from_le_bytes(message[4..8].try_into().expect("four bytes were taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_format::ipc::planus::Builder;
    use arrow_format::ipc::{self, Message, MessageHeader, MetadataVersion};
    use arrow2::array::{PrimitiveArray, Utf8Array};
    use arrow2::datatypes::{DataType, Field};
    use std::fs;

    fn small_schema() -> Schema {
        Schema::from(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
        ])
    }

    fn batch_of(numbers: std::ops::Range<i64>) -> Vec<u8> {
        let texts: Vec<_> = numbers.clone().map(|n| Some(format!("row {n}"))).collect();
        let numbers: Vec<_> = numbers.map(Some).collect();
        let batch = Batch::new(vec![
            PrimitiveArray::from(numbers).boxed(),
            Utf8Array::<i32>::from_iter(texts).boxed(),
        ]);
        batch_message(&small_schema(), &batch).unwrap()
    }

    /// A stream in memory that remembers what was done to it and may have little space.
    struct Recorded {
        bytes: Vec<u8>,
        operations: Vec<Operation>,
        space: usize,
    }

    #[derive(Debug, Clone, PartialEq)]
    enum Operation {
        Write { offset: usize, bytes: Vec<u8> },
        Sync,
    }

    impl Storage for Recorded {
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let offset = offset as usize;
            let fits = bytes.len().min(self.space.saturating_sub(offset));
            put(&mut self.bytes, offset, &bytes[..fits]);
            let operation = Operation::Write { offset, bytes: bytes[..fits].to_vec() };
            self.operations.push(operation);
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn sync(&mut self) -> io::Result<()> {
            self.operations.push(Operation::Sync);
            Ok(())
        }
    }

    fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        file.resize(file.len().max(offset + bytes.len()), 0);
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn recorded() -> GrowingStream<Recorded> {
        let mut bytes = schema_message(&small_schema()).unwrap();
        let end = bytes.len() as u64;
        bytes.extend(END_OF_STREAM);
        let storage = Recorded { bytes, operations: Vec::new(), space: usize::MAX };
        GrowingStream { storage, end }
    }

    /// The numbers in the committed rows of a file with these bytes.
    fn numbers_in(bytes: &[u8]) -> Result<Vec<i64>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.arrow");
        fs::write(&path, bytes).unwrap();
        let mut numbers = Vec::new();
        for batch in BatchReader::open(&path)? {
            let batch = batch?;
            let column = batch.arrays()[0].as_any().downcast_ref::<PrimitiveArray<i64>>();
            numbers.extend(column.unwrap().values().iter());
        }
        Ok(numbers)
    }

    fn is_damaged<T>(result: &Result<T>) -> bool {
        matches!(result, Err(ResultsError::Damaged { .. }))
    }

    #[test]
    fn a_commit_writes_behind_the_end_and_moves_the_end_last() {
        let mut stream = recorded();
        let end = stream.end as usize;
        let message = batch_of(0..3);
        stream.append(&message).unwrap();
        let behind = end + 8;
        assert_eq!(
            stream.storage.operations,
            [
                Operation::Write { offset: behind, bytes: message[8..].to_vec() },
                Operation::Write {
                    offset: behind + message.len() - 8,
                    bytes: END_OF_STREAM.to_vec()
                },
                Operation::Sync,
                Operation::Write { offset: end, bytes: message[..8].to_vec() },
            ]
        );
        assert_eq!(end % 8, 0, "the last write must not straddle a sector");
        assert_eq!(stream.end as usize, end + message.len());
    }

    #[test]
    fn a_crash_at_any_byte_of_a_commit_leaves_exactly_the_rows_of_the_earlier_ones() {
        let mut stream = recorded();
        stream.append(&batch_of(0..2)).unwrap();
        let mut file = stream.storage.bytes.clone();
        stream.storage.operations.clear();
        stream.append(&[batch_of(2..5), batch_of(5..6)].concat()).unwrap();
        let (flip, before) = stream.storage.operations.split_last().unwrap();
        for operation in before {
            let Operation::Write { offset, bytes } = operation else { continue };
            for written in 0..=bytes.len() {
                put(&mut file, *offset, &bytes[..written]);
                assert_eq!(numbers_in(&file).unwrap(), [0, 1], "after {written} bytes");
            }
        }
        let Operation::Write { offset, bytes } = flip else { panic!("the last step is a write") };
        put(&mut file, *offset, bytes);
        assert_eq!(numbers_in(&file).unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn blocks_that_reach_the_disk_in_any_order_before_the_sync_change_nothing() {
        let mut stream = recorded();
        stream.append(&batch_of(0..2)).unwrap();
        let committed = stream.storage.bytes.clone();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let mut file = committed.clone();
            file.extend((0..random.usize(..3000)).map(|_| random.u8(..)));
            assert_eq!(numbers_in(&file).unwrap(), [0, 1]);
        }
    }

    #[test]
    fn a_commit_that_ran_out_of_space_can_be_made_again() {
        let mut smooth = recorded();
        let messages = [batch_of(0..2), batch_of(2..9)];
        for message in &messages {
            smooth.append(message).unwrap();
        }
        for space in 0..smooth.storage.bytes.len() {
            let mut stream = recorded();
            stream.append(&messages[0]).unwrap();
            stream.storage.space = space.max(stream.storage.bytes.len());
            stream.append(&messages[1]).unwrap_err();
            assert_eq!(numbers_in(&stream.storage.bytes).unwrap(), [0, 1]);
            stream.storage.space = usize::MAX;
            stream.append(&messages[1]).unwrap();
            assert_eq!(stream.storage.bytes, smooth.storage.bytes);
        }
    }

    #[test]
    fn a_stream_goes_on_behind_its_end_whatever_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.arrow");
        let mut stream = GrowingStream::create(&path, &small_schema()).unwrap();
        stream.append(&batch_of(0..3)).unwrap();
        let mut file = fs::read(&path).unwrap();
        file.extend([7; 5000]);
        fs::write(&path, file).unwrap();
        let mut reopened = GrowingStream::open(&path, &small_schema()).unwrap().unwrap();
        assert_eq!(reopened.end, stream.end);
        reopened.append(&batch_of(3..4)).unwrap();
        assert_eq!(numbers_in(&fs::read(&path).unwrap()).unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_stream_of_other_columns_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.arrow");
        GrowingStream::create(&path, &small_schema()).unwrap();
        let other = Schema::from(small_schema().fields[..1].to_vec());
        assert!(GrowingStream::open(&path, &other).unwrap().is_none());
    }

    #[test]
    fn a_file_that_was_cut_is_damaged_and_is_not_continued() {
        let mut stream = recorded();
        stream.append(&batch_of(0..3)).unwrap();
        let whole = &stream.storage.bytes;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.arrow");
        for length in 0..whole.len() {
            assert!(is_damaged(&numbers_in(&whole[..length])), "at {length}");
            fs::write(&path, &whole[..length]).unwrap();
            assert!(is_damaged(&GrowingStream::open(&path, &small_schema())), "at {length}");
        }
    }

    #[test]
    fn a_reader_that_meets_a_commit_goes_on_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.arrow");
        let mut stream = GrowingStream::create(&path, &small_schema()).unwrap();
        stream.append(&batch_of(0..1)).unwrap();
        let mut reader = BatchReader::open(&path).unwrap();
        reader.next().unwrap().unwrap();
        stream.append(&batch_of(1..2)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().len(), 1);
        assert!(reader.next().is_none());
    }

    fn stream_with(header: MessageHeader, body_length: i64, body: &[u8]) -> Vec<u8> {
        let mut bytes = schema_message(&small_schema()).unwrap();
        bytes.extend(framed(header, body_length, body));
        bytes
    }

    fn framed(header: MessageHeader, body_length: i64, body: &[u8]) -> Vec<u8> {
        let message = Message {
            version: MetadataVersion::V5,
            header: Some(header),
            body_length,
            custom_metadata: None,
        };
        let mut flatbuffer = Builder::new().finish(&message, None).to_vec();
        flatbuffer.resize(flatbuffer.len().next_multiple_of(8), 0);
        let mut bytes = END_OF_STREAM[..4].to_vec();
        bytes.extend((flatbuffer.len() as u32).to_le_bytes());
        bytes.extend(flatbuffer);
        bytes.extend(body);
        bytes.extend(END_OF_STREAM);
        bytes
    }

    fn forged_batch(buffers: &[(i64, i64)], rows: i64) -> ipc::RecordBatch {
        let node = ipc::FieldNode { length: rows, null_count: 0 };
        let buffer =
            |(offset, length): &(i64, i64)| ipc::Buffer { offset: *offset, length: *length };
        ipc::RecordBatch {
            length: rows,
            nodes: Some(vec![node, node]),
            buffers: Some(buffers.iter().map(buffer).collect()),
            compression: None,
        }
    }

    fn forged(batch: ipc::RecordBatch, body_length: i64, body: &[u8]) -> Vec<u8> {
        stream_with(MessageHeader::RecordBatch(Box::new(batch)), body_length, body)
    }

    #[test]
    fn forged_lengths_are_errors_before_any_memory_is_taken() {
        let huge = 1_i64 << 62;
        let fitting = [(0, 0), (0, 8), (0, 0), (0, 8), (0, 0)];
        let forgeries = [
            forged(forged_batch(&fitting, 1), huge, &[]),
            forged(forged_batch(&fitting, 1), -8, &[]),
            forged(forged_batch(&fitting, huge), 64, &[0; 64]),
            forged(
                forged_batch(&[(0, 0), (0, huge), (0, 0), (0, huge), (0, huge)], huge / 8),
                64,
                &[0; 64],
            ),
            forged(forged_batch(&[(huge, 8); 5], 1), 64, &[0; 64]),
            forged(forged_batch(&[(-8, 8); 5], 1), 64, &[0; 64]),
            forged(forged_batch(&[(0, 64); 5], 8), 64, &[0; 64]),
            forged(forged_batch(&[], 1), 64, &[0; 64]),
        ];
        for (number, forgery) in forgeries.iter().enumerate() {
            let refused = numbers_in(forgery);
            assert!(is_damaged(&refused), "forgery {number}: {refused:?}");
        }
    }

    #[test]
    fn a_compressed_batch_is_refused() {
        let compression = ipc::BodyCompression {
            codec: ipc::CompressionType::Zstd,
            method: ipc::BodyCompressionMethod::Buffer,
        };
        let batch = ipc::RecordBatch {
            compression: Some(Box::new(compression)),
            ..forged_batch(&[(0, 0); 5], 1)
        };
        assert!(is_damaged(&numbers_in(&forged(batch, 64, &[0; 64]))));
    }

    #[test]
    fn a_schema_nested_too_deep_or_of_foreign_types_is_refused() {
        let nested = |levels: usize| {
            (0..levels).fold(DataType::Int64, |inner, _| {
                DataType::List(Box::new(Field::new("item", inner, true)))
            })
        };
        let opens = |data_type: DataType| {
            let schema = Schema::from(vec![Field::new("n", data_type, true)]);
            let mut bytes = schema_message(&schema).unwrap();
            bytes.extend(END_OF_STREAM);
            numbers_in(&bytes)
        };
        assert!(opens(nested(10)).is_ok());
        assert!(is_damaged(&opens(nested(200))));
        assert!(is_damaged(&opens(DataType::LargeUtf8)));
    }

    #[test]
    fn a_schema_too_long_to_be_read_back_is_not_written() {
        let fields = (0..2000).map(|n| Field::new(format!("field {n}"), DataType::Int64, true));
        assert!(schema_message(&Schema::from(fields.collect::<Vec<_>>())).is_err());
    }
}
