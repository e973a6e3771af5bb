//! From JSON values to Arrow columns, guided by the columns' types alone: objects are structs, arrays
//! are lists, and `null` is `null` everywhere. Exact: a float keeps every bit, and a value that its
//! column can't hold is an error. The way back is in `cells`.

use arrow2::array::{Array, BooleanArray, ListArray, PrimitiveArray, StructArray, Utf8Array};
use arrow2::bitmap::Bitmap;
use arrow2::datatypes::{DataType, Field};
use arrow2::offset::Offsets;
use arrow2::types::NativeType;
use serde_json::Value;

use super::stream::Batch;

/// Why values don't become a column.
#[derive(Debug, thiserror::Error)]
pub(super) enum ColumnError {
    /// A value of another type than the column's.
    #[error("a {data_type:?} column can't hold {value}")]
    WrongType {
        /// The column's type.
        data_type: DataType,
        /// Which value, without its content.
        value: &'static str,
    },
    /// A type that no column of ours has.
    #[error("columns of type {0:?} are not in use")]
    Unsupported(DataType),
    /// What Arrow says.
    #[error(transparent)]
    Arrow(#[from] arrow2::error::Error),
}

/// The column of `values`, all of which are null or of `data_type`.
fn encode(data_type: &DataType, values: &[&Value]) -> Result<Box<dyn Array>, ColumnError> {
    match data_type {
        DataType::Float64 => primitive(data_type, values, Value::as_f64),
        DataType::Int64 => primitive(data_type, values, Value::as_i64),
        DataType::UInt64 => primitive(data_type, values, Value::as_u64),
        DataType::UInt32 => primitive(data_type, values, |value| {
            value.as_u64().and_then(|wide| u32::try_from(wide).ok())
        }),
        DataType::Boolean => {
            Ok(BooleanArray::from_iter(typed(data_type, values, Value::as_bool)?).boxed())
        }
        DataType::Utf8 => {
            Ok(Utf8Array::<i32>::from_iter(typed(data_type, values, Value::as_str)?).boxed())
        }
        DataType::Struct(fields) => structs(data_type, fields, values),
        DataType::List(item) => lists(data_type, item, values),
        other => Err(ColumnError::Unsupported(other.clone())),
    }
}

/// The columns of `rows`, each an object whose members are the cells.
pub(super) fn encode_rows(fields: &[Field], rows: &[Value]) -> Result<Batch, ColumnError> {
    let rows: Vec<_> = rows.iter().collect();
    let columns = fields.iter().map(|field| encode_member(field, &rows));
    Ok(Batch::try_new(columns.collect::<Result<_, _>>()?)?)
}

/// At most this many bytes are needed to store `value`, but for the padding of the buffers.
pub(super) fn stored_bytes(data_type: &DataType, value: &Value) -> usize {
    // One bit of each is for validity; it is counted as a byte.
    1 + match data_type {
        DataType::Struct(fields) => fields
            .iter()
            .map(|field| stored_bytes(&field.data_type, member(value, &field.name)))
            .sum(),
        DataType::List(item) => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            size_of::<i32>()
                + items.iter().map(|each| stored_bytes(&item.data_type, each)).sum::<usize>()
        }
        DataType::Utf8 => size_of::<i32>() + value.as_str().map_or(0, str::len),
        DataType::Boolean => 1,
        _ => size_of::<u64>(),
    }
}

/// Whether [`encode`] and `cells` know this type and every type inside it.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float64
        | DataType::Int64
        | DataType::UInt64
        | DataType::UInt32
        | DataType::Boolean
        | DataType::Utf8 => true,
        DataType::Struct(fields) => fields.iter().all(|field| is_supported(&field.data_type)),
        DataType::List(item) => is_supported(&item.data_type),
        _ => false,
    }
}

/// A field of `object`; null where it has none or is itself null.
fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get(name).unwrap_or(&Value::Null)
}

fn primitive<T: NativeType>(
    data_type: &DataType,
    values: &[&Value],
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Box<dyn Array>, ColumnError> {
    Ok(PrimitiveArray::<T>::from_iter(typed(data_type, values, read)?).boxed())
}

/// Each value read by `read`; one that is there but can't be read is an error, never null.
fn typed<'a, T>(
    data_type: &DataType,
    values: &[&'a Value],
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>, ColumnError> {
    let read_one = |value: &'a Value| match read(value) {
        None if !value.is_null() => Err(wrong_type(data_type, value)),
        known => Ok(known),
    };
    values.iter().map(|value| read_one(value)).collect()
}

fn structs(
    data_type: &DataType,
    fields: &[Field],
    values: &[&Value],
) -> Result<Box<dyn Array>, ColumnError> {
    if let Some(wrong) = values.iter().find(|value| !value.is_null() && !value.is_object()) {
        return Err(wrong_type(data_type, wrong));
    }
    let children = fields.iter().map(|field| encode_member(field, values));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    Ok(StructArray::try_new(data_type.clone(), children, validity(values))?.boxed())
}

fn encode_member(field: &Field, objects: &[&Value]) -> Result<Box<dyn Array>, ColumnError> {
    let members: Vec<_> = objects.iter().map(|object| member(object, &field.name)).collect();
    encode(&field.data_type, &members)
}

fn lists(
    data_type: &DataType,
    item: &Field,
    values: &[&Value],
) -> Result<Box<dyn Array>, ColumnError> {
    let lists = typed(data_type, values, Value::as_array)?;
    let lengths = lists.iter().map(|list| list.map_or(0, Vec::len));
    let offsets = Offsets::<i32>::try_from_lengths(lengths)?;
    let items: Vec<&Value> = lists.iter().flatten().copied().flatten().collect();
    let items = encode(&item.data_type, &items)?;
    Ok(ListArray::try_new(data_type.clone(), offsets.into(), items, validity(values))?.boxed())
}

fn validity(values: &[&Value]) -> Option<Bitmap> {
    let valid = Bitmap::from_iter(values.iter().map(|value| !value.is_null()));
    (valid.unset_bits() > 0).then_some(valid)
}

fn wrong_type(data_type: &DataType, value: &Value) -> ColumnError {
    let value = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "this number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    ColumnError::WrongType { data_type: data_type.clone(), value }
}

#[cfg(test)]
mod tests {
    use super::super::cells::Column;
    use super::*;
    use serde_json::json;

    fn round_trip(data_type: &DataType, values: &[Value]) -> Vec<Value> {
        let column = encode(data_type, &values.iter().collect::<Vec<_>>()).unwrap();
        let cells = Column::of(&*column);
        (0..column.len()).map(|row| cells.read(row).unwrap()).collect()
    }

    #[test]
    fn every_type_keeps_its_values_and_its_nulls() {
        let item = Field::new("item", DataType::Float64, true);
        let cases = [
            (DataType::Float64, vec![json!(-0.0), json!(null), json!(5e-324), json!(f64::MAX)]),
            (DataType::Int64, vec![json!(i64::MIN), json!(null), json!(i64::MAX)]),
            (DataType::UInt64, vec![json!(u64::MAX), json!(null)]),
            (DataType::UInt32, vec![json!(u32::MAX), json!(null)]),
            (DataType::Boolean, vec![json!(true), json!(null), json!(false)]),
            (DataType::Utf8, vec![json!(""), json!(null), json!("zwölf \u{1F600}\0")]),
            (
                DataType::List(Box::new(item.clone())),
                vec![json!([]), json!(null), json!([1.5, null])],
            ),
            (
                DataType::Struct(vec![item]),
                vec![json!({"item": null}), json!(null), json!({"item": 2.0})],
            ),
        ];
        for (data_type, values) in cases {
            assert!(is_supported(&data_type));
            assert_eq!(round_trip(&data_type, &values), values, "{data_type:?}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_its_column_is_an_error_and_never_null() {
        let cases = [
            (DataType::Int64, json!(u64::MAX)),
            (DataType::Int64, json!(1.5)),
            (DataType::UInt32, json!(u64::from(u32::MAX) + 1)),
            (DataType::UInt64, json!(-1)),
            (DataType::Utf8, json!(1)),
            (DataType::Struct(vec![]), json!("text")),
        ];
        for (data_type, value) in cases {
            let refused = encode(&data_type, &[&value]);
            assert!(matches!(refused, Err(ColumnError::WrongType { .. })), "{value}: {refused:?}");
        }
    }

    #[test]
    fn dictionaries_maps_and_wide_offsets_are_not_supported() {
        let inside = DataType::List(Box::new(Field::new("item", DataType::LargeUtf8, true)));
        assert!(!is_supported(&inside));
        assert!(!is_supported(&DataType::Null));
    }

    #[test]
    fn the_stored_size_counts_text_by_its_bytes_and_lists_by_their_items() {
        let list = DataType::List(Box::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(stored_bytes(&DataType::Utf8, &json!("é")), 1 + 4 + 2);
        assert_eq!(stored_bytes(&list, &json!(["a", "bc"])), 5 + (5 + 1) + (5 + 2));
        assert_eq!(stored_bytes(&list, &Value::Null), 5);
    }
}
