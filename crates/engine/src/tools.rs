//! How a model says that it calls a tool, and which tools may be shown to it: one place, so that what is written into
//! the prompt, what the answer is held to and what is read out of it cannot disagree.
//!
//! Nothing here computes on a model or knows how a grammar is followed.

use domain::{Constraint, FieldError, ToolChoice, ToolSpec, Tools};
use serde_json::Value;

use crate::schema;

/// Tools of one request; the OpenAI API takes 128. All of them stand in every prompt.
const MAX_TOOLS: usize = 128;
/// All names, descriptions and parameters together: some 30 000 tokens, the window of most models that run here.
const MAX_BYTES: usize = 128 << 10;
/// Letters of a name, as in the OpenAI API.
const MAX_NAME: usize = 64;
/// Calls of one answer. More is a model going in circles.
const MAX_CALLS: usize = 8;

/// How a family of models says a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToolSyntax {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once for each call (Hermes, Qwen).
    Tagged,
    /// `<tool_call>[{"name": …, "arguments": {…}}, …]</tool_call>` (`SmolLM2`).
    TaggedList,
    /// The whole answer is `{"name": …, "parameters": {…}}` (Llama 3).
    Bare,
}

impl ToolSyntax {
    /// What a call begins with; no text of an answer holds it otherwise.
    pub const OPEN: &str = "<tool_call>";
    /// What a call ends with.
    pub const CLOSE: &str = "</tool_call>";
}

/// Whether these tools can be shown to a model at all, beside this constraint of the answer; `chat` is false for plain
/// text, which has no place to show them.
///
/// # Errors
/// Names `tools`, `tool_choice` or `response_format`, and what would be accepted.
pub fn check(tools: &Tools, constraint: Option<&Constraint>, chat: bool) -> Result<(), FieldError> {
    let specs = &*tools.specs;
    if specs.len() > MAX_TOOLS {
        return Err(refused(specs.len(), "at most 128 tools"));
    }
    let lengths = specs
        .iter()
        .map(|spec| spec.name.len() + spec.description.len() + spec.parameters.len());
    let bytes: usize = lengths.sum();
    if bytes > MAX_BYTES {
        let allowed = "at most 131072 bytes of names, descriptions and parameters together";
        return Err(refused(bytes, allowed));
    }
    for (index, spec) in specs.iter().enumerate() {
        check_name(&spec.name)?;
        if specs.iter().skip(index + 1).any(|s| s.name == spec.name) {
            return Err(refused(&spec.name, "each name once"));
        }
        parameters(spec)?;
    }
    check_choice(tools)?;
    if tools.is_usable() && constraint.is_some() {
        let allowed = "either tools or a response_format; tool_choice none allows both";
        return Err(FieldError::new("response_format", "beside tools", allowed));
    }
    if tools.is_usable() && !chat {
        return Err(refused("beside plain text", "messages instead of a prompt"));
    }
    Ok(())
}

/// The JSON Schema of a tool's arguments, which says that they are an object. Without one, any object.
///
/// # Errors
/// `tools`, when it is not the JSON of an object's schema.
pub fn parameters(spec: &ToolSpec) -> Result<Value, FieldError> {
    const ALLOWED: &str = "parameters that are a JSON Schema of type object";
    let named = |why: String| refused(format!("{}: {why}", spec.name), ALLOWED);
    if spec.parameters.trim().is_empty() {
        return Ok(serde_json::json!({ "type": "object" }));
    }
    let parsed: Result<Value, _> = serde_json::from_str(&spec.parameters);
    let mut schema = parsed.map_err(|error| named(error.to_string()))?;
    schema::check(&schema).map_err(named)?;
    let Some(fields) = schema.as_object_mut() else {
        return Err(named(schema.to_string()));
    };
    match fields.get("type") {
        None => {
            fields.insert("type".to_owned(), Value::from("object"));
        }
        Some(kind) if kind == "object" => {}
        Some(other) => return Err(named(format!("type {other}"))),
    }
    Ok(schema)
}

/// What an answer is held to that may call these tools: words or whole calls, or calls alone where the choice says so.
/// The arguments of a call follow its tool's schema.
///
/// # Errors
/// As [`parameters`].
pub fn constraint(tools: &Tools, syntax: ToolSyntax) -> Result<Constraint, FieldError> {
    let may_talk = matches!(tools.choice, ToolChoice::Auto | ToolChoice::None);
    let is_open = |spec: &&ToolSpec| match &tools.choice {
        ToolChoice::Named(name) => spec.name == *name,
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => true,
    };
    let (key, more) = match syntax {
        ToolSyntax::Tagged | ToolSyntax::TaggedList => ("arguments", MAX_CALLS - 1),
        ToolSyntax::Bare => ("parameters", 0),
    };
    let (open, close) = (ToolSyntax::OPEN, ToolSyntax::CLOSE);
    let more = if tools.one_call { 0 } else { more };
    let start = match (syntax, may_talk) {
        (ToolSyntax::Bare, true) => "start: TEXT | call\nTEXT: /([^{\\s](?s:.*))?/".to_owned(),
        (ToolSyntax::Bare, false) => "start: call".to_owned(),
        // The shortest text up to the tag: behind it there is a call and nothing else.
        (_, true) => format!(
            "start: TEXT | before calls\nTEXT: /(?s:.*)/\nbefore[suffix=\"{open}\"]: /(?s:.*)/"
        ),
        (_, false) => format!("start: \"{open}\" calls"),
    };
    let calls = match syntax {
        ToolSyntax::Tagged => format!(
            "calls: one (/\\n?/ \"{open}\" one){{0,{more}}}\none: /\\n?/ call /\\n?/ \"{close}\""
        ),
        ToolSyntax::TaggedList => format!(
            "calls: /\\n?/ \"[\" call (/,[ \\n]?/ call){{0,{more}}} \"]\" /\\n?/ \"{close}\""
        ),
        ToolSyntax::Bare => String::new(),
    };
    let specs: Vec<&ToolSpec> = tools.specs.iter().filter(is_open).collect();
    let names: Vec<String> = (0..specs.len()).map(|n| format!("call_{n}")).collect();
    let mut rules = vec![start, calls, format!("call: {}", names.join(" | "))];
    for (n, spec) in specs.into_iter().enumerate() {
        let name = &spec.name;
        let mut schema = parameters(spec)?;
        schema::compact(&mut schema);
        rules.push(format!(
            "call_{n}: \"{{\\\"name\\\": \\\"{name}\\\", \\\"{key}\\\": \" arguments_{n} \"}}\"\n\
             arguments_{n}: %json {schema}"
        ));
    }
    let lark = rules.join("\n");
    Ok(Constraint::Lark(lark.into()))
}

fn check_name(name: &str) -> Result<(), FieldError> {
    let allowed = "names of 1 to 64 letters, digits, `_` and `-`";
    let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_sound) {
        return Err(refused(name, allowed));
    }
    Ok(())
}

fn check_choice(tools: &Tools) -> Result<(), FieldError> {
    let refused = |value: &str, allowed| Err(FieldError::new("tool_choice", value, allowed));
    match &tools.choice {
        ToolChoice::Required if tools.specs.is_empty() => {
            refused("required", "auto or none, for there are no tools")
        }
        ToolChoice::Named(name) if tools.specs.iter().all(|spec| spec.name != *name) => {
            refused(name, "the name of one of the tools")
        }
        _ => Ok(()),
    }
}

fn refused(value: impl ToString, allowed: &'static str) -> FieldError {
    FieldError::new("tools", value, allowed)
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn spec(name: &str, parameters: &str) -> ToolSpec {
        ToolSpec {
            name: name.to_owned(),
            description: "does it".to_owned(),
            parameters: parameters.into(),
        }
    }

    fn tools(specs: &[ToolSpec], choice: ToolChoice) -> Tools {
        Tools {
            specs: specs.into(),
            choice,
            one_call: false,
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused_by_field() {
        let good = spec("a-B_9", r#"{"properties": {}}"#);
        let many: Vec<ToolSpec> = (0..129).map(|n| spec(&format!("t{n}"), "")).collect();
        let long = ToolSpec {
            description: "x".repeat(MAX_BYTES),
            ..good.clone()
        };
        let auto = ToolChoice::Auto;
        let named = |name: &str| ToolChoice::Named(name.to_owned());
        let cases = [
            (tools(&[], ToolChoice::Auto), None),
            (tools(std::slice::from_ref(&good), auto.clone()), None),
            (tools(&[spec("t", "")], named("t")), None),
            (tools(&many, auto.clone()), Some("tools")),
            (tools(&[long], auto.clone()), Some("tools")),
            (tools(&[spec("", "")], auto.clone()), Some("tools")),
            (tools(&[spec("a b", "")], auto.clone()), Some("tools")),
            (tools(&[spec("ä", "")], auto.clone()), Some("tools")),
            (
                tools(&[spec(&"x".repeat(65), "")], auto.clone()),
                Some("tools"),
            ),
            (tools(&[spec("t", "{")], auto.clone()), Some("tools")),
            (tools(&[spec("t", "[]")], auto.clone()), Some("tools")),
            (
                tools(&[spec("t", r#"{"type":"string"}"#)], auto.clone()),
                Some("tools"),
            ),
            (tools(&[good.clone(), good.clone()], auto), Some("tools")),
            (tools(&[], ToolChoice::Required), Some("tool_choice")),
            (
                tools(std::slice::from_ref(&good), named("b")),
                Some("tool_choice"),
            ),
        ];
        for (tools, expected) in cases {
            let field = check(&tools, None, true).err().map(|error| error.field);
            assert_eq!(field, expected, "{tools:?}");
        }
    }

    #[test]
    fn only_calls_that_may_be_made_are_in_the_form() {
        let specs = [
            spec("a", r#"{"properties":{"x":{"type":"integer"}}}"#),
            spec("b", ""),
        ];
        let lark = |choice, syntax| match constraint(&tools(&specs, choice), syntax) {
            Ok(Constraint::Lark(text)) => text.to_string(),
            other => panic!("{other:?}"),
        };
        let auto = lark(ToolChoice::Auto, ToolSyntax::Tagged);
        assert!(
            auto.contains("TEXT") && auto.contains(r#"\"a\""#) && auto.contains(r#"\"b\""#),
            "{auto}"
        );
        let named = lark(ToolChoice::Named("b".to_owned()), ToolSyntax::TaggedList);
        assert!(
            !named.contains("TEXT") && !named.contains(r#"\"a\""#),
            "{named}"
        );
        assert!(named.contains("{0,7}"), "{named}");
        let one = Tools {
            one_call: true,
            ..tools(&specs, ToolChoice::Auto)
        };
        let one = format!("{:?}", constraint(&one, ToolSyntax::TaggedList));
        assert!(one.contains("{0,0}") && !one.contains("{0,7}"), "{one}");
        let bare = lark(ToolChoice::Required, ToolSyntax::Bare);
        assert!(
            bare.starts_with("start: call\n") && bare.contains("parameters"),
            "{bare}"
        );
    }

    #[test]
    fn tools_go_with_neither_a_form_nor_plain_text() {
        let with = |choice| tools(&[spec("t", "")], choice);
        let field = |choice: ToolChoice, constraint: Option<&Constraint>, chat| {
            let checked = check(&with(choice), constraint, chat);
            checked.err().map(|error| error.field)
        };
        let form = Some(&Constraint::JsonObject);
        assert_eq!(field(ToolChoice::Auto, form, true), Some("response_format"));
        assert_eq!(field(ToolChoice::None, form, true), None);
        assert_eq!(field(ToolChoice::Auto, None, false), Some("tools"));
        assert_eq!(field(ToolChoice::None, None, false), None);
    }
}
