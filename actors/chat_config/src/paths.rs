//! Paths of settings that are made by name: `agents.coder.system` is one of the pattern `agents.*.system`.
//!
//! Nothing here knows which settings there are.

/// Stands for a name in a pattern.
pub(crate) const ANY: &str = "*";
/// What a name may be, in words.
pub(crate) const NAMES: &str = "1 to 64 letters, digits, - and _";

/// Whether somebody may call an agent, a tool or a server this. The model's names of tools have the same range.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(good)
}

/// Whether the path is one of the pattern.
pub(crate) fn is_of(path: &str, pattern: &str) -> bool {
    starts(path, pattern) && path.split('.').count() == pattern.split('.').count()
}

/// Whether the path is one of the pattern's beginnings, up to the whole of it.
pub(crate) fn starts(path: &str, pattern: &str) -> bool {
    let mut pattern = pattern.split('.');
    path.split('.').all(|part| match pattern.next() {
        Some(ANY) => is_name(part),
        Some(known) => known == part,
        None => false,
    })
}

/// What a path has in the place of a pattern's name though it is none.
pub(crate) fn bad_name<'a>(path: &'a str, pattern: &str) -> Option<&'a str> {
    let pairs = path.split('.').zip(pattern.split('.'));
    let mut different =
        pairs.skip_while(|(part, known)| part == known || (*known == ANY && is_name(part)));
    different
        .next()
        .filter(|(_, known)| *known == ANY)
        .map(|(part, _)| part)
}

/// The pattern with the names that a path has at their places.
pub(crate) fn filled(pattern: &str, path: &str) -> String {
    let mut names = path.split('.');
    let parts = pattern.split('.').map(|part| {
        let name = names.next().filter(|name| is_name(name));
        if part == ANY {
            name.unwrap_or("NAME")
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Whether `path` is `head` or lies under it.
pub(crate) fn is_under(path: &str, head: &str) -> bool {
    path.strip_prefix(head)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_the_pattern_has_stars() {
        let pattern = "agents.*.system";
        for (path, of, starts_it) in [
            ("agents.coder.system", true, true),
            ("agents.coder", false, true),
            ("agents", false, true),
            ("agents.my coder.system", false, false),
            ("agents..system", false, false),
            ("agents.coder.system.x", false, false),
            ("agents.coder.model", false, false),
        ] {
            assert_eq!(
                (is_of(path, pattern), starts(path, pattern)),
                (of, starts_it),
                "{path}"
            );
        }
        assert!(!is_name(&"x".repeat(65)) && is_name("A-b_9"));
        assert_eq!(
            filled(pattern, "agents.coder.sistem"),
            "agents.coder.system"
        );
        assert_eq!(filled(pattern, "agents"), "agents.NAME.system");
        assert_eq!(
            bad_name("agents.my coder.system", pattern),
            Some("my coder")
        );
        assert_eq!(bad_name("agents.coder.sistem", pattern), None);
        assert!(is_under("tools.mcp.x", "tools.mcp") && !is_under("tools.mcpx", "tools.mcp"));
    }
}
