//! Parameters in the OpenAPI document, made from the limits that the handlers check.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value;
use utoipa::Modify;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, RefOr, Required};

use crate::http::context::{CORRELATION_HEADER, CORRELATION_ID_CHARS_MAX};
use crate::http::openapi::{KEY_SCHEME, SERVICE_SCHEME};

/// The teacher of the examples, whose batch is registered by the example of an event.
pub(in crate::http) const USER_EXAMPLE: &str = "teacher-17";
/// The batch of the examples.
pub(in crate::http) const BATCH_EXAMPLE: &str = "0b5e2a44-7d1f-4c9a-9a11-000000000001";

/// The path below which authentication is needed.
const INTERNAL: &str = "/internal/v1/";

/// An id in the path, of this schema.
pub(in crate::http) fn path_id(
    name: &str,
    schema: impl Into<RefOr<Schema>>,
    example: impl Into<Value>,
) -> Parameter {
    parameter(name, ParameterIn::Path, schema)
        .required(Required::True)
        .description(Some("percent-encoded: a slash in it is `%2F`"))
        .example(Some(example.into()))
        .build()
}

/// A whole number in the query.
pub(in crate::http) fn number<N: Copy + Display + Into<i64>>(
    name: &str,
    range: RangeInclusive<N>,
    default: N,
    description: &str,
) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(Into::<i64>::into(*range.start())))
        .maximum(Some(Into::<i64>::into(*range.end())))
        .default(Some(Into::<i64>::into(default).into()));
    query(name, schema.build(), description)
}

/// One of these words in the query.
pub(in crate::http) fn word<'a>(
    name: &str,
    allowed: impl IntoIterator<Item = &'a str>,
    description: &str,
) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(allowed));
    query(name, schema.build(), description)
}

/// Any of these in the query, each as a parameter of its own.
pub(in crate::http) fn list(
    name: &str,
    items: ObjectBuilder,
    items_max: usize,
    description: &str,
    example: &str,
) -> Parameter {
    let schema = ArrayBuilder::new().items(items.build()).max_items(Some(items_max));
    let parameter = parameter(name, ParameterIn::Query, schema.build());
    let parameter = parameter.required(Required::False).description(Some(description));
    parameter.example(Some(vec![example].into())).build()
}

/// A time in the query.
pub(in crate::http) fn time(name: &str, description: &str) -> Parameter {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    query(name, text().format(Some(format)).build(), description)
}

/// A parameter of the query.
pub(in crate::http) fn query(
    name: &str,
    schema: impl Into<RefOr<Schema>>,
    description: &str,
) -> Parameter {
    let parameter = parameter(name, ParameterIn::Query, schema);
    parameter.required(Required::False).description(Some(description)).build()
}

/// A header of the request.
pub(in crate::http) fn header(name: &str, description: &str) -> Parameter {
    let parameter = parameter(name, ParameterIn::Header, text().build());
    parameter.required(Required::False).description(Some(description)).build()
}

/// Schema of any text.
pub(in crate::http) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

fn parameter(name: &str, place: ParameterIn, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(place).schema(Some(schema))
}

/// Adds what every operation takes: the correlation id, and below [`INTERNAL`] the authentication.
pub(super) struct SharedParameters;

impl Modify for SharedParameters {
    fn modify(&self, document: &mut OpenApi) {
        for (path, operation) in operations(document) {
            operation.parameters.get_or_insert_default().push(RefOr::T(header(
                CORRELATION_HEADER.as_str(),
                &format!(
                    "echoed, and in every log line of the request; one that is not 1 to \
                     {CORRELATION_ID_CHARS_MAX} visible ASCII characters is replaced"
                ),
            )));
            if path.starts_with(INTERNAL) {
                let none: [&str; 0] = [];
                let both = SecurityRequirement::new(KEY_SCHEME, none).add(SERVICE_SCHEME, none);
                operation.security = Some(vec![both]);
            }
        }
    }
}

/// Every operation with its path.
pub(super) fn operations(document: &mut OpenApi) -> impl Iterator<Item = (&str, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        operations.into_iter().flatten().map(|operation| (&**path, operation))
    })
}
