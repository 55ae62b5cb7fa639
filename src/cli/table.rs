//! Lists for people: a heading, columns, sizes in units. Programs ask for JSON instead.

use serde_json::Value;

/// One column: its heading, the field it shows, and how.
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) field: &'static str,
    pub(super) shown: fn(&Value) -> String,
}

/// The lines of a list, heading first.
pub(super) fn lines(items: &[Value], columns: &[Column]) -> Vec<String> {
    let heading = columns.iter().map(|column| column.heading.to_owned());
    let mut rows: Vec<Vec<String>> = vec![heading.collect()];
    rows.extend(items.iter().map(|item| {
        let cell = |column: &Column| item.get(column.field).map_or_else(none, column.shown);
        columns.iter().map(cell).collect()
    }));
    let width = |at| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns.len()).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// What is there of one item, in a line.
pub(super) fn line(item: &Value, columns: &[Column]) -> String {
    let shown = columns
        .iter()
        .filter_map(|column| Some((column.shown)(item.get(column.field)?)));
    shown.collect::<Vec<_>>().join("  ")
}

/// A value without JSON's marks.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Null => none(),
        other => other.to_string(),
    }
}

/// Bytes in the unit that people would take.
pub(super) fn size(value: &Value) -> String {
    let Some(bytes) = value.as_u64() else {
        return plain(value);
    };
    let (mut unit, mut tenths) = ("B", u128::from(bytes) * 10);
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        (unit, tenths) = (larger, tenths / 1024);
    }
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        rest => format!("{}.{rest} {unit}", tenths / 10),
    }
}

/// Whether an account is in use.
pub(super) fn state(disabled: &Value) -> String {
    match disabled.as_bool() {
        Some(true) => "disabled".to_owned(),
        _ => "in use".to_owned(),
    }
}

/// Whose an account is.
pub(super) fn kind(shared: &Value) -> String {
    match shared.as_bool() {
        Some(true) => "shared".to_owned(),
        _ => "personal".to_owned(),
    }
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_have_a_heading_and_columns() {
        let column = |heading, field, shown| Column {
            heading,
            field,
            shown,
        };
        let columns = [
            column("ACCOUNT", "account", plain as fn(&Value) -> String),
            column("USED", "used", size),
            column("STATE", "disabled", state),
            column("KIND", "shared", kind),
            column("ALSO", "also", plain),
        ];
        let items = [
            json!({ "account": "al@x.org", "used": 1536, "disabled": true, "shared": true,
                    "also": ["a", "b"] }),
            json!({ "account": "b@x.org", "used": 0, "disabled": false, "shared": false }),
        ];
        let expected = [
            "ACCOUNT   USED     STATE     KIND      ALSO",
            "al@x.org  1.5 KiB  disabled  shared    a b",
            "b@x.org   0 B      in use    personal  -",
        ];
        assert_eq!(lines(&items, &columns), expected);
        assert_eq!(line(&items[1], &columns), "b@x.org  0 B  in use  personal");
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (10 << 30, "10 GiB"),
            (1_500_000, "1.4 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(&json!(bytes)), text);
        }
    }
}
