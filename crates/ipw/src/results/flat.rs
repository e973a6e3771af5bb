//! The rows as one flat table: a column for each value, whatever group it is in.

use arrow2::datatypes::{DataType, Field};
use serde_json::Value;

use super::Result;
use super::error::ResultsError;
use super::rows::to_row;
use super::schema::{ANSWERS, METRICS, rows_schema};
use crate::record::ProfilingRecord;

/// What a column of the flat table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlatKind {
    /// 64-bit floating point.
    Float,
    /// 64-bit signed.
    Integer,
    /// True or false.
    Boolean,
    /// UTF-8.
    Text,
}

/// A column of the flat table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatColumn {
    /// The groups' names and its own, joined by `_`; without the model's, which stands in every row.
    pub name: String,
    /// What it holds.
    pub kind: FlatKind,
    path: Vec<String>,
}

/// A row of which columns take their values.
#[derive(Debug)]
pub struct FlatRow(Value);

impl FlatRow {
    /// The row of a record of a run on `model`.
    ///
    /// # Errors
    /// The record can't be encoded: a mistake of this program.
    pub fn of(record: &ProfilingRecord, model: &str) -> Result<Self> {
        to_row(record, model)
            .map(Self)
            .map_err(|source| ResultsError::unencodable("the flat table".as_ref(), source))
    }
}

impl FlatColumn {
    /// This column's value in a row; `Value::Null` where it isn't known.
    #[must_use]
    pub fn value<'a>(&self, FlatRow(row): &'a FlatRow) -> &'a Value {
        self.path.iter().try_fold(row, |value, name| value.get(name)).unwrap_or(&Value::Null)
    }
}

/// The columns of a run on `model`, in the order of the rows' own. The model's answer is `response`.
#[must_use]
pub fn flat_columns(model: &str) -> Vec<FlatColumn> {
    let mut columns = Vec::new();
    for field in rows_schema(model).fields {
        match field.name.as_str() {
            ANSWERS => columns.push(FlatColumn {
                name: "response".to_owned(),
                kind: FlatKind::Text,
                path: vec![ANSWERS.to_owned(), model.to_owned()],
            }),
            METRICS => {
                let below = children(&field).first().map_or(&[][..], children);
                let path = [METRICS.to_owned(), model.to_owned()];
                below.iter().for_each(|group| add(group, &path, "", &mut columns));
            }
            _ => add(&field, &[], "", &mut columns),
        }
    }
    columns
}

fn children(field: &Field) -> &[Field] {
    match &field.data_type {
        DataType::Struct(children) => children,
        _ => &[],
    }
}

fn add(field: &Field, above: &[String], prefix: &str, columns: &mut Vec<FlatColumn>) {
    let mut path = above.to_vec();
    path.push(field.name.clone());
    let name = format!("{prefix}{}", field.name);
    let kind = match &field.data_type {
        DataType::Struct(children) => {
            let prefix = format!("{name}_");
            return children.iter().for_each(|child| add(child, &path, &prefix, columns));
        }
        DataType::Float64 => FlatKind::Float,
        DataType::Int64 | DataType::UInt32 => FlatKind::Integer,
        DataType::Boolean => FlatKind::Boolean,
        // A list as JSON; an unsigned number that may not fit a signed one is a name and no quantity.
        _ => FlatKind::Text,
    };
    columns.push(FlatColumn { name, kind, path });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_free_of_the_models() {
        let columns = flat_columns("org/m:1b");
        let names: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names.len(), columns.len());
        assert!(
            names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        );
        for name in [
            "query_index",
            "response",
            "energy_metrics_basis_joules",
            "power_metrics_gpu_total_watts_avg",
            "lm_correctness",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }
}
