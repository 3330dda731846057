//! A document as it comes from the database: JSON that nobody has looked into yet.

use sqlx::{
    Database, Decode, Postgres, Sqlite, Type, TypeInfo as _, error::BoxDynError, types::Json,
};

/// A column with a state document: `json` on PostgreSQL, which sends it as it is stored, and text on
/// SQLite. Cast to `text` the server would copy it twice more.
#[derive(Debug)]
pub(super) struct Document(pub(super) String);

impl Type<Postgres> for Document {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Json<()> as Type<Postgres>>::type_info()
    }

    /// Not `jsonb`, which is sent with a byte in front.
    fn compatible(column: &<Postgres as Database>::TypeInfo) -> bool {
        column.name() == "JSON"
    }
}

impl Type<Sqlite> for Document {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(column: &<Sqlite as Database>::TypeInfo) -> bool {
        <String as Type<Sqlite>>::compatible(column)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Document
where
    String: Decode<'r, DB>,
{
    fn decode(column: <DB as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        String::decode(column).map(Self)
    }
}
