//! Rows of a Parquet file, read column by column, some hundred rows at a time.
//!
//! Answers: each row's fields as text, numbers, truth values and lists of these; columns of other kinds
//! are left out. A text that isn't UTF-8 costs its row, damage the file. Foreign bytes are not trusted:
//! sizes are bounded, and the decoder's panics are errors. Sizes are bytes.

use std::cell::Cell as Counter;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::IntoIter;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor, Type};
use serde_json::Value;

use super::rows::{Fields, LARGEST_FILE, ReadError, Rows};

/// Rows that are decoded at a time.
const BATCH: usize = 256;
/// Most items that the lists of a column may have in one group of rows.
const MOST_ITEMS: usize = 16 << 20;

/// Which columns are read.
pub(super) enum Wanted<'a> {
    /// These.
    Only(&'a [&'a str]),
    /// All that can be read; these even if the file doesn't say that they are text.
    AllAnd(&'a [&'a str]),
}

/// A value, or why its row can't be used.
type Cell = Result<Value, String>;

/// Reads all rows of the columns that are wanted.
pub(super) fn read(file: File, wanted: &Wanted<'_>, rows: &mut Rows<'_>) -> Result<(), ReadError> {
    let reader = guarded(|| SerializedFileReader::new(file))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns: Vec<Column> =
        (0..schema.num_columns()).filter_map(|leaf| Column::of(schema, leaf, wanted)).collect();
    if columns.is_empty() {
        return Err(ReadError::Unsuitable("has none of the columns expected".to_owned()));
    }
    let budget = Counter::new(LARGEST_FILE);
    for number in 0..reader.num_row_groups() {
        let group = guarded(|| reader.get_row_group(number))?;
        read_group(&*group, &columns, &budget, rows)?;
    }
    Ok(())
}

fn read_group(
    group: &dyn RowGroupReader,
    columns: &[Column],
    budget: &Counter<u64>,
    rows: &mut Rows<'_>,
) -> Result<(), ReadError> {
    let mut readers = columns
        .iter()
        .map(|column| guarded(|| column.open(group)))
        .collect::<Result<Vec<ColumnReader>, _>>()?;
    let mut left = usize::try_from(group.metadata().num_rows())
        .map_err(|_| damaged("a group has an impossible number of rows"))?;
    while left > 0 {
        let count = left.min(BATCH);
        let mut cells = columns
            .iter()
            .zip(&mut readers)
            .map(|(column, reader)| guarded(|| column.cells(reader, count, budget)))
            .map(|cells| cells.map(Vec::into_iter))
            .collect::<Result<Vec<IntoIter<Cell>>, _>>()?;
        for _ in 0..count {
            let number = rows.count() + 1;
            rows.take(|| format!("row {number}"), fields(columns, &mut cells))?;
        }
        left -= count;
    }
    Ok(())
}

/// The next row's fields. Of each column one value is taken, whatever the others are.
fn fields(columns: &[Column], cells: &mut [IntoIter<Cell>]) -> Result<Fields, String> {
    let mut fields = Fields::new();
    let mut wrong = None;
    for (column, cells) in columns.iter().zip(cells) {
        match cells.next() {
            Some(Ok(value)) => {
                fields.insert(column.name.clone(), value);
            }
            Some(Err(reason)) => wrong = Some(reason),
            None => {}
        }
    }
    wrong.map_or(Ok(fields), Err)
}

/// A column that can be read: values, or lists of values.
#[derive(Debug)]
struct Column {
    name: String,
    /// Which of the file's leaves it is.
    leaf: usize,
    /// The definition level of a value that is there.
    defined: i16,
    /// For lists: the definition level of an item that is there, null or not.
    item: Option<i16>,
    /// Whether its integers have no sign.
    unsigned: bool,
}

impl Column {
    /// The column of this leaf, if it is wanted and of a kind that is read.
    fn of(schema: &SchemaDescriptor, leaf: usize, wanted: &Wanted<'_>) -> Option<Self> {
        let descriptor = schema.column(leaf);
        let root = schema.get_column_root(leaf);
        let is_named = |names: &[&str]| names.contains(&root.name());
        let (is_wanted, is_named) = match wanted {
            Wanted::Only(names) => (is_named(names), is_named(names)),
            Wanted::AllAnd(names) => (true, is_named(names)),
        };
        let only_leaf = (0..schema.num_columns()).all(|other| {
            other == leaf || schema.get_column_root_idx(other) != schema.get_column_root_idx(leaf)
        });
        let item = match descriptor.max_rep_level() {
            0 if root.is_primitive() => None,
            1 if only_leaf => Some(item_level(root)?),
            _ => return None,
        };
        (is_wanted && has_plain_values(&descriptor, is_named)).then(|| Self {
            name: root.name().to_owned(),
            leaf,
            defined: descriptor.max_def_level(),
            item,
            unsigned: matches!(
                descriptor.converted_type(),
                ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            ),
        })
    }

    fn open(&self, group: &dyn RowGroupReader) -> Result<ColumnReader, ParquetError> {
        match group.metadata().column(self.leaf).compression() {
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
            other => {
                return Err(general(&format!(
                    "it is compressed with {other}; write it with snappy or zstd"
                )));
            }
        }
        if self.item.is_some() {
            self.check_items(group)?;
        }
        group.get_column_reader(self.leaf)
    }

    /// A page may claim any number of items, however few bytes it has.
    fn check_items(&self, group: &dyn RowGroupReader) -> Result<(), ParquetError> {
        let mut pages = group.get_column_page_reader(self.leaf)?;
        let mut items = 0_usize;
        while let Some(page) = pages.peek_next_page()? {
            items = items.saturating_add(page.num_levels.unwrap_or(0));
            if items > MOST_ITEMS {
                return Err(general("its lists have too many items"));
            }
            pages.skip_next_page()?;
        }
        Ok(())
    }

    /// The next values, one for each row.
    fn cells(
        &self,
        reader: &mut ColumnReader,
        count: usize,
        budget: &Counter<u64>,
    ) -> Result<Vec<Cell>, ParquetError> {
        let unsigned = self.unsigned;
        match reader {
            ColumnReader::BoolColumnReader(reader) => {
                self.read(reader, count, |value| Ok(Value::Bool(*value)))
            }
            ColumnReader::Int32ColumnReader(reader) => self.read(reader, count, |value| {
                Ok(if unsigned { Value::from(value.cast_unsigned()) } else { Value::from(*value) })
            }),
            ColumnReader::Int64ColumnReader(reader) => self.read(reader, count, |value| {
                Ok(if unsigned { Value::from(value.cast_unsigned()) } else { Value::from(*value) })
            }),
            ColumnReader::FloatColumnReader(reader) => {
                self.read(reader, count, |value| Ok(Value::from(*value)))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                self.read(reader, count, |value| Ok(Value::from(*value)))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let within = Counter::new(true);
                let text = |value: &ByteArray| self.text(value.data(), budget, &within);
                let cells = self.read(reader, count, text)?;
                if within.get() {
                    Ok(cells)
                } else {
                    Err(general("it holds more than 1 GiB of text"))
                }
            }
            _ => Err(general("a column has another type than the file says")),
        }
    }

    /// Text that may refer to the same bytes many times is counted as often as it is made.
    fn text(&self, bytes: &[u8], budget: &Counter<u64>, within: &Counter<bool>) -> Cell {
        let Some(left) = budget.get().checked_sub(bytes.len() as u64) else {
            within.set(false);
            return Ok(Value::Null);
        };
        budget.set(left);
        let text =
            str::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8 text", self.name))?;
        Ok(Value::String(text.to_owned()))
    }

    fn read<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        count: usize,
        value: impl Fn(&T::T) -> Cell,
    ) -> Result<Vec<Cell>, ParquetError> {
        let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (records, ..) = reader.read_records(
            count,
            Some(&mut definitions),
            Some(&mut repetitions),
            &mut values,
        )?;
        if records != count {
            return Err(general("a column ends before the others"));
        }
        let mut values = values.iter().map(value);
        Ok(match self.item {
            Some(item) => self.lists(item, &definitions, &repetitions, &mut values),
            None => {
                let is_defined =
                    |row| definitions.get(row).is_none_or(|level| *level == self.defined);
                let mut cell = |row| {
                    if is_defined(row) { values.next() } else { None }.unwrap_or(Ok(Value::Null))
                };
                (0..count).map(&mut cell).collect()
            }
        })
    }

    fn lists(
        &self,
        item: i16,
        definitions: &[i16],
        repetitions: &[i16],
        values: &mut impl Iterator<Item = Cell>,
    ) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        for (definition, repetition) in definitions.iter().zip(repetitions) {
            if *repetition == 0 {
                // Below the level of an empty list the list itself is missing.
                let is_there = *definition >= item - 1;
                cells.push(Ok(if is_there { Value::Array(Vec::new()) } else { Value::Null }));
            }
            if *definition < item {
                continue;
            }
            let value = if *definition == self.defined { values.next() } else { None };
            let (Some(cell), value) = (cells.last_mut(), value.unwrap_or(Ok(Value::Null))) else {
                continue;
            };
            match (cell, value) {
                (Ok(Value::Array(items)), Ok(value)) => items.push(value),
                (cell @ Ok(_), Err(reason)) => *cell = Err(reason),
                _ => {}
            }
        }
        cells
    }
}

/// The definition level of an item of a list: of all that can be missing or repeated down to what is
/// repeated. `None` if nothing is.
fn item_level(root: &Type) -> Option<i16> {
    let mut level = 0;
    let mut node = root;
    loop {
        match node.get_basic_info().repetition() {
            Repetition::REQUIRED => {}
            Repetition::OPTIONAL => level += 1,
            Repetition::REPEATED => return Some(level + 1),
        }
        if node.is_primitive() {
            return None;
        }
        node = node.get_fields().first()?;
    }
}

/// Whether a column's values mean what they are stored as: not money in cents or a day by its number.
fn has_plain_values(descriptor: &ColumnDescriptor, is_named: bool) -> bool {
    let is_text = matches!(
        descriptor.converted_type(),
        ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
    ) || matches!(descriptor.logical_type_ref(), Some(LogicalType::String));
    match descriptor.physical_type() {
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => true,
        Physical::BYTE_ARRAY => is_text || is_named,
        Physical::INT32 | Physical::INT64 => {
            matches!(descriptor.logical_type_ref(), None | Some(LogicalType::Integer { .. }))
                && !matches!(
                    descriptor.converted_type(),
                    ConvertedType::DECIMAL
                        | ConvertedType::DATE
                        | ConvertedType::TIME_MILLIS
                        | ConvertedType::TIME_MICROS
                        | ConvertedType::TIMESTAMP_MILLIS
                        | ConvertedType::TIMESTAMP_MICROS
                )
        }
        _ => false,
    }
}

fn general(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

fn damaged(what: &str) -> ReadError {
    ReadError::Unsuitable(format!("is not Parquet that can be read: {what}"))
}

/// What `decode` gives; its panics are errors. The decoder is known to panic on some damaged input.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ReadError> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ParquetError::General(what))) => Err(damaged(&what)),
        Ok(Err(error)) => Err(damaged(&error.to_string())),
        Err(_) => Err(damaged("its content can't be decoded")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::sync::Arc;

    use parquet::data_type::{BoolType, ByteArrayType, DoubleType, Int32Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use serde_json::json;

    use super::super::{Sample, Scoring, SkippedRow};
    use super::*;

    const SCHEMA: &str = "message schema {
        optional binary text (STRING);
        optional group list (LIST) { repeated group list { optional binary element (STRING); } }
        required int32 count (INTEGER(32,false));
        optional int32 money (DECIMAL(9,2));
        optional binary raw;
        optional group box { optional int32 x; }
        repeated double numbers;
        required boolean truth;
    }";

    /// A file of five rows in each group.
    fn written(groups: usize, compression: Compression) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
        for _ in 0..groups {
            let mut group = writer.next_row_group().unwrap();
            for number in 0.. {
                let Some(mut column) = group.next_column().unwrap() else { break };
                let bytes = |texts: &[&[u8]]| -> Vec<ByteArray> {
                    texts.iter().map(|text| ByteArray::from(text.to_vec())).collect()
                };
                let count = match number {
                    0 => column.typed::<ByteArrayType>().write_batch(
                        &bytes(&[b"a", b"", b"\xff", "zw\u{f6}lf".as_bytes()]),
                        Some(&[1, 1, 0, 1, 1]),
                        None,
                    ),
                    // A list of two, an empty one, none, one with a null, and one that isn't UTF-8.
                    1 => column.typed::<ByteArrayType>().write_batch(
                        &bytes(&[b"x", b"y", b"z", b"\xff"]),
                        Some(&[3, 3, 1, 0, 2, 3, 3]),
                        Some(&[0, 1, 0, 0, 0, 1, 0]),
                    ),
                    2 => column.typed::<Int32Type>().write_batch(&[-1, 0, 1, 2, 3], None, None),
                    3 | 5 => {
                        let levels = [number / 2; 5];
                        column.typed::<Int32Type>().write_batch(&[7; 5], Some(&levels), None)
                    }
                    4 => column.typed::<ByteArrayType>().write_batch(
                        &bytes(&[b"1", b"2", b"3", b"4", b"5"]),
                        Some(&[1; 5]),
                        None,
                    ),
                    6 => column.typed::<DoubleType>().write_batch(
                        &[0.5, 1.5],
                        Some(&[1, 1, 0, 0, 0, 0]),
                        Some(&[0, 1, 0, 0, 0, 0]),
                    ),
                    _ => column.typed::<BoolType>().write_batch(&[true; 5], None, None),
                };
                count.unwrap();
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn rows(
        bytes: &[u8],
        wanted: &Wanted<'_>,
    ) -> Result<(Vec<Fields>, Vec<SkippedRow>), ReadError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let convert = |index, metadata| {
            let [problem, answer, subject] = [const { String::new() }; 3];
            let scoring = Scoring::Exact;
            Ok(Some(Sample { index, problem, answer, subject, scoring, metadata }))
        };
        let mut rows = Rows::new(&convert);
        read(file, wanted, &mut rows)?;
        Ok((rows.samples.into_iter().map(|sample| sample.metadata).collect(), rows.skipped))
    }

    #[test]
    fn plain_columns_and_lists_are_read_and_a_bad_text_costs_its_row_only() {
        let (read, skipped) = rows(&written(1, Compression::SNAPPY), &Wanted::AllAnd(&[])).unwrap();
        let told: Vec<(&str, &str)> =
            skipped.iter().map(|row| (row.place.as_str(), row.reason.as_str())).collect();
        assert_eq!(
            told,
            [("row 4", "`text` is not UTF-8 text"), ("row 5", "`list` is not UTF-8 text")]
        );
        let expected = [
            json!({"text": "a", "list": ["x", "y"], "count": 4_294_967_295_u32,
                   "numbers": [0.5, 1.5], "truth": true}),
            json!({"text": "", "list": [], "count": 0, "numbers": [], "truth": true}),
            json!({"text": null, "list": null, "count": 1, "numbers": [], "truth": true}),
        ];
        assert_eq!(read.into_iter().map(Value::Object).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_what_is_wanted_is_read_and_what_is_named_is_taken_for_text() {
        let file = written(1, Compression::UNCOMPRESSED);
        let (read, skipped) = rows(&file, &Wanted::Only(&["raw", "count", "box"])).unwrap();
        assert_eq!((read.len(), skipped.len()), (5, 0));
        assert_eq!(Value::Object(read[4].clone()), json!({"count": 3, "raw": "5"}));
        let (named, _) = rows(&file, &Wanted::AllAnd(&["raw"])).unwrap();
        assert_eq!(named[0]["raw"], "1");
        let none = rows(&file, &Wanted::Only(&["other"])).unwrap_err();
        assert!(
            matches!(none, ReadError::Unsuitable(what) if what.contains("none of the columns"))
        );
    }

    #[test]
    fn rows_go_on_over_all_groups() {
        let zstd = Compression::ZSTD(parquet::basic::ZstdLevel::default());
        let (read, _) = rows(&written(120, zstd), &Wanted::Only(&["count"])).unwrap();
        assert_eq!(read.len(), 600);
        assert_eq!((&read[1]["count"], &read[599]["count"]), (&json!(0), &json!(3)));
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let file = written(2, Compression::SNAPPY);
        for length in [0, 4, 12, file.len() / 2, file.len() - 1] {
            let error = rows(&file[..length], &Wanted::AllAnd(&[])).unwrap_err();
            assert!(matches!(error, ReadError::Unsuitable(_)), "{length}");
        }
    }
}
