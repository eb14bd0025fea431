//! What becomes of tools, calls and results, for templates that know them and for those that do not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use domain::ToolCallId;

use super::*;
use crate::template::ChatTemplate;

fn look() -> ToolSpec {
    ToolSpec {
        name: "look".to_owned(),
        description: "Looks for <it>.".to_owned(),
        parameters: r#"{"type":"object","properties":{"z":{"type":"string"},"a":{}}}"#.into(),
    }
}

fn call(n: u32) -> ToolCall {
    ToolCall {
        id: ToolCallId::new(format!("c{n}")),
        name: "look".to_owned(),
        arguments: format!("{{\"z\":\"{n} <\"}}"),
    }
}

/// Two calls and their results.
fn chat() -> Vec<Value> {
    [
        Message::system("Be brief."),
        Message::user("Hi"),
        Message::calling("Let me see.", vec![call(1), call(2)]),
        Message::tool(ToolCallId::new("c1"), "one"),
        Message::tool(ToolCallId::new("c2"), "two"),
        Message::assistant("Both."),
        Message::user("And now?"),
    ]
    .iter()
    .map(message)
    .collect()
}

#[test]
fn a_template_without_tools_gets_them_in_words() {
    let specs = [spec(&look())];
    let plain = in_words(chat(), &specs);
    let shown: Vec<(&str, &str)> = plain
        .iter()
        .map(|m| (text_of(m, "role"), text_of(m, "content")))
        .collect();
    let (system, rest) = shown.split_first().unwrap();
    assert_eq!(system.0, "system");
    let schema =
        r#""parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {}}}"#;
    for part in [
        "<tools>[{\"type\": \"function\"",
        "Looks for <it>.",
        schema,
        "<tool_call>[{",
        "\n\nBe brief.",
    ] {
        assert!(system.1.contains(part), "{part} in {}", system.1);
    }
    assert_eq!(
        rest,
        [
            ("user", "Hi"),
            (
                "assistant",
                "Let me see.\n<tool_call>[{\"name\": \"look\", \"arguments\": {\"z\": \"1 <\"}}, \
                 {\"name\": \"look\", \"arguments\": {\"z\": \"2 <\"}}]</tool_call>"
            ),
            (
                "user",
                "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"
            ),
            ("assistant", "Both."),
            ("user", "And now?"),
        ]
    );
    let without = in_words(chat(), &[]);
    assert_eq!(text_of(&without[0], "content"), "Be brief.");
}

#[test]
fn a_template_that_knows_tools_gets_values() {
    let source = "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}|{% endif %}\
        {% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function.name }} \
        {{ c.function.arguments | tojson }}{% endfor %}{% elif m.role == 'tool' %}({{ m.tool_call_id }}={{ m.content }})\
        {% endif %}{% endfor %}";
    let template = ChatTemplate::new(Some(source), "", "").unwrap();
    assert_eq!(template.calls(), Some(ToolSyntax::Tagged));
    let rendered = template.render(&chat(), &[spec(&look())]).unwrap();
    assert_eq!(
        rendered,
        "{\"type\": \"function\", \"function\": {\"name\": \"look\", \"description\": \"Looks for <it>.\", \
         \"parameters\": {\"type\": \"object\", \"properties\": {\"z\": {\"type\": \"string\"}, \"a\": {}}}}}|\
         <tool_call>look {\"z\": \"1 <\"}<tool_call>look {\"z\": \"2 <\"}(c1=one)(c2=two)"
    );
    let without = template.render(&chat(), &[]).unwrap();
    assert!(without.starts_with("<tool_call>"), "{without}");
}

#[test]
fn the_template_tells_how_calls_are_said() {
    for (source, expected) in [
        ("{{ messages }}", None),
        ("{{ tools }}<tool_call>", Some(ToolSyntax::Tagged)),
        (
            "{{ tools }} {\"name\": n, \"parameters\": p}",
            Some(ToolSyntax::Bare),
        ),
        ("{{ tools }} [TOOL_CALLS]", None),
    ] {
        let template = ChatTemplate::new(Some(source), "", "").unwrap();
        assert_eq!(template.calls(), expected, "{source}");
    }
}

#[test]
fn tojson_indents_when_told_to_and_ends_when_it_is_too_much() {
    let render = |source: &str| {
        ChatTemplate::new(Some(source), "", "")
            .unwrap()
            .render(&[], &[])
    };
    assert_eq!(
        render("{{ {'a': [1]} | tojson(indent=2) }}").unwrap(),
        "{\n  \"a\": [\n    1\n  ]\n}"
    );
    let laughs = "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a | tojson }}";
    assert!(render(laughs).is_err());
}

#[test]
fn what_the_system_says_stands_before_what_the_user_says_next() {
    let told = |messages: &[(&str, &str)]| {
        let messages = messages
            .iter()
            .map(|(role, content)| json!({ "role": role, "content": content }));
        let told = without_system(messages.collect());
        let told = told.iter().map(|message| {
            format!(
                "{}: {}",
                text_of(message, "role"),
                text_of(message, "content")
            )
        });
        told.collect::<Vec<_>>().join(" | ")
    };
    for (messages, expected) in [
        (
            &[
                ("system", "S"),
                ("user", "U"),
                ("assistant", "A"),
                ("user", "V"),
            ][..],
            "user: S\n\nU | assistant: A | user: V",
        ),
        (
            &[("system", "S"), ("system", "T"), ("user", "U")],
            "user: S\n\nT\n\nU",
        ),
        (
            &[
                ("user", "U"),
                ("assistant", "A"),
                ("system", "S"),
                ("user", "V"),
            ],
            "user: U | assistant: A | user: S\n\nV",
        ),
        (
            &[("user", "U"), ("assistant", "A"), ("system", "S")],
            "user: U | assistant: A | user: S",
        ),
        (&[("user", "U"), ("system", "S")], "user: U\n\nS"),
        (&[("user", "U")], "user: U"),
        (&[], ""),
    ] {
        assert_eq!(told(messages), expected);
    }
}
