//! JSON as people read it: fields, tables, and in what two documents differ.

use std::collections::BTreeSet;

use serde_json::Value;

/// A field and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

/// Objects of one kind, with the fields that any of them has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// A value that two documents do not have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) one: String,
    pub(super) other: String,
}

/// The fields of an object, in their order.
pub(super) fn fields(object: &Value) -> Vec<Field> {
    let entries = object.as_object().into_iter().flatten();
    let fields = entries.filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| Field { name: name.clone(), value: text(value) }).collect()
}

impl Table {
    /// A table of objects, with these columns first. Columns in which all are null are left out.
    pub(super) fn of(objects: &[Value], first: &[&str]) -> Self {
        let is_used = |name: &&&str| objects.iter().any(|object| !object[**name].is_null());
        let mut columns: Vec<String> =
            first.iter().filter(is_used).map(|name| (*name).to_owned()).collect();
        for (name, value) in objects.iter().filter_map(Value::as_object).flatten() {
            if !value.is_null() && !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let cell = |object: &Value, name: &String| object.get(name).map(text).unwrap_or_default();
        let row = |object: &Value| columns.iter().map(|name| cell(object, name)).collect();
        let rows = objects.iter().map(row).collect();
        Self { columns, rows }
    }
}

/// At most `differences_max` values that differ, by their paths.
pub(super) fn differences(one: &Value, other: &Value, differences_max: usize) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(one), Some(other), differences_max, &mut found);
    found
}

fn compare(
    path: String,
    one: Option<&Value>,
    other: Option<&Value>,
    differences_max: usize,
    found: &mut Vec<Difference>,
) {
    if one == other || found.len() >= differences_max {
        return;
    }
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, one.get(name), other.get(name), differences_max, found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for at in 0..one.len().max(other.len()) {
                let path = format!("{path}[{at}]");
                compare(path, one.get(at), other.get(at), differences_max, found);
            }
        }
        _ => {
            let shown = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), text);
            found.push(Difference { path, one: shown(one), other: shown(other) });
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_has_the_columns_that_any_row_uses() {
        let table =
            Table::of(&[json!({"a": 1, "b": null}), json!({"b": null, "c": "x"})], &["x", "c"]);
        assert_eq!(table.columns, ["c", "a"]);
        assert_eq!(table.rows, [["", "1"], ["x", ""]]);
    }

    #[test]
    fn differences_are_named_by_their_paths_up_to_the_limit() {
        let one = json!({"total": 1, "batches": [{"id": "a", "state": "x"}], "same": [1]});
        let other = json!({"total": 2, "batches": [{"id": "a", "state": "y"}, {}], "same": [1]});
        let paths = |found: Vec<Difference>| {
            found.into_iter().map(|it| (it.path, it.one, it.other)).collect::<Vec<_>>()
        };
        let want =
            [("batches[0].state", "x", "y"), ("batches[1]", "absent", "{}"), ("total", "1", "2")]
                .map(|(path, one, other)| (path.to_owned(), one.to_owned(), other.to_owned()));
        assert_eq!(paths(differences(&one, &other, 10)), want);
        assert_eq!(paths(differences(&one, &other, 1)), want[..1]);
        assert_eq!(differences(&one, &one, 10), []);
    }
}
