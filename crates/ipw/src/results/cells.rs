//! Rows of Arrow columns, read straight into the types they were written from.
//!
//! A column knows those below it by name. The first row that is read as a struct finds which of them is
//! which field; from then on fields are met in the order in which they are declared, no name is compared,
//! and a column that isn't declared is never looked at. A column that isn't there is null in each row.
//! Floats keep every bit; one that isn't finite, which we don't write, is null.

use std::cell::OnceCell;

use arrow2::array::{Array, BooleanArray, ListArray, PrimitiveArray, StructArray, Utf8Array};
use arrow2::bitmap::Bitmap;
use arrow2::buffer::Buffer;
use arrow2::datatypes::DataType;
use arrow2::offset::OffsetsBuffer;
use arrow2::types::NativeType;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// A column of a batch, with those below it. It is always read as the same type.
pub(super) struct Column {
    validity: Option<Bitmap>,
    values: Values,
}

enum Values {
    Float64(Buffer<f64>),
    Int64(Buffer<i64>),
    UInt64(Buffer<u64>),
    UInt32(Buffer<u32>),
    Boolean(Bitmap),
    Text(Utf8Array<i32>),
    Group(Group),
    List { offsets: OffsetsBuffer<i32>, items: Box<Column> },
}

/// Columns by name.
#[derive(Default)]
struct Group {
    columns: Vec<(String, Column)>,
    /// For each field of the struct that rows are read as: its column.
    order: OnceCell<Vec<Option<usize>>>,
}

/// What is in one row of a column.
#[derive(Clone, Copy)]
struct Cell<'a> {
    /// `None`: there is no such column.
    column: Option<&'a Column>,
    row: usize,
}

impl Column {
    /// The column of `array`.
    ///
    /// # Panics
    /// If its type, or one inside it, isn't supported.
    pub(super) fn of(array: &dyn Array) -> Self {
        let values = match array.data_type() {
            DataType::Float64 => Values::Float64(numbers(array)),
            DataType::Int64 => Values::Int64(numbers(array)),
            DataType::UInt64 => Values::UInt64(numbers(array)),
            DataType::UInt32 => Values::UInt32(numbers(array)),
            DataType::Boolean => Values::Boolean(as_array::<BooleanArray>(array).values().clone()),
            DataType::Utf8 => Values::Text(as_array::<Utf8Array<i32>>(array).clone()),
            DataType::Struct(fields) => {
                let children = as_array::<StructArray>(array).values();
                let named = fields.iter().zip(children);
                let columns =
                    named.map(|(field, child)| (field.name.clone(), Self::of(&**child))).collect();
                Values::Group(Group { columns, ..Group::default() })
            }
            DataType::List(_) => {
                let list = as_array::<ListArray<i32>>(array);
                let items = Box::new(Self::of(&**list.values()));
                Values::List { offsets: list.offsets().clone(), items }
            }
            other => unreachable!("{other:?} was refused with the schema"),
        };
        Self { validity: array.validity().cloned(), values }
    }

    /// One that has these below it. Of two with the same name the last counts.
    pub(super) fn group(columns: Vec<(String, Self)>) -> Self {
        Self { validity: None, values: Values::Group(Group { columns, ..Group::default() }) }
    }

    /// The first below this one; null where this is. `None` if it has none.
    pub(super) fn into_first(self) -> Option<Self> {
        let Values::Group(group) = self.values else { return None };
        let (_, first) = group.columns.into_iter().next()?;
        let validity = match (self.validity, first.validity) {
            (Some(outer), Some(inner)) => Some(&outer & &inner),
            (outer, inner) => outer.or(inner),
        };
        Some(Self { validity, ..first })
    }

    /// What is in a row.
    ///
    /// # Errors
    /// It isn't what `T` is made of.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn read<'de, T: Deserialize<'de>>(&self, row: usize) -> Result<T, Error> {
        T::deserialize(Cell { column: Some(self), row })
    }
}

impl Group {
    /// The column of each of `fields`.
    fn order(&self, fields: &[&str]) -> &[Option<usize>] {
        let position = |field: &&str| self.columns.iter().rposition(|(name, _)| name == field);
        self.order.get_or_init(|| fields.iter().map(position).collect())
    }
}

impl<'a> Cell<'a> {
    /// `None` of null.
    fn values(self) -> Option<&'a Values> {
        let column = self.column?;
        let is_valid = column.validity.as_ref().is_none_or(|validity| validity.get_bit(self.row));
        let values = Some(&column.values).filter(|_| is_valid);
        match values {
            Some(Values::Float64(floats)) if !floats[self.row].is_finite() => None,
            values => values,
        }
    }

    fn beside(self, column: Option<&'a Column>) -> Self {
        Self { column, ..self }
    }
}

impl<'de> IntoDeserializer<'de> for Cell<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Cell<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let row = self.row;
        let Some(values) = self.values() else { return visitor.visit_unit() };
        match values {
            Values::Float64(floats) => visitor.visit_f64(floats[row]),
            Values::Int64(integers) => visitor.visit_i64(integers[row]),
            Values::UInt64(integers) => visitor.visit_u64(integers[row]),
            Values::UInt32(integers) => visitor.visit_u32(integers[row]),
            Values::Boolean(bits) => visitor.visit_bool(bits.get_bit(row)),
            Values::Text(texts) => visitor.visit_str(texts.value(row)),
            Values::Group(group) => {
                let members = group.columns.iter();
                let members =
                    members.map(|(name, column)| (name.as_str(), self.beside(Some(column))));
                visitor.visit_map(MapDeserializer::new(members))
            }
            Values::List { offsets, items } => {
                let (start, end) = offsets.start_end(row);
                let items = (start..end).map(|row| Cell { column: Some(items), row });
                visitor.visit_seq(SeqDeserializer::new(items))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.values() {
            None => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Some(Values::Group(group)) = self.values() else {
            return self.deserialize_any(visitor);
        };
        let columns = group.order(fields).iter();
        let columns = columns.map(|place| place.map(|place| &group.columns[place].1));
        visitor.visit_seq(SeqDeserializer::new(columns.map(|column| self.beside(column))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.values() {
            Some(Values::Text(texts)) => {
                visitor.visit_enum(texts.value(self.row).into_deserializer())
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn numbers<T: NativeType>(array: &dyn Array) -> Buffer<T> {
    as_array::<PrimitiveArray<T>>(array).values().clone()
}

fn as_array<A: Array>(array: &dyn Array) -> &A {
    array.as_any().downcast_ref().expect("an array's type follows from its data type")
}

#[cfg(test)]
mod tests {
    use super::super::columns::encode_rows;
    use super::*;
    use arrow2::datatypes::Field;
    use serde::Deserialize;
    use serde_json::{Value, json};

    fn columns(fields: &[Field], rows: &[Value]) -> Column {
        let batch = encode_rows(fields, rows).unwrap();
        let named = fields.iter().zip(batch.arrays());
        Column::group(
            named.map(|(field, array)| (field.name.clone(), Column::of(&**array))).collect(),
        )
    }

    fn field(name: &str, data_type: DataType) -> Field {
        Field::new(name, data_type, true)
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Box::new(field("item", item)))
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Good,
        QuiteBad,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        text: Option<String>,
        numbers: Vec<Option<f64>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        word: Word,
        inner: Option<Inner>,
        all: Vec<Inner>,
        wide: Option<u64>,
        narrow: u32,
        truth: Option<bool>,
    }

    /// In another order than the struct's, and with columns that it doesn't declare.
    fn fields() -> Vec<Field> {
        let inner = DataType::Struct(vec![
            field("unknown", DataType::Boolean),
            field("numbers", list(DataType::Float64)),
            field("text", DataType::Utf8),
        ]);
        vec![
            field("truth", DataType::Boolean),
            field("unknown", inner.clone()),
            field("all", list(inner.clone())),
            field("narrow", DataType::UInt32),
            field("inner", inner),
            field("wide", DataType::UInt64),
            field("word", DataType::Utf8),
        ]
    }

    #[test]
    fn structs_lists_and_nulls_are_read_by_name_at_every_level() {
        let rows = [
            json!({
                "word": "quite_bad", "truth": false, "narrow": u32::MAX, "wide": u64::MAX,
                "inner": { "text": "zwölf", "numbers": [-0.0, null, 5e-324] },
                "all": [{ "text": null, "numbers": [] }, { "text": "", "numbers": [1.5] }],
            }),
            json!({ "word": "good", "narrow": 0, "all": [] }),
        ];
        let columns = columns(&fields(), &rows);
        let first: Outer = columns.read(0).unwrap();
        let inner = |text: Option<&str>, numbers: &[Option<f64>]| Inner {
            text: text.map(str::to_owned),
            numbers: numbers.to_vec(),
        };
        let expected = Outer {
            word: Word::QuiteBad,
            inner: Some(inner(Some("zwölf"), &[Some(-0.0), None, Some(5e-324)])),
            all: vec![inner(None, &[]), inner(Some(""), &[Some(1.5)])],
            wide: Some(u64::MAX),
            narrow: u32::MAX,
            truth: Some(false),
        };
        assert_eq!(first, expected);
        assert!(first.inner.unwrap().numbers[0].unwrap().is_sign_negative());
        let expected = Outer {
            word: Word::Good,
            inner: None,
            all: vec![],
            wide: None,
            narrow: 0,
            truth: None,
        };
        assert_eq!(columns.read::<Outer>(1).unwrap(), expected);
    }

    #[test]
    fn a_missing_column_is_null_and_an_error_where_null_cannot_be() {
        let rows = [json!({ "word": "good", "narrow": 1, "all": [] })];
        let without = |name: &str| {
            let fields: Vec<_> = fields().into_iter().filter(|field| field.name != name).collect();
            columns(&fields, &rows).read::<Outer>(0)
        };
        assert!(["wide", "truth", "inner", "unknown"].map(without).iter().all(Result::is_ok));
        for name in ["word", "narrow", "all"] {
            let refused = without(name).unwrap_err().to_string();
            assert!(refused.contains("invalid type"), "{name}: {refused}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        let good = json!({ "word": "good", "narrow": 1, "all": [] });
        for (name, data_type, value) in [
            ("word", DataType::Utf8, json!("middling")),
            ("word", DataType::Int64, json!(1)),
            ("word", DataType::Utf8, json!(null)),
            ("narrow", DataType::Int64, json!(-1)),
            ("narrow", DataType::UInt64, json!(u64::from(u32::MAX) + 1)),
            ("narrow", DataType::Float64, json!(1.0)),
            ("truth", DataType::Utf8, json!("true")),
            ("wide", DataType::Struct(vec![field("wide", DataType::UInt64)]), json!({ "wide": 1 })),
            ("inner", list(DataType::Utf8), json!(["text"])),
            ("all", DataType::Utf8, json!("text")),
        ] {
            let (mut fields, mut row) = (fields(), good.clone());
            fields.retain(|field| field.name != name);
            fields.push(field(name, data_type));
            row[name] = value;
            let read = columns(&fields, &[row.clone()]).read::<Outer>(0);
            assert!(read.is_err(), "{row}: {read:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_null() {
        let array = PrimitiveArray::from_slice([f64::NAN, f64::INFINITY, f64::MAX]);
        let column = Column::of(&array);
        let read: Vec<Option<f64>> = (0..3).map(|row| column.read(row).unwrap()).collect();
        assert_eq!(read, [None, None, Some(f64::MAX)]);
        assert!(column.read::<f64>(0).is_err());
    }

    #[test]
    fn what_is_below_a_null_is_null() {
        let outer = DataType::Struct(vec![field("model", DataType::Utf8)]);
        let rows = [json!({ "outer": { "model": "a" } }), json!({}), json!({ "outer": {} })];
        let batch = encode_rows(&[field("outer", outer)], &rows).unwrap();
        let below = Column::of(&*batch.arrays()[0]).into_first().unwrap();
        let read: Vec<Option<String>> = (0..3).map(|row| below.read(row).unwrap()).collect();
        assert_eq!(read, [Some("a".to_owned()), None, None]);
        assert!(Column::group(Vec::new()).into_first().is_none());
    }
}
