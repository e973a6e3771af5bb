//! Files as the benchmarks on the hub have them, with questions of our own: as many rows as a test wants.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

const MMLU_PRO: &str = "message schema {
    optional int64 question_id;
    optional binary question (STRING);
    optional group options (LIST) { repeated group list { optional binary element (STRING); } }
    optional binary answer (STRING);
    optional int64 answer_index;
    optional binary cot_content (STRING);
    optional binary category (STRING);
    optional binary src (STRING);
}";

/// A row of MMLU-Pro.
#[derive(Debug, Clone)]
pub struct LetteredRow {
    /// What is asked.
    pub question: String,
    /// What can be chosen.
    pub options: Vec<String>,
    /// The place of the right one, from 0.
    pub right: usize,
    /// What it is about.
    pub subject: String,
}

impl LetteredRow {
    /// The row of this number: ten options, each its number times ten and its place, of which the one
    /// whose place is the number's last digit is right. Its length is that of a usual question.
    #[must_use]
    pub fn number(number: usize) -> Self {
        let story = "A number is written on each of ten cards, and the cards are laid in a row. ";
        Self {
            question: format!("{}Which is card {number}?", story.repeat(3)),
            options: (0..10)
                .map(|place| format!("the card with {}", number * 10 + place))
                .collect(),
            right: number % 10,
            subject: ["math", "law", "physics"][number % 3].to_owned(),
        }
    }

    /// Its letter.
    ///
    /// # Panics
    /// If its place has none.
    #[must_use]
    pub fn letter(&self) -> char {
        char::from(b'A' + u8::try_from(self.right).expect("a place has a letter"))
    }
}

/// A Parquet file with these rows, as MMLU-Pro's.
///
/// # Panics
/// If it can't be written: a mistake in here.
#[must_use]
pub fn mmlu_pro(rows: &[LetteredRow]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(MMLU_PRO).expect("it is a schema"));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))
        .expect("memory can be written");
    let mut group = writer.next_row_group().expect("memory can be written");
    for number in 0.. {
        let Some(mut column) = group.next_column().expect("memory can be written") else { break };
        let text = |of: &dyn Fn(&LetteredRow) -> String| -> Vec<ByteArray> {
            rows.iter().map(|row| ByteArray::from(of(row).into_bytes())).collect()
        };
        let there = vec![1; rows.len()];
        let written = match number {
            0 | 4 => {
                let values: Vec<i64> = rows
                    .iter()
                    .enumerate()
                    .map(|(id, row)| if number == 0 { id as i64 } else { row.right as i64 })
                    .collect();
                column.typed::<Int64Type>().write_batch(&values, Some(&there), None)
            }
            2 => {
                let options = rows.iter().flat_map(|row| &row.options);
                let values: Vec<ByteArray> =
                    options.map(|option| ByteArray::from(option.clone().into_bytes())).collect();
                let first = |row: &LetteredRow| (0..row.options.len()).map(|at| i16::from(at > 0));
                let repetitions: Vec<i16> = rows.iter().flat_map(first).collect();
                let there = vec![3; values.len()];
                column.typed::<ByteArrayType>().write_batch(
                    &values,
                    Some(&there),
                    Some(&repetitions),
                )
            }
            _ => {
                let values = match number {
                    1 => text(&|row| row.question.clone()),
                    3 => text(&|row| row.letter().to_string()),
                    5 => text(&|_| "not to be read".to_owned()),
                    6 => text(&|row| row.subject.clone()),
                    _ => text(&|_| "ours".to_owned()),
                };
                column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)
            }
        };
        written.and_then(|_| column.close()).expect("memory can be written");
    }
    group.close().expect("memory can be written");
    writer.into_inner().expect("memory can be written")
}

/// A file of JSON lines with the same rows, as SuperGPQA's.
#[must_use]
pub fn supergpqa(rows: &[LetteredRow]) -> Vec<u8> {
    let line = |(id, row): (usize, &LetteredRow)| {
        let row = json!({
            "uuid": format!("u{id}"), "question": row.question, "options": row.options,
            "answer": row.options[row.right], "answer_letter": row.letter().to_string(),
            "discipline": row.subject, "field": "cards", "subfield": "rows", "difficulty": "easy",
            "is_calculation": false,
        });
        format!("{row}\n")
    };
    rows.iter().enumerate().map(line).collect::<String>().into_bytes()
}

/// A CSV file of questions whose right answer is `right N`, as GPQA's.
#[must_use]
pub fn gpqa(rows: usize) -> Vec<u8> {
    let mut text = "Pre-Revision Question,Subdomain,Record ID,High-level domain,Question,\
                    Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\r\n"
        .to_owned();
    for row in 0..rows {
        text.push_str(&format!(
            "\"x, \"\"y\"\"\",Optics,rec{row},Physics,\"Which of them,\n{row}?\",\"right {row}\n\",\
             wrong {row} a,wrong {row} b,wrong {row} c\r\n"
        ));
    }
    text.into_bytes()
}

/// A file of JSON lines with sums, as MATH-500's.
#[must_use]
pub fn math500(rows: usize) -> Vec<u8> {
    let line = |row: usize| {
        let row = json!({
            "problem": format!("What is ${row}+{row}$?"), "solution": "Add them.",
            "answer": (2 * row).to_string(), "subject": "Algebra", "level": 1,
            "unique_id": format!("test/algebra/{row}.json"),
        });
        format!("{row}\n")
    };
    (0..rows).map(line).collect::<String>().into_bytes()
}
