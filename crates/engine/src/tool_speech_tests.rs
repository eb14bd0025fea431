//! What is a call and what is not, and that cutting the text differently changes nothing.

use proptest::prelude::*;

use super::*;

/// Text in quotes, calls as `id name arguments`.
fn told(syntax: ToolSyntax, parts: &[&str]) -> Vec<String> {
    let mut speech = ToolSpeech::new(syntax, RequestId::new("r"));
    let mut pieces: Vec<Piece> = Vec::new();
    let all = parts
        .iter()
        .flat_map(|part| speech.push(part))
        .collect::<Vec<_>>();
    for piece in all.into_iter().chain(speech.finish()) {
        match piece {
            Piece::Text(text) => {
                assert!(!text.is_empty(), "empty text is nothing to say");
                say(text, &mut pieces);
            }
            call @ Piece::Call(_) => pieces.push(call),
        }
    }
    let calls = pieces
        .iter()
        .filter(|p| matches!(p, Piece::Call(_)))
        .count();
    assert_eq!(speech.calls() as usize, calls);
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Call(call) => format!("{} {} {}", call.id, call.name, call.arguments),
        })
        .collect()
}

const ONE: &str = r#"<tool_call>{"name": "a", "arguments": {"x": 1}}</tool_call>"#;

#[test]
fn calls_are_whole_and_everything_else_is_text() {
    use ToolSyntax::{Bare, Tagged, TaggedList};
    let two = format!("{ONE}\n{ONE}\n");
    let inside = r#"<tool_call>{"name":"a","arguments":{"x":"</tool_call>"}}</tool_call>"#;
    let list = r#"<tool_call>[{"name":"a"}, {"arguments":{},"name":"b"}]</tool_call>"#;
    let bare = r#" {"name": "a", "parameters": {"x": 1}}"#;
    let cases: [(ToolSyntax, &str, &[&str]); 17] = [
        (Tagged, "", &[]),
        (Tagged, "a < b <tool", &[r#""a < b <tool""#]),
        (Tagged, ONE, &[r#"call-r-0 a {"x":1}"#]),
        (
            Tagged,
            &two,
            &[r#"call-r-0 a {"x":1}"#, r#"call-r-1 a {"x":1}"#],
        ),
        (
            Tagged,
            &format!("Look: {ONE} so"),
            &[r#""Look: ""#, r#"call-r-0 a {"x":1}"#, r#"" so""#],
        ),
        (Tagged, inside, &[r#"call-r-0 a {"x":"</tool_call>"}"#]),
        (TaggedList, list, &["call-r-0 a {}", "call-r-1 b {}"]),
        // Whole, though nothing closes it.
        (
            Tagged,
            &ONE[..ONE.len() - 4],
            &[r#""<tool_call>{\"name\": \"a\", \"arguments\": {\"x\": 1}}</tool_c""#],
        ),
        (Tagged, &ONE[..ONE.len() - 12], &[r#"call-r-0 a {"x":1}"#]),
        // Half a call is none.
        (
            Tagged,
            r#"<tool_call>{"name": "a"#,
            &[r#""<tool_call>{\"name\": \"a""#],
        ),
        (
            Tagged,
            "<tool_call>no</tool_call>!",
            &[r#""<tool_call>no</tool_call>!""#],
        ),
        (
            TaggedList,
            "<tool_call>[]</tool_call>",
            &[r#""<tool_call>[]</tool_call>""#],
        ),
        (
            Tagged,
            r#"<tool_call>{"name":"a","arguments":"x"}</tool_call>"#,
            &[r#""<tool_call>{\"name\":\"a\",\"arguments\":\"x\"}</tool_call>""#],
        ),
        (Bare, bare, &[r#"call-r-0 a {"x":1}"#]),
        (Bare, r#"{"x": 1}"#, &[r#""{\"x\": 1}""#]),
        (Bare, "say {}", &[r#""say {}""#]),
        (Bare, ONE, &[&format!("{ONE:?}")]),
    ];
    for (syntax, text, expected) in cases {
        assert_eq!(told(syntax, &[text]), expected, "{syntax:?} {text}");
    }
}

#[test]
fn text_waits_only_while_it_may_be_a_call() {
    let mut speech = ToolSpeech::new(ToolSyntax::Tagged, RequestId::new("r"));
    let text = |text: &str| vec![Piece::Text(text.to_owned())];
    assert_eq!(speech.push("so <"), text("so "));
    assert_eq!(speech.push("tool_"), []);
    assert_eq!(speech.push("box"), text("<tool_box"));
    assert_eq!(speech.push("<tool_call>{"), []);
    assert_eq!(speech.push(r#""name":"a"}</tool_call"#), []);
    let call = speech.push(">");
    assert!(
        matches!(&*call, [Piece::Call(call)] if call.name == "a"),
        "{call:?}"
    );
    assert_eq!(speech.push("\n"), [], "the next call may follow");
    assert_eq!(speech.push("b"), text("\nb"));
}

proptest! {
    /// However the text is cut, the same is said and called.
    #[test]
    fn cutting_does_not_matter(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<tool_call>", "</tool_call>", ONE, r#"{"name":"a"}"#, r#"[{"name":"b","arguments":{}}]"#,
            r#"{"name":"a","arguments":{"x":"</tool_call>"}}"#, " ", "\n", "☃", "<", "tool", "{", "\"",
        ]), 0..8),
        cuts in prop::collection::vec(0usize..400, 0..12),
        syntax in prop::sample::select(vec![ToolSyntax::Tagged, ToolSyntax::TaggedList, ToolSyntax::Bare]),
    ) {
        let text = parts.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| text.floor_char_boundary(cut)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        pieces.push(&text[from..]);
        prop_assert_eq!(told(syntax, &pieces), told(syntax, &[&text]));
    }
}
