//! Arrow data that others wrote: rows of an IPC stream (as HuggingFace `datasets` saves them) or of an IPC
//! file (Feather V2), plain or compressed.
//!
//! Answers: each row's fields as text, numbers, truth values and lists of these, one batch in memory at a
//! time; columns of other kinds are left out. Foreign bytes are not trusted: lengths are checked before
//! Arrow's decoder sees them, its panics are errors, and what is compressed is opened here, where it can
//! be bounded. Sizes are bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow_format::ipc::planus::{Builder, ReadAsRoot};
use arrow_format::ipc::{
    self, CompressionType, Message, MessageHeader, MessageHeaderRef, MessageRef, MetadataVersion,
    RecordBatch,
};
use arrow2::array::{Array, BooleanArray, ListArray, PrimitiveArray, Utf8Array};
use arrow2::datatypes::DataType;
use arrow2::io::ipc::read::StreamMetadata;
use arrow2::types::NativeType;
use serde_json::{Map, Value};

use super::stream::{
    Batch, END_OF_STREAM, Header, MAX_BODY_BYTES, Messages, buffers_fit, decode_batch, guarded,
};
use super::{Result, ResultsError};

/// What an IPC file begins with; behind it comes a stream.
pub const FILE_MAGIC: [u8; 8] = *b"ARROW1\0\0";
/// What an IPC stream begins with.
pub const STREAM_MAGIC: [u8; 4] = [0xff; 4];

/// The rows of a file, read as they are asked for. Behind an error nothing comes any more.
pub struct ForeignRows {
    messages: Messages,
    metadata: StreamMetadata,
    /// The columns that are read, and their names.
    columns: Vec<(usize, String)>,
    batch: Option<Batch>,
    /// The next one of the batch.
    row: usize,
    /// How much further batches may have, uncompressed.
    left: u64,
    is_done: bool,
}

impl ForeignRows {
    /// Those of a stream or a file.
    ///
    /// # Errors
    /// If it can't be read, is neither, or has no column that can be read.
    pub fn open(path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_MAGIC.len() as u64).read_to_end(&mut start))
            .map_err(ResultsError::reading(path))?;
        let position = if start == FILE_MAGIC { FILE_MAGIC.len() as u64 } else { 0 };
        let mut messages = Messages::open_at(path, position)?;
        let metadata = messages.any_schema()?;
        let fields = metadata.schema.fields.iter().enumerate();
        let columns: Vec<_> = fields
            .filter(|(_, field)| is_read(&field.data_type))
            .map(|(place, field)| (place, field.name.clone()))
            .collect();
        if columns.is_empty() {
            return Err(messages.damaged("it has no column of text or numbers"));
        }
        let (batch, left) = (None, MAX_BODY_BYTES);
        Ok(Self { messages, metadata, columns, batch, row: 0, left, is_done: false })
    }

    fn next_row(&mut self) -> Result<Option<Map<String, Value>>> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.row < batch.len()) {
                let cells = self.columns.iter().zip(batch.arrays());
                let row =
                    cells.map(|((_, name), column)| (name.clone(), cell(&**column, self.row)));
                let row = row.collect();
                self.row += 1;
                return Ok(Some(row));
            }
            self.batch = self.next_batch()?;
            self.row = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        loop {
            if self.messages.is_at_end_of_file()? {
                return Ok(None);
            }
            let Some(header) = self.messages.next_header()? else { return Ok(None) };
            let body = self.messages.read(header.body_offset, header.body_length)?;
            match guarded(|| plain_message(&header, &body, &mut self.left)) {
                // A dictionary: its columns are not among those that are read.
                Ok(None) => {}
                Ok(Some(message)) => {
                    let projection = self.columns.iter().map(|(place, _)| *place).collect();
                    let batch = decode_batch(&message, &self.metadata, Some(projection));
                    return batch.map(Some).map_err(|what| self.messages.damaged(&what));
                }
                Err(what) => return Err(self.messages.damaged(&what)),
            }
        }
    }
}

impl Iterator for ForeignRows {
    type Item = Result<Map<String, Value>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_row().transpose();
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// A message without compression that says what this one says; `None` if it is no batch of rows. Takes
/// its length off `left`.
fn plain_message(
    header: &Header,
    body: &[u8],
    left: &mut u64,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let unreadable = |_| "a message's header can't be read".to_owned();
    let message = MessageRef::read_as_root(&header.bytes).map_err(unreadable)?;
    let batch = match message.header().map_err(unreadable)? {
        Some(MessageHeaderRef::RecordBatch(batch)) => batch,
        Some(MessageHeaderRef::DictionaryBatch(_)) => return Ok(None),
        _ => return Err("a message is neither a batch nor a dictionary".to_owned()),
    };
    if buffers_fit(&batch, body.len() as u64) != Some(true) {
        return Err("a batch contradicts itself".to_owned());
    }
    let mut batch = RecordBatch::try_from(batch).map_err(unreadable)?;
    let body = match batch.compression.take() {
        None => body.to_vec(),
        Some(compression) => decompressed(&mut batch, compression.codec, body, *left)?,
    };
    *left = left
        .checked_sub(body.len() as u64)
        .ok_or("it has more than 1 GiB of data; give a part of it")?;
    Ok(Some(framed(batch, &body)))
}

/// The body with its buffers as they were before compression, of at most `limit` bytes. The batch then
/// says where they lie.
fn decompressed(
    batch: &mut RecordBatch,
    codec: CompressionType,
    body: &[u8],
    limit: u64,
) -> std::result::Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    for buffer in batch.buffers.iter_mut().flatten() {
        // They lie in the body, as was checked.
        let start = buffer.offset as usize;
        let stored = &body[start..start + buffer.length as usize];
        let offset = plain.len();
        if !stored.is_empty() {
            decompress(stored, codec, limit, &mut plain)?;
        }
        *buffer = ipc::Buffer { offset: offset as i64, length: (plain.len() - offset) as i64 };
        plain.resize(plain.len().next_multiple_of(8), 0);
    }
    Ok(plain)
}

/// Appends what one buffer was before compression. Its first eight bytes are that length, or -1 where
/// compression wouldn't have made it shorter.
fn decompress(
    stored: &[u8],
    codec: CompressionType,
    limit: u64,
    plain: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    let (length, stored) =
        stored.split_first_chunk::<8>().ok_or("a compressed buffer is cut short")?;
    let length = match i64::from_le_bytes(*length) {
        -1 => {
            plain.extend_from_slice(stored);
            return Ok(());
        }
        length => u64::try_from(length).map_err(|_| "a buffer has an impossible length")?,
    };
    if plain.len() as u64 + length > limit {
        return Err("it has more than 1 GiB of data; give a part of it".to_owned());
    }
    let before = plain.len();
    let read = match codec {
        CompressionType::Lz4Frame => {
            lz4_flex::frame::FrameDecoder::new(stored).take(length).read_to_end(plain)
        }
        CompressionType::Zstd => zstd::Decoder::with_buffer(stored)
            .and_then(|decoder| decoder.take(length).read_to_end(plain)),
    };
    read.map_err(|error| format!("a buffer can't be decompressed: {error}"))?;
    if (plain.len() - before) as u64 != length {
        return Err("a compressed buffer is shorter than it says".to_owned());
    }
    Ok(())
}

/// The bytes of a message with this batch, behind which the stream ends.
fn framed(batch: RecordBatch, body: &[u8]) -> Vec<u8> {
    let message = Message {
        version: MetadataVersion::V5,
        header: Some(MessageHeader::RecordBatch(Box::new(batch))),
        body_length: body.len() as i64,
        custom_metadata: None,
    };
    let mut header = Builder::new().finish(&message, None).to_vec();
    header.resize(header.len().next_multiple_of(8), 0);
    let mut bytes = STREAM_MAGIC.to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header);
    bytes.extend(body);
    bytes.extend(END_OF_STREAM);
    bytes
}

/// Whether [`cell`] knows this type.
fn is_read(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => is_scalar(&item.data_type),
        other => is_scalar(other),
    }
}

fn is_scalar(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
    )
}

/// One row of a column of a type that is read.
fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => cast::<Utf8Array<i32>>(array).map(|array| array.value(row).into()),
        DataType::LargeUtf8 => cast::<Utf8Array<i64>>(array).map(|array| array.value(row).into()),
        DataType::Boolean => cast::<BooleanArray>(array).map(|array| array.value(row).into()),
        DataType::Int8 => number::<i8>(array, row),
        DataType::Int16 => number::<i16>(array, row),
        DataType::Int32 => number::<i32>(array, row),
        DataType::Int64 => number::<i64>(array, row),
        DataType::UInt8 => number::<u8>(array, row),
        DataType::UInt16 => number::<u16>(array, row),
        DataType::UInt32 => number::<u32>(array, row),
        DataType::UInt64 => number::<u64>(array, row),
        DataType::Float32 => number::<f32>(array, row),
        DataType::Float64 => number::<f64>(array, row),
        DataType::List(_) => cast::<ListArray<i32>>(array).map(|array| items(&*array.value(row))),
        DataType::LargeList(_) => {
            cast::<ListArray<i64>>(array).map(|array| items(&*array.value(row)))
        }
        _ => None,
    }
    .unwrap_or(Value::Null)
}

fn items(array: &dyn Array) -> Value {
    (0..array.len()).map(|item| cell(array, item)).collect()
}

fn number<T: NativeType + Into<Value>>(array: &dyn Array, row: usize) -> Option<Value> {
    cast::<PrimitiveArray<T>>(array).map(|array| array.value(row).into())
}

fn cast<A: Array>(array: &dyn Array) -> Option<&A> {
    array.as_any().downcast_ref()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use arrow2::array::Utf8Array;
    use arrow2::datatypes::{Field, Schema};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::stream::{batch_message, schema_message};
    use super::*;

    fn schema() -> Schema {
        Schema::from(vec![
            Field::new("days", DataType::Date32, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("number", DataType::Int64, true),
        ])
    }

    fn batch(rows: std::ops::Range<i64>) -> Vec<u8> {
        let texts: Vec<_> =
            rows.clone().map(|n| (n % 3 != 0).then(|| format!("row {n}"))).collect();
        let days: Vec<_> = rows.clone().map(|n| Some(n as i32)).collect();
        let numbers: Vec<_> = rows.map(Some).collect();
        let batch = Batch::new(vec![
            PrimitiveArray::from(days).to(DataType::Date32).boxed(),
            Utf8Array::<i32>::from_iter(texts).boxed(),
            PrimitiveArray::from(numbers).boxed(),
        ]);
        batch_message(&schema(), &batch).unwrap()
    }

    fn stream() -> Vec<u8> {
        let schema = schema_message(&schema()).unwrap();
        [schema, batch(0..3), batch(3..5), END_OF_STREAM.to_vec()].concat()
    }

    fn rows(bytes: &[u8]) -> Result<Vec<Value>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data.arrow");
        fs::write(&path, bytes).unwrap();
        ForeignRows::open(&path)?.map(|row| row.map(Value::Object)).collect()
    }

    fn expected() -> Vec<Value> {
        (0..5)
            .map(|n| {
                let text = if n % 3 == 0 { Value::Null } else { format!("row {n}").into() };
                json!({"text": text, "number": n})
            })
            .collect()
    }

    /// The message with its buffers compressed by `codec`.
    fn compressed(message: &[u8], codec: CompressionType) -> Vec<u8> {
        let length = u32::from_le_bytes(message[4..8].try_into().unwrap()) as usize;
        let (header, body) = message[8..].split_at(length);
        let message = MessageRef::read_as_root(header).unwrap();
        let Some(MessageHeaderRef::RecordBatch(batch)) = message.header().unwrap() else {
            panic!()
        };
        let mut batch = RecordBatch::try_from(batch).unwrap();
        let mut packed = Vec::new();
        for (number, buffer) in batch.buffers.iter_mut().flatten().enumerate() {
            let start = buffer.offset as usize;
            let plain = &body[start..start + buffer.length as usize];
            let offset = packed.len();
            if number % 2 == 0 && !plain.is_empty() {
                packed.extend((-1_i64).to_le_bytes());
                packed.extend(plain);
            } else if !plain.is_empty() {
                packed.extend((plain.len() as i64).to_le_bytes());
                packed.extend(match codec {
                    CompressionType::Zstd => zstd::encode_all(plain, 0).unwrap(),
                    CompressionType::Lz4Frame => {
                        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                        encoder.write_all(plain).unwrap();
                        encoder.finish().unwrap()
                    }
                });
            }
            *buffer = ipc::Buffer { offset: offset as i64, length: (packed.len() - offset) as i64 };
            packed.resize(packed.len().next_multiple_of(8), 0);
        }
        batch.compression = Some(Box::new(ipc::BodyCompression {
            codec,
            method: ipc::BodyCompressionMethod::Buffer,
        }));
        let mut framed = framed(batch, &packed);
        framed.truncate(framed.len() - END_OF_STREAM.len());
        framed
    }

    #[test]
    fn streams_and_files_give_their_rows_without_columns_of_other_kinds() {
        assert_eq!(rows(&stream()).unwrap(), expected());
        let file = [&FILE_MAGIC[..], &stream(), b"a footer that is not looked at"].concat();
        assert_eq!(rows(&file).unwrap(), expected());
        let mut without_mark = stream();
        without_mark.truncate(without_mark.len() - END_OF_STREAM.len());
        assert_eq!(rows(&without_mark).unwrap(), expected());
    }

    #[test]
    fn compressed_batches_are_the_same_rows() {
        for codec in [CompressionType::Lz4Frame, CompressionType::Zstd] {
            let batches =
                [compressed(&batch(0..3), codec), compressed(&batch(3..5), codec)].concat();
            let bytes = [schema_message(&schema()).unwrap(), batches, END_OF_STREAM.to_vec()];
            assert_eq!(rows(&bytes.concat()).unwrap(), expected(), "{codec:?}");
        }
    }

    #[test]
    fn a_buffer_that_claims_too_much_is_an_error() {
        let mut plain = Vec::new();
        for (claimed, what) in [(i64::MAX, "1 GiB"), (-2, "impossible"), (100, "shorter")] {
            let stored =
                [&claimed.to_le_bytes()[..], &zstd::encode_all(&b"x"[..], 0).unwrap()].concat();
            let error =
                decompress(&stored, CompressionType::Zstd, 1 << 30, &mut plain).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        let error = decompress(&[0; 7], CompressionType::Zstd, 1 << 30, &mut plain).unwrap_err();
        assert!(error.contains("cut short"), "{error}");
    }

    #[test]
    fn what_is_cut_or_is_something_else_is_an_error() {
        let whole = stream();
        for length in [0, 1, 7, 8, 20, whole.len() - 30] {
            assert!(rows(&whole[..length]).is_err(), "{length}");
        }
        assert!(rows(b"{\"problem\": 1}\n").is_err());
        let other = Schema::from(vec![Field::new("days", DataType::Date32, true)]);
        let error = rows(&schema_message(&other).unwrap()).unwrap_err().to_string();
        assert!(error.contains("no column of text or numbers"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn flipped_bytes_never_end_the_program(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = stream();
            for (index, value) in flips {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            let _ = rows(&bytes);
        }
    }
}
