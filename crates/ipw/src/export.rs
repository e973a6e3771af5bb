//! `ipw export`: runs' rows as one flat table for pandas, polars, DuckDB and spreadsheets.
//!
//! Answers: a file with a line for each query. Where a value isn't known the cell is empty (CSV) or null
//! (Parquet), never another value.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde_json::Value;

use crate::results::{
    FlatColumn, FlatKind, FlatRow, Result, ResultsError, Summary, flat_columns, read_rows,
    read_summary, replace,
};

/// Rows that are held in memory at once, and in one row group.
const ROWS_AT_ONCE: usize = 4_096;

/// What the run is, in each of its rows, so that tables of several runs can be told apart.
const OF_THE_RUN: [(&str, OfTheRun); 4] = [
    ("run", |run| run.name.clone()),
    ("model", |run| run.summary.model.clone()),
    ("hardware", |run| run.summary.hardware_label.clone()),
    ("dataset", |run| run.summary.dataset.clone()),
];

/// How the table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// UTF-8, commas, quotes where needed, a line of names first.
    Csv,
    /// Snappy-compressed.
    Parquet,
}

type OfTheRun = fn(&Run) -> String;
type Parquet<T> = std::result::Result<T, ParquetError>;

struct Run {
    directory: PathBuf,
    name: String,
    summary: Summary,
}

impl Run {
    fn open(directory: &Path) -> Result<Self> {
        let summary = read_summary(directory)?;
        let absolute = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { directory: directory.to_owned(), name, summary })
    }
}

/// Writes the rows of all `runs`, one run after the other, to `path`, and gives their number. What was
/// there is replaced as a whole.
///
/// # Errors
/// A run can't be read, or the file can't be written; what was there is then untouched.
pub fn export(runs: &[PathBuf], format: Format, path: &Path) -> Result<u64> {
    let runs = opened(runs)?;
    let failed = |source| ResultsError::writing(path)(source);
    let mut rows = 0;
    replace(path, |file| {
        rows = match format {
            Format::Csv => write_csv(&runs, file, &failed)?,
            Format::Parquet => write_parquet(&runs, file, &failed)?,
        };
        Ok(())
    })?;
    Ok(rows)
}

/// The same as CSV to a stream.
///
/// # Errors
/// A run can't be read, or the stream can't be written.
pub fn export_csv(runs: &[PathBuf], to: impl Write) -> Result<u64> {
    write_csv(&opened(runs)?, to, &ResultsError::writing("standard output".as_ref()))
}

fn opened(runs: &[PathBuf]) -> Result<Vec<Run>> {
    runs.iter().map(|run| Run::open(run)).collect()
}

/// Shows all rows, so many at a time.
fn each_rows(run: &Run, mut show: impl FnMut(&[FlatRow]) -> Result<()>) -> Result<u64> {
    let mut held = Vec::with_capacity(ROWS_AT_ONCE);
    let mut count = 0;
    for record in read_rows(&run.directory)? {
        held.push(FlatRow::of(&record?, &run.summary.model)?);
        count += 1;
        if held.len() == ROWS_AT_ONCE {
            show(&held)?;
            held.clear();
        }
    }
    if !held.is_empty() {
        show(&held)?;
    }
    Ok(count)
}

fn write_csv(
    runs: &[Run],
    to: impl Write,
    failed: &impl Fn(io::Error) -> ResultsError,
) -> Result<u64> {
    let failed = |error: csv::Error| failed(error.into());
    let mut table = csv::Writer::from_writer(to);
    let names = flat_columns("").into_iter().map(|column| column.name);
    let of_the_run = OF_THE_RUN.iter().map(|(name, _)| (*name).to_owned());
    table.write_record(of_the_run.chain(names)).map_err(failed)?;
    let mut count = 0;
    for run in runs {
        let columns = flat_columns(&run.summary.model);
        let of_the_run: Vec<String> = OF_THE_RUN.iter().map(|(_, value)| value(run)).collect();
        count += each_rows(run, |rows| {
            for row in rows {
                let cells =
                    columns.iter().map(|column| text(column.value(row)).unwrap_or_default());
                table.write_record(of_the_run.iter().cloned().chain(cells)).map_err(failed)?;
            }
            Ok(())
        })?;
    }
    table.flush().map_err(|error| failed(error.into()))?;
    Ok(count)
}

/// A value as text; `None` where there is none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn write_parquet(
    runs: &[Run],
    to: &mut (impl Write + Send),
    failed: &impl Fn(io::Error) -> ResultsError,
) -> Result<u64> {
    let failed = |error: ParquetError| failed(io::Error::other(error));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = schema().map_err(failed)?;
    let mut table = SerializedFileWriter::new(to, schema, Arc::new(properties)).map_err(failed)?;
    let mut count = 0;
    for run in runs {
        let columns = flat_columns(&run.summary.model);
        count += each_rows(run, |rows| {
            let mut write = || {
                let mut group = table.next_row_group()?;
                for (_, value) in OF_THE_RUN {
                    let value = Value::String(value(run));
                    let values: Vec<&Value> = rows.iter().map(|_| &value).collect();
                    write_column(FlatKind::Text, &values, group.next_column()?)?;
                }
                for column in &columns {
                    let values: Vec<&Value> = rows.iter().map(|row| column.value(row)).collect();
                    write_column(column.kind, &values, group.next_column()?)?;
                }
                group.close().map(drop)
            };
            write().map_err(failed)
        })?;
    }
    table.close().map_err(failed)?;
    Ok(count)
}

fn schema() -> Parquet<Arc<Type>> {
    let of_the_run = OF_THE_RUN.iter().map(|(name, _)| ((*name).to_owned(), FlatKind::Text));
    let columns = flat_columns("");
    let fields = of_the_run
        .chain(columns.into_iter().map(|FlatColumn { name, kind, .. }| (name, kind)))
        .map(|(name, kind)| {
            let (physical, logical) = match kind {
                FlatKind::Float => (PhysicalType::DOUBLE, None),
                FlatKind::Integer => (PhysicalType::INT64, None),
                FlatKind::Boolean => (PhysicalType::BOOLEAN, None),
                FlatKind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            };
            Type::primitive_type_builder(&name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        })
        .collect::<Parquet<Vec<_>>>()?;
    Type::group_type_builder("queries").with_fields(fields).build().map(Arc::new)
}

/// Writes a column of a row group: the values that are there, and where there is none.
fn write_column(
    kind: FlatKind,
    values: &[&Value],
    column: Option<SerializedColumnWriter<'_>>,
) -> Parquet<()> {
    let Some(mut column) = column else {
        return Err(ParquetError::General("there is no such column".to_owned()));
    };
    let mut levels = Vec::with_capacity(values.len());
    match (kind, column.untyped()) {
        (FlatKind::Float, ColumnWriter::DoubleColumnWriter(writer)) => {
            let values = present(values, &mut levels, Value::as_f64);
            writer.write_batch(&values, Some(&levels), None)?;
        }
        (FlatKind::Integer, ColumnWriter::Int64ColumnWriter(writer)) => {
            let values = present(values, &mut levels, Value::as_i64);
            writer.write_batch(&values, Some(&levels), None)?;
        }
        (FlatKind::Boolean, ColumnWriter::BoolColumnWriter(writer)) => {
            let values = present(values, &mut levels, Value::as_bool);
            writer.write_batch(&values, Some(&levels), None)?;
        }
        (FlatKind::Text, ColumnWriter::ByteArrayColumnWriter(writer)) => {
            let bytes = |value: &Value| text(value).map(|text| ByteArray::from(text.into_bytes()));
            let values = present(values, &mut levels, bytes);
            writer.write_batch(&values, Some(&levels), None)?;
        }
        _ => return Err(ParquetError::General("the column is of another type".to_owned())),
    }
    column.close()
}

/// The values that are there; `levels` says for each row whether one is.
fn present<T>(
    values: &[&Value],
    levels: &mut Vec<i16>,
    of: impl Fn(&Value) -> Option<T>,
) -> Vec<T> {
    let found = values.iter().map(|value| of(value));
    found.inspect(|value| levels.push(i16::from(value.is_some()))).flatten().collect()
}
