//! What real templates do, in small, and what hostile ones may not.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use domain::Message;

use super::*;
use crate::tool_prompt;

fn render(source: Option<&str>, messages: &[Message]) -> Result<String, TextError> {
    ChatTemplate::new(source, "<s>", "</s>")
        .map_err(TextError::Template)?
        .render(
            &messages
                .iter()
                .map(tool_prompt::message)
                .collect::<Vec<_>>(),
            &[],
        )
}

fn chat() -> Vec<Message> {
    vec![
        Message::system("Be brief."),
        Message::user(" Hi "),
        Message::assistant("Hello!"),
        Message::user("Bye"),
    ]
}

#[test]
fn chatml_is_the_fallback() {
    assert_eq!(
        render(None, &[Message::user("Hi")]).unwrap(),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn what_real_templates_use_is_there() {
    let cases = [
        // SmolLM2: a default system message.
        (
            "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are S<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
        ),
        // Llama 3: set, trim, bos_token.
        (
            "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}",
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>",
        ),
        // Python's methods, slices, namespaces, loop controls.
        (
            "{%- set ns = namespace(n=0) %}{%- for m in messages[::-1] %}{%- if m.role == 'system' %}{% break %}{% endif %}{%- set ns.n = ns.n + 1 %}{{ m.content.strip().upper() }}{{ '!' if m.content.endswith('!') else '' }},{%- endfor %}{{ ns.n }}{{ 'a-b'.split('-')[-1] }}{{ 'abc'.startswith('ab') }}",
            "BYE,HELLO!!,HI,3bTrue",
        ),
        // What is not there is falsy, and `is defined` tells.
        (
            "{% if tools %}T{% endif %}{% if strftime_now is defined %}C{% else %}no clock{% endif %}{{ messages | length }}{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}",
            "no clock4role=system;content=Be brief.;",
        ),
        // Blocks on lines of their own leave no trace.
        (
            "{% if true %}\n  {% for m in messages %}\n{{ m.role }}\n  {% endfor %}\n{% endif %}\n",
            "system\nuser\nassistant\nuser\n",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(render(Some(source), &chat()).unwrap(), expected, "{source}");
    }
}

#[test]
fn what_a_template_raises_is_told() {
    let source = "{{ raise_exception('System role not supported') }}";
    let error = render(Some(source), &chat()).unwrap_err();
    assert!(
        matches!(&error, TextError::Template(text) if text.contains("System role not supported") && text.contains("line 1")),
        "{error}"
    );
}

#[test]
fn a_template_that_does_not_parse_is_refused() {
    let error = ChatTemplate::new(Some("{% for %}"), "", "").unwrap_err();
    assert!(error.contains("line 1"), "{error}");
    let long = "x".repeat(MAX_SOURCE_BYTES + 1);
    assert!(ChatTemplate::new(Some(&long), "", "").is_err());
}

#[test]
fn hostile_templates_end() {
    let cases = [
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set x = 'x' * 1000000 %}{% for a in range(10000) %}{{ x }}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
        "{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    ];
    for source in cases {
        let error = render(Some(source), &chat());
        assert!(matches!(error, Err(TextError::Template(_))), "{source}");
    }
}

#[test]
fn it_is_known_whether_it_takes_what_the_system_says() {
    let refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}";
    let alternates = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}{% endfor %}";
    let fails = "{{ raise_exception('always') }}";
    for (source, expected) in [
        (Some(refuses), true),
        (Some(alternates), true),
        (Some(fails), false),
        (None, false),
    ] {
        let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
        assert_eq!(template.refuses_system(), expected, "{source:?}");
    }
}
