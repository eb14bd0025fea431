//! What a server offers becomes what a model is shown: filtered, named after its server, and bounded.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ToolSpec;
use toolbox::{MAX_NAME, ToolFilter, is_tool_name};

/// How long a description may be, in bytes: the model reads it with every prompt.
pub(crate) const MAX_DESCRIPTION: usize = 2 << 10;
/// How long a schema of parameters may be, in bytes.
pub(crate) const MAX_PARAMETERS: usize = 16 << 10;

/// A tool as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) description: String,
    /// A JSON Schema.
    pub(crate) parameters: String,
    /// It changes nothing, says the server.
    pub(crate) reads_only: bool,
    /// Twice is as good as once, says the server.
    pub(crate) is_idempotent: bool,
}

/// A tool as a model is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) spec: ToolSpec,
    /// What the server calls it.
    pub(crate) remote: String,
    pub(crate) reads_only: bool,
    pub(crate) is_idempotent: bool,
}

/// What is left of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) tools: Arc<[Offered]>,
    /// Which tools were left out, and why; those the filter hides are not among them.
    pub(crate) skipped: Vec<String>,
}

/// The tools of the server `name`.
pub(crate) fn offer(
    server: &str,
    filter: &ToolFilter,
    trusts_hints: bool,
    max_tools: usize,
    listed: impl IntoIterator<Item = Listed>,
) -> Offer {
    let (mut tools, mut skipped, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut beyond = 0_usize;
    for tool in listed {
        if !filter.lets(&tool.name) {
            continue;
        }
        if tools.len() >= max_tools {
            beyond += 1;
            continue;
        }
        let name = format!("{server}__{}", tool.name);
        if let Some(why) = unfit(&name, &tool) {
            skipped.push(format!("{}: {why}", shown(&tool.name)));
        } else if names.insert(name.clone()) {
            tools.push(Offered {
                spec: ToolSpec {
                    name,
                    description: head(&tool.description, MAX_DESCRIPTION).to_owned(),
                    parameters: Arc::from(tool.parameters),
                },
                remote: tool.name,
                reads_only: trusts_hints && tool.reads_only,
                is_idempotent: trusts_hints && (tool.is_idempotent || tool.reads_only),
            });
        } else {
            skipped.push(format!("{}: it is listed twice", shown(&tool.name)));
        }
    }
    if beyond > 0 {
        skipped.push(format!(
            "{beyond} more: {max_tools} are taken, choose which with allow"
        ));
    }
    Offer {
        tools: tools.into(),
        skipped,
    }
}

fn unfit(name: &str, tool: &Listed) -> Option<String> {
    if tool.name.is_empty() {
        return Some("it has no name".to_owned());
    }
    if !is_tool_name(name) {
        return Some(if name.len() > MAX_NAME {
            format!("{name:.80} is longer than {MAX_NAME} characters")
        } else {
            "only letters, digits, _ and - can be in a name".to_owned()
        });
    }
    if tool.parameters.len() > MAX_PARAMETERS {
        return Some(format!(
            "its parameters have {} bytes, and {MAX_PARAMETERS} are taken",
            tool.parameters.len()
        ));
    }
    None
}

fn shown(name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    format!("{name:?}")
}

pub(crate) fn head(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Listed {
        Listed {
            name: name.into(),
            description: "does".into(),
            parameters: "{\"type\":\"object\"}".into(),
            reads_only: true,
            is_idempotent: false,
        }
    }

    #[test]
    fn names_carry_their_server_and_what_does_not_fit_is_named() {
        let all = ToolFilter::new(None, &["secret*".to_owned()]).unwrap();
        let mut big = listed("big");
        big.parameters = format!("{{\"x\":\"{}\"}}", "y".repeat(MAX_PARAMETERS));
        let mut wordy = listed("wordy");
        wordy.description = "é".repeat(MAX_DESCRIPTION);
        let long = "x".repeat(60);
        let names = ["read", "a.b", "", &long, "read", "secret_key"];
        let tools = names
            .map(listed)
            .into_iter()
            .chain([big, wordy, listed("last")]);
        let offer = offer("files", &all, false, 3, tools);
        let offered: Vec<_> = offer
            .tools
            .iter()
            .map(|tool| tool.spec.name.as_str())
            .collect();
        assert_eq!(offered, ["files__read", "files__wordy", "files__last"]);
        assert_eq!(offer.tools[1].spec.description.len(), MAX_DESCRIPTION);
        assert_eq!(offer.tools[0].remote, "read");
        assert!(!offer.tools[0].reads_only, "its word is not taken");
        let skipped = offer.skipped.join("\n");
        for part in [
            "\"a.b\": only letters",
            "\"\": it has no name",
            "is longer than 64",
            "\"read\": it is listed twice",
            "\"big\": its parameters",
        ] {
            assert!(skipped.contains(part), "{skipped}");
        }
        assert!(!skipped.contains("secret"), "{skipped}");
    }

    #[test]
    fn only_as_many_as_are_taken_and_hints_only_if_trusted() {
        let many = (0..1000).map(|number| listed(&format!("t{number}")));
        let offer = offer("s", &ToolFilter::all(), true, 64, many);
        assert_eq!(offer.tools.len(), 64);
        assert_eq!(
            offer.skipped,
            ["936 more: 64 are taken, choose which with allow"]
        );
        assert!(offer.tools[0].reads_only && offer.tools[0].is_idempotent);
    }
}
