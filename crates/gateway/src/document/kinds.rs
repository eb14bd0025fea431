//! Kinds of values that the derived descriptions cannot say: one of two shapes, or a single value.

use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema,
    SchemaType, Type,
};

/// A text of at least one character.
fn text() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
}

fn null() -> Object {
    Object::with_type(Type::Null)
}

fn array(of: Object, least: usize, most: usize) -> Array {
    ArrayBuilder::new()
        .items(of)
        .min_items(Some(least))
        .max_items(Some(most))
        .build()
}

/// Texts before any of which an answer ends.
pub(crate) fn stop() -> Schema {
    let one = text().max_length(Some(1024)).build();
    let schema = OneOfBuilder::new()
        .description(Some(
            "The answer ends before any of these texts, each of at most 1024 bytes.",
        ))
        .item(one.clone())
        .item(array(one, 0, 16))
        .item(null());
    schema.build().into()
}

/// What a completion goes on with.
pub(crate) fn prompt() -> Schema {
    let schema = OneOfBuilder::new()
        .description(Some(
            "A text, or an array of one. Tokens are not supported.",
        ))
        .item(text().build())
        .item(array(text().build(), 1, 1));
    schema.build().into()
}

/// What is embedded.
pub(crate) fn input() -> Schema {
    let one = text().max_length(Some(65_536)).build();
    let schema = OneOfBuilder::new()
        .description(Some(
            "A text or up to 2048 of them, each of at most 65536 bytes. Of a long one only the beginning is read, as many \
             tokens as the model takes. Tokens are not supported.",
        ))
        .item(one.clone())
        .item(array(one, 1, 2048));
    schema.build().into()
}

/// Always one answer.
pub(crate) fn one() -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(maybe(Type::Integer))
        .minimum(Some(1))
        .maximum(Some(1))
        .description(Some("One answer at a time."));
    schema.build().into()
}

/// A seed: what fits 64 bits without a sign.
pub(crate) fn seed() -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(maybe(Type::Integer))
        .minimum(Some(0))
        .maximum(Some(u64::MAX as usize))
        .description(Some("The same seed, prompt and model give the same text."));
    schema.build().into()
}

/// Only no.
pub(crate) fn never() -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(maybe(Type::Boolean))
        .enum_values(Some([
            serde_json::Value::Bool(false),
            serde_json::Value::Null,
        ]));
    schema.build().into()
}

/// Only an empty object.
pub(crate) fn empty_object() -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(maybe(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .max_properties(Some(0));
    schema.build().into()
}

/// Any JSON object.
pub(crate) fn any_object() -> Schema {
    let schema = ObjectBuilder::new().schema_type(maybe(Type::Object));
    schema.build().into()
}

/// Any JSON.
pub(crate) fn anything() -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .build()
        .into()
}

/// Only null, or an empty list.
pub(crate) fn nothing() -> Schema {
    let empty = ArrayBuilder::new().max_items(Some(0)).build();
    OneOfBuilder::new().item(null()).item(empty).build().into()
}

/// A vector, as numbers or as base64.
pub(crate) fn vector() -> Schema {
    let numbers = ArrayBuilder::new().items(Object::with_type(Type::Number));
    let base64 = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_encoding("base64")
        .description(Some(
            "Four bytes for each number (IEEE 754), the least significant first.",
        ));
    let schema = OneOfBuilder::new().item(numbers).item(base64);
    schema.build().into()
}

/// How likely the tokens at one place were, by token.
pub(crate) fn likelihoods_by_token() -> Schema {
    let number = ObjectBuilder::new().schema_type(Type::Number).build();
    let at_one_place = ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::RefOr(
            Schema::from(number).into(),
        )))
        .build();
    ArrayBuilder::new().items(at_one_place).build().into()
}

fn maybe(kind: Type) -> SchemaType {
    SchemaType::from_iter([kind, Type::Null])
}
