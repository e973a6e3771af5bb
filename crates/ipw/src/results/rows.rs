//! The rows of a run: appended by commits while it lasts, rewritten as a whole at its end, and read
//! back batch by batch. Each batch has at most 1,024 rows and 64 MiB.

use std::convert::Infallible;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow2::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};

use super::ahead::ReadAhead;
use super::cells::Column;
use super::replace::replace;
use super::schema::{ANSWERS, METRICS, model_of, rows_schema};
use super::stream::{
    Batch, BatchReader, END_OF_STREAM, GrowingStream, MAX_BODY_BYTES, batch_message, guarded,
    schema_message,
};
use super::{
    DATASET_INFO_FILE, ROWS_FILE, Result, ResultsError, STATE_FILE, columns, read_summary,
    write_json,
};
use crate::record::ProfilingRecord;

/// The most rows of one batch.
const BATCH_ROWS: usize = 1024;

/// What a batch's header and the padding of its buffers may take beside its values, in bytes.
const BATCH_OVERHEAD: usize = 1 << 20;

/// The most bytes of values in one batch; a row with more than this has a batch for itself.
const BATCH_BYTES: usize = (64 << 20) - BATCH_OVERHEAD;

/// The most bytes of values in one row.
const ROW_BYTES: usize = MAX_BODY_BYTES as usize - BATCH_OVERHEAD;

/// Appends rows to a run. Rows are pushed and then committed together: readers see all rows of a
/// commit or none.
#[derive(Debug)]
pub struct RowWriter {
    dir: PathBuf,
    path: PathBuf,
    model: String,
    schema: Schema,
    stream: GrowingStream,
    pending: Vec<ProfilingRecord>,
    /// Whether rows are visible whose commit isn't finished.
    is_unfinished: bool,
}

impl RowWriter {
    /// Begins the rows of a run on `model` and makes the directory loadable as a dataset.
    ///
    /// # Errors
    /// There are rows already, or the directory can't be written.
    pub fn create(dir: &Path, model: &str) -> Result<Self> {
        let path = dir.join(ROWS_FILE);
        if path.exists() {
            let status = read_summary(dir).ok().map(|summary| summary.status);
            return Err(ResultsError::AlreadyThere { path: dir.to_owned(), status });
        }
        let schema = rows_schema(model);
        let stream = GrowingStream::create(&path, &schema)?;
        Self::on(dir, model, schema, stream)
    }

    /// Goes on behind the committed rows of an earlier process; begins them if it had none.
    ///
    /// # Errors
    /// The rows are of another model or program version, or damaged, or can't be written.
    pub fn append_to(dir: &Path, model: &str) -> Result<Self> {
        let path = dir.join(ROWS_FILE);
        if !path.exists() {
            return Self::create(dir, model);
        }
        let schema = rows_schema(model);
        let stream = GrowingStream::open(&path, &schema)?
            .ok_or(ResultsError::SchemaMismatch { path, model: model.to_owned() })?;
        Self::on(dir, model, schema, stream)
    }

    fn on(dir: &Path, model: &str, schema: Schema, stream: GrowingStream) -> Result<Self> {
        write_dataset_files(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            path: dir.join(ROWS_FILE),
            model: model.to_owned(),
            schema,
            stream,
            pending: Vec::new(),
            is_unfinished: false,
        })
    }

    /// Keeps a row for the next commit.
    pub fn push(&mut self, record: ProfilingRecord) {
        self.pending.push(record);
    }

    /// Rows that wait for a commit.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes the pending rows part of the file, durably. The cost depends on these rows alone.
    ///
    /// # Errors
    /// The disk is full or fails, or a row is too large. Earlier rows stay readable; rows that didn't
    /// get into the file stay pending, so the commit may be tried again.
    pub fn commit(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            let messages = self.encode_pending()?;
            // A reader caches by fingerprint. With a new one before and after, neither the old rows
            // nor the new ones can be met under the fingerprint of the others, even after a crash.
            write_state(&self.dir)?;
            self.stream.append(&messages).map_err(ResultsError::writing(&self.path))?;
            self.pending.clear();
            self.is_unfinished = true;
        }
        if self.is_unfinished {
            self.stream.sync().map_err(ResultsError::writing(&self.path))?;
            write_state(&self.dir)?;
            self.is_unfinished = false;
        }
        Ok(())
    }

    fn encode_pending(&self) -> Result<Vec<u8>> {
        let mut batches = Batches::new(&self.path, &self.schema, &self.model);
        let mut messages = Vec::new();
        for record in &self.pending {
            messages.extend(batches.add(record)?);
        }
        messages.extend(batches.finish()?);
        Ok(messages)
    }
}

/// Puts `records` in the place of all rows, in one step: readers find the old rows or the new ones.
/// The same records give the same bytes. One batch is in memory at a time. A [`RowWriter`] from
/// before still holds the old file: drop it first.
///
/// # Errors
/// A record is an error itself or too large, or the directory can't be written, or its disk is full;
/// the old rows are then untouched.
pub fn rewrite_rows(
    dir: &Path,
    model: &str,
    records: impl Iterator<Item = Result<ProfilingRecord>>,
) -> Result<()> {
    let path = dir.join(ROWS_FILE);
    let schema = rows_schema(model);
    let opening =
        schema_message(&schema).map_err(|source| ResultsError::unencodable(&path, source))?;
    // As for a commit: a new fingerprint before and after.
    write_dataset_files(dir)?;
    replace(&path, |file| {
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(ResultsError::writing(&path));
        let mut batches = Batches::new(&path, &schema, model);
        write(&opening)?;
        for record in records {
            write(&batches.add(&record?)?)?;
        }
        write(&batches.finish()?)?;
        write(&END_OF_STREAM)
    })?;
    write_state(dir)
}

/// The committed rows of a run, a few batches in memory at a time.
///
/// # Errors
/// The file can't be read, or isn't the rows of a run.
pub fn read_rows(dir: &Path) -> Result<Rows> {
    let path = dir.join(ROWS_FILE);
    let batches = BatchReader::open(&path)?;
    let schema = batches.schema();
    let model = model_of(schema)
        .ok_or_else(|| ResultsError::damaged(&path, "its columns name no single model"))?
        .to_owned();
    let fields = schema.fields.clone();
    let batches = ReadAhead::start(batches)?;
    let columns = Column::group(Vec::new());
    Ok(Rows { batches, path, fields, model, columns, left: 0..0, rows_read: 0 })
}

/// The committed rows of a run. Ends after the first error.
pub struct Rows {
    batches: ReadAhead,
    path: PathBuf,
    fields: Vec<Field>,
    model: String,
    /// Those of the batch that is being read.
    columns: Column,
    /// The batch's rows that weren't read yet.
    left: Range<usize>,
    rows_read: usize,
}

impl Rows {
    /// The model of the run.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    fn begin(&mut self, batch: &Batch) -> Result<()> {
        let columns = guarded(|| Ok::<_, Infallible>(record_columns(&self.fields, batch)));
        self.columns = columns.map_err(|what| ResultsError::damaged(&self.path, what))?;
        self.left = 0..batch.len();
        Ok(())
    }

    fn read(&mut self, row: usize) -> Result<ProfilingRecord> {
        self.rows_read += 1;
        // A record is large: to move it through results takes as long as to read it.
        let mut record = None;
        let failed = guarded(|| self.columns.read(row).map(|read| record = Some(read))).err();
        record.ok_or_else(|| {
            let what = failed.unwrap_or_default();
            ResultsError::damaged(&self.path, format!("row {}: {what}", self.rows_read))
        })
    }

    fn end(&mut self) {
        self.batches.stop();
        self.left = 0..0;
    }
}

impl Iterator for Rows {
    type Item = Result<ProfilingRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left.is_empty() {
            let begun = self.batches.next()?.and_then(|batch| self.begin(&batch));
            if let Err(error) = begun {
                self.end();
                return Some(Err(error));
            }
        }
        let row = self.left.next()?;
        let record = self.read(row);
        if record.is_err() {
            self.end();
        }
        Some(record)
    }
}

/// Gathers rows into batches within the limits.
struct Batches<'a> {
    path: &'a Path,
    schema: &'a Schema,
    row_type: DataType,
    model: &'a str,
    rows: Vec<Value>,
    bytes: usize,
}

impl<'a> Batches<'a> {
    fn new(path: &'a Path, schema: &'a Schema, model: &'a str) -> Self {
        let row_type = DataType::Struct(schema.fields.clone());
        Self { path, schema, row_type, model, rows: Vec::new(), bytes: 0 }
    }

    /// Takes one row; the message of the rows before it if it didn't fit beside them, else nothing.
    fn add(&mut self, record: &ProfilingRecord) -> Result<Vec<u8>> {
        let row = to_row(record, self.model)
            .map_err(|source| ResultsError::unencodable(self.path, source))?;
        let bytes = columns::stored_bytes(&self.row_type, &row);
        if bytes > ROW_BYTES {
            let query_index = record.query_index;
            return Err(ResultsError::RowTooLarge { query_index, bytes, limit: ROW_BYTES });
        }
        let is_full = self.rows.len() == BATCH_ROWS || self.bytes + bytes > BATCH_BYTES;
        let message = if is_full { self.finish()? } else { Vec::new() };
        self.rows.push(row);
        self.bytes += bytes;
        Ok(message)
    }

    /// The message of the rows that are left; nothing if none are.
    fn finish(&mut self) -> Result<Vec<u8>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let unencodable = |source| ResultsError::unencodable(self.path, source);
        let batch = columns::encode_rows(&self.schema.fields, &rows).map_err(unencodable)?;
        batch_message(self.schema, &batch).map_err(|source| unencodable(source.into()))
    }
}

/// The record as the columns have it: answer and measurements below the model's name.
pub(super) fn to_row(record: &ProfilingRecord, model: &str) -> serde_json::Result<Value> {
    let mut row = serde_json::to_value(record)?;
    for (field, column) in [("response", ANSWERS), ("metrics", METRICS)] {
        let value = row.as_object_mut().and_then(|members| members.remove(field));
        row[column] = json!({ model: value });
    }
    Ok(row)
}

/// The batch's columns as a record has them: answer and measurements beside the others.
fn record_columns(fields: &[Field], batch: &Batch) -> Column {
    let named = fields.iter().zip(batch.arrays());
    let mut columns: Vec<_> =
        named.map(|(field, array)| (field.name.clone(), Column::of(&**array))).collect();
    for (field, column) in [("response", ANSWERS), ("metrics", METRICS)] {
        let Some(place) = columns.iter().rposition(|(name, _)| name == column) else { continue };
        // The only one below it is the model's.
        let below = columns.remove(place).1.into_first();
        columns.extend(below.map(|below| (field.to_owned(), below)));
    }
    Column::group(columns)
}

/// What makes a directory with rows loadable by HuggingFace `datasets`. Without `features` it takes
/// the types from the rows' own schema.
fn write_dataset_files(dir: &Path) -> Result<()> {
    let info = json!({
        "description": "Queries of one ipw run, with their answers and measurements",
        "citation": "",
        "homepage": "",
        "license": "",
    });
    write_json(&dir.join(DATASET_INFO_FILE), &info)?;
    write_state(dir)
}

fn write_state(dir: &Path) -> Result<()> {
    let state = json!({
        "_data_files": [{ "filename": ROWS_FILE }],
        "_fingerprint": format!("{:016x}", fastrand::u64(..)),
        "_format_columns": null,
        "_format_kwargs": {},
        "_format_type": null,
        "_output_all_columns": false,
        "_split": null,
    });
    write_json(&dir.join(STATE_FILE), &state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DeviceEnergy, ModelMetrics, QueryStatus};
    use serde::de::Error as _;
    use serde_json::Map;
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const MODEL: &str = "llama3.2:1b";

    /// The other way of [`to_row`].
    fn from_row(mut row: Map<String, Value>, model: &str) -> serde_json::Result<ProfilingRecord> {
        for (field, column) in [("response", ANSWERS), ("metrics", METRICS)] {
            let value = row.get_mut(column).and_then(|below| below.get_mut(model)).map(Value::take);
            let value = value.ok_or_else(|| serde_json::Error::custom(format!("no {column}")))?;
            row.insert(field.to_owned(), value);
        }
        serde_json::from_value(Value::Object(row))
    }

    fn record(query_index: i64) -> ProfilingRecord {
        ProfilingRecord {
            problem: format!("problem {query_index}"),
            answer: "A".into(),
            subject: String::new(),
            dataset_metadata: "{}".into(),
            query_index,
            status: QueryStatus::Ok,
            finish_reason: None,
            error: None,
            started_at_nanos: 1,
            first_token_at_nanos: None,
            ended_at_nanos: 2,
            response: "because".into(),
            metrics: ModelMetrics::default(),
        }
    }

    fn read_back(dir: &Path) -> Vec<ProfilingRecord> {
        read_rows(dir).unwrap().collect::<Result<_>>().unwrap()
    }

    fn indices(dir: &Path) -> Vec<i64> {
        read_back(dir).iter().map(|record| record.query_index).collect()
    }

    fn written(records: Vec<ProfilingRecord>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RowWriter::create(dir.path(), MODEL).unwrap();
        records.into_iter().for_each(|record| writer.push(record));
        writer.commit().unwrap();
        dir
    }

    /// Text tells floats apart to the last bit, and `-0.0` from `0.0`.
    fn exactly(record: &ProfilingRecord) -> String {
        serde_json::to_string(record).unwrap()
    }

    /// Values that may stand in a column, drawn at random.
    struct Draw {
        random: fastrand::Rng,
        /// Out of 100, how many are null where they may be.
        null_pct: u8,
    }

    impl Draw {
        fn record(&mut self) -> ProfilingRecord {
            let fields = rows_schema(MODEL).fields;
            let Value::Object(row) = self.object("", &fields) else { unreachable!() };
            from_row(row, MODEL).unwrap()
        }

        fn object(&mut self, path: &str, fields: &[Field]) -> Value {
            let cell = |field: &Field| {
                let path = format!("{path}/{}", field.name);
                (field.name.clone(), self.cell(&path, field))
            };
            Value::Object(fields.iter().map(cell).collect())
        }

        fn cell(&mut self, path: &str, field: &Field) -> Value {
            if may_be_null(path, &field.data_type) && self.random.u8(..100) < self.null_pct {
                return Value::Null;
            }
            match &field.data_type {
                DataType::Utf8 if path == "/status" => {
                    json!(self.random.choice(["ok", "error", "timeout", "truncated"]))
                }
                DataType::Utf8 => self.text(),
                DataType::Float64 => self.float(),
                DataType::Int64 => json!(self.random.i64(..)),
                DataType::UInt64 => json!(self.random.u64(..)),
                DataType::UInt32 => json!(self.random.u32(..)),
                DataType::Boolean => json!(self.random.bool()),
                DataType::Struct(fields) => self.object(path, fields),
                DataType::List(item) => {
                    (0..self.random.usize(1..4)).map(|_| self.cell(path, item)).collect()
                }
                other => panic!("no column should have the type {other:?}"),
            }
        }

        fn text(&mut self) -> Value {
            (0..self.random.usize(..20)).map(|_| self.random.char(..)).collect::<String>().into()
        }

        fn float(&mut self) -> Value {
            loop {
                let float = f64::from_bits(self.random.u64(..));
                if float.is_finite() {
                    return json!(float);
                }
            }
        }
    }

    /// Whether the record has an `Option` there.
    fn may_be_null(path: &str, data_type: &DataType) -> bool {
        let ends_in = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
        match data_type {
            DataType::Float64 | DataType::Boolean => true,
            DataType::Int64 => {
                path.contains("token_metrics") || ends_in(&["/first_token_at_nanos"])
            }
            DataType::Utf8 => ends_in(&[
                "/finish_reason",
                "/error",
                "/basis",
                "/energy_metrics/method",
                "/energy_metrics/status",
                "/lm_response",
            ]),
            DataType::Struct(_) => ends_in(&["/gpu_info", "/system_info", "/evaluation"]),
            _ => false,
        }
    }

    fn paths(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members
                .iter()
                .for_each(|(name, value)| paths(&format!("{prefix}/{name}"), value, into)),
            Value::Array(items) => items.iter().for_each(|item| paths(prefix, item, into)),
            _ => {
                into.insert(prefix.to_owned());
            }
        }
    }

    #[test]
    fn the_columns_and_the_record_have_the_same_fields_all_the_way_down() {
        let mut draw = Draw { random: fastrand::Rng::with_seed(0), null_pct: 0 };
        let from_columns = draw.object("", &rows_schema(MODEL).fields);
        let Value::Object(row) = from_columns.clone() else { unreachable!() };
        let from_record = to_row(&from_row(row, MODEL).unwrap(), MODEL).unwrap();
        let [mut of_columns, mut of_record] = [BTreeSet::new(), BTreeSet::new()];
        paths("", &from_columns, &mut of_columns);
        paths("", &from_record, &mut of_record);
        let apart: Vec<_> = of_columns.symmetric_difference(&of_record).collect();
        assert!(apart.is_empty(), "{apart:?}");
        assert!(from_columns == from_record);
    }

    #[test]
    fn arbitrary_records_come_back_exactly() {
        for (seed, null_pct) in [0, 10, 50, 90, 100].into_iter().enumerate() {
            let mut draw = Draw { random: fastrand::Rng::with_seed(seed as u64), null_pct };
            let records: Vec<_> = (0..40).map(|_| draw.record()).collect();
            let dir = written(records.clone());
            let expected: Vec<_> = records.iter().map(exactly).collect();
            let found: Vec<_> = read_back(dir.path()).iter().map(exactly).collect();
            assert_eq!(found, expected, "seed {seed}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_null() {
        let mut odd = record(0);
        odd.metrics.energy_metrics.total_joules = Some(f64::NAN);
        odd.metrics.cost.carbon_grams = Some(f64::INFINITY);
        odd.metrics.energy_metrics.devices = vec![DeviceEnergy {
            sensor: "s".into(),
            host: "h".into(),
            joules: Some(f64::NEG_INFINITY),
            lower: Some(-0.0),
            upper: None,
        }];
        let found = &read_back(written(vec![odd]).path())[0].metrics;
        assert_eq!(found.energy_metrics.total_joules, None);
        assert_eq!(found.cost.carbon_grams, None);
        assert_eq!(found.energy_metrics.devices[0].joules, None);
        assert_eq!(
            found.energy_metrics.devices[0].lower.map(f64::to_bits),
            Some((-0.0_f64).to_bits())
        );
    }

    #[test]
    fn the_model_is_named_verbatim_whatever_it_is_called() {
        for model in ["a.b:c/d e", "", "model_answers", "\u{1F600}"] {
            let dir = tempfile::tempdir().unwrap();
            rewrite_rows(dir.path(), model, [Ok(record(1))].into_iter()).unwrap();
            let rows = read_rows(dir.path()).unwrap();
            assert_eq!(rows.model(), model);
            assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>(), [record(1)]);
        }
    }

    #[test]
    fn a_run_without_rows_is_readable_and_empty() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RowWriter::create(dir.path(), MODEL).unwrap();
        writer.commit().unwrap();
        assert_eq!(indices(dir.path()), [0_i64; 0]);
    }

    #[test]
    fn rows_are_there_once_committed_and_go_on_behind_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RowWriter::create(dir.path(), MODEL).unwrap();
        writer.push(record(0));
        assert_eq!((writer.pending(), indices(dir.path()).len()), (1, 0));
        writer.commit().unwrap();
        assert_eq!((writer.pending(), indices(dir.path())), (0, vec![0]));
        writer.push(record(9));
        drop(writer);
        let mut next = RowWriter::append_to(dir.path(), MODEL).unwrap();
        next.push(record(1));
        next.push(record(2));
        next.commit().unwrap();
        assert_eq!(indices(dir.path()), [0, 1, 2]);
    }

    #[test]
    fn a_commit_that_failed_keeps_its_rows_pending_and_can_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RowWriter::create(dir.path(), MODEL).unwrap();
        writer.push(record(0));
        let state = dir.path().join(STATE_FILE);
        fs::remove_file(&state).unwrap();
        fs::create_dir_all(state.join("in the way")).unwrap();
        writer.commit().unwrap_err();
        assert_eq!((writer.pending(), indices(dir.path()).len()), (1, 0));
        fs::remove_dir_all(&state).unwrap();
        writer.push(record(1));
        writer.commit().unwrap();
        writer.commit().unwrap();
        assert_eq!((writer.pending(), indices(dir.path())), (0, vec![0, 1]));
    }

    #[test]
    fn a_process_that_died_before_its_first_row_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RowWriter::append_to(dir.path(), MODEL).unwrap();
        writer.push(record(4));
        writer.commit().unwrap();
        assert_eq!(indices(dir.path()), [4]);
    }

    #[test]
    fn rows_of_another_model_are_not_continued() {
        let dir = written(vec![record(0)]);
        let refused = RowWriter::append_to(dir.path(), "other").unwrap_err();
        assert!(matches!(refused, ResultsError::SchemaMismatch { .. }), "{refused:?}");
    }

    #[test]
    fn creating_rows_never_replaces_earlier_ones() {
        let dir = written(vec![record(0)]);
        let refused = RowWriter::create(dir.path(), MODEL).unwrap_err();
        assert!(matches!(refused, ResultsError::AlreadyThere { .. }), "{refused:?}");
        assert_eq!(indices(dir.path()), [0]);
    }

    #[test]
    fn each_commit_gives_the_dataset_a_new_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RowWriter::create(dir.path(), MODEL).unwrap();
        let mut seen = BTreeSet::new();
        for index in 0..5 {
            writer.push(record(index));
            writer.commit().unwrap();
            let state: Value =
                serde_json::from_slice(&fs::read(dir.path().join(STATE_FILE)).unwrap()).unwrap();
            let fingerprint = state["_fingerprint"].as_str().unwrap().to_owned();
            assert_eq!(fingerprint.len(), 16);
            assert!(seen.insert(fingerprint));
        }
    }

    #[test]
    fn the_same_rewrite_gives_the_same_bytes_and_the_order_given() {
        let dir = written((0..3).map(record).collect());
        let rewrite = || {
            let records = (0..3000).rev().map(|index| Ok(record(index)));
            rewrite_rows(dir.path(), MODEL, records).unwrap();
            fs::read(dir.path().join(ROWS_FILE)).unwrap()
        };
        assert_eq!(rewrite(), rewrite());
        assert_eq!(indices(dir.path()), (0..3000).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_rewrite_whose_records_fail_leaves_the_old_rows() {
        let dir = written(vec![record(0)]);
        let missing = ResultsError::NotARun { path: dir.path().to_owned() };
        let records = [Ok(record(1)), Err(missing)].into_iter();
        rewrite_rows(dir.path(), MODEL, records).unwrap_err();
        assert_eq!(indices(dir.path()), [0]);
    }

    #[test]
    fn a_rewrite_may_read_the_rows_it_replaces() {
        let dir = written((0..2000).map(record).collect());
        let kept = read_rows(dir.path())
            .unwrap()
            .filter(|row| row.as_ref().is_ok_and(|record| record.query_index % 2 == 0));
        rewrite_rows(dir.path(), MODEL, kept).unwrap();
        assert_eq!(indices(dir.path()), (0..2000).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn reading_may_end_early() {
        let dir = written((0..10_000).map(record).collect());
        let mut rows = read_rows(dir.path()).unwrap();
        assert_eq!(rows.next().unwrap().unwrap(), record(0));
        // Waits for the thread that reads ahead, which would wait for ever if nobody told it.
        drop(rows);
    }

    fn batches_of(dir: &Path) -> Vec<Batch> {
        BatchReader::open(&dir.join(ROWS_FILE)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_batch_has_at_most_1024_rows() {
        let dir = written((0..2500).map(record).collect());
        let lengths: Vec<_> = batches_of(dir.path()).iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [1024, 1024, 452]);
    }

    #[test]
    fn long_texts_split_batches_at_64_mebibytes_and_come_back_whole() {
        let long = |index: i64| ProfilingRecord {
            response: char::from(b'a' + index as u8).to_string().repeat(10 << 20),
            ..record(index)
        };
        let dir = written((0..8).map(long).collect());
        let lengths: Vec<_> = batches_of(dir.path()).iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [6, 2]);
        let file = fs::metadata(dir.path().join(ROWS_FILE)).unwrap().len();
        assert!(file < 81 << 20, "{file}");
        for (index, found) in read_rows(dir.path()).unwrap().enumerate() {
            assert!(found.unwrap() == long(index as i64));
        }
    }

    #[test]
    fn no_batch_of_ordinary_rows_is_larger_than_was_reckoned() {
        let mut draw = Draw { random: fastrand::Rng::with_seed(3), null_pct: 5 };
        let schema = rows_schema(MODEL);
        let path = Path::new(ROWS_FILE);
        for rows in [1, 10, 200] {
            let mut batches = Batches::new(path, &schema, MODEL);
            (0..rows).for_each(|_| assert!(batches.add(&draw.record()).unwrap().is_empty()));
            let reckoned = batches.bytes;
            let message = batches.finish().unwrap();
            assert!(message.len() <= reckoned + BATCH_OVERHEAD, "{} {reckoned}", message.len());
        }
    }

    #[test]
    fn flipped_bytes_are_errors_or_other_values_but_never_a_panic() {
        let mut draw = Draw { random: fastrand::Rng::with_seed(5), null_pct: 30 };
        let dir = written((0..3).map(|_| draw.record()).collect());
        let path = dir.path().join(ROWS_FILE);
        let sound = fs::read(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(6);
        let mut refused = 0;
        for _ in 0..400 {
            let mut flipped = sound.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..flipped.len());
                flipped[at] ^= 1 << random.u8(..8);
            }
            fs::write(&path, flipped).unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let opened = read_rows(dir.path());
                opened.and_then(|rows| rows.collect::<Result<Vec<_>>>()).map(drop)
            }));
            refused += usize::from(outcome.expect("no panic comes through").is_err());
        }
        assert!(refused > 20, "{refused}");
    }

    #[test]
    fn nothing_comes_after_the_first_damaged_row() {
        let dir = written((0..3).map(record).collect());
        let path = dir.path().join(ROWS_FILE);
        let mut bytes = fs::read(&path).unwrap();
        let status = bytes.windows(6).position(|window| window == b"okokok").unwrap();
        bytes[status + 2] = b'x';
        fs::write(&path, bytes).unwrap();
        let rows: Vec<_> = read_rows(dir.path()).unwrap().collect();
        assert_eq!(rows.len(), 2);
        let refused = rows[1].as_ref().unwrap_err().to_string();
        assert!(refused.contains("row 2"), "{refused}");
    }
}
