//! Forms of values that a range cannot say: tables of variables and of headers, addresses.
#![allow(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "garde passes references"
)]

use std::collections::BTreeMap;

/// The most variables or headers: far more than servers ask for.
const PAIRS: usize = 64;
/// The longest text of one, in bytes: a long token with room.
const TEXT: usize = 8192;

fn refuse(why: &str) -> garde::Result {
    Err(garde::Error::new(why))
}

/// Names of tools, or beginnings of names with a star behind, as the toolbox takes them.
pub(super) fn tool_patterns(patterns: &[String], (): &()) -> garde::Result {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let odd = |pattern: &String| {
        let start = pattern.strip_suffix('*').unwrap_or(pattern);
        (start.is_empty() && pattern.is_empty()) || !start.chars().all(good) || pattern.len() > 128
    };
    if patterns.len() > 256 || patterns.iter().any(odd) {
        return refuse("no names of tools");
    }
    Ok(())
}

/// Variables of an environment, as the system takes them.
pub(super) fn variable_table(env: &BTreeMap<String, String>, (): &()) -> garde::Result {
    let odd = |(name, value): (&String, &String)| {
        name.is_empty()
            || name.len() > 256
            || name.contains(['=', '\0'])
            || value.len() > TEXT
            || value.contains('\0')
    };
    if env.len() > PAIRS || env.iter().any(odd) {
        return refuse("no table of variables");
    }
    Ok(())
}

/// Headers that can be sent as they are.
pub(super) fn header_table(headers: &BTreeMap<String, String>, (): &()) -> garde::Result {
    let odd = |(name, value): (&String, &String)| {
        let token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        name.is_empty()
            || name.len() > 256
            || !name.chars().all(token)
            || value.len() > TEXT
            || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
    };
    if headers.len() > PAIRS || headers.iter().any(odd) {
        return refuse("no table of headers");
    }
    Ok(())
}

/// An address with a host.
pub(super) fn http_address(url: &Option<String>, (): &()) -> garde::Result {
    let Some(url) = url else {
        return Ok(());
    };
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?']).next());
    let plain = url.chars().all(|c| c.is_ascii_graphic());
    if host.is_some_and(|host| !host.is_empty()) && plain && url.len() <= 4096 {
        return Ok(());
    }
    refuse("no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_used_is_taken() {
        let table = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for (name, value, variable, header) in [
            ("TOKEN", "a b", true, true),
            ("X-Token", "ü", true, false),
            ("", "a", false, false),
            ("A=B", "a", false, false),
            ("A", "a\r\nB: c", true, false),
            ("A", "a\0", false, false),
            ("A b", "a", true, false),
        ] {
            let table = table(name, value);
            assert_eq!(
                variable_table(&table, &()).is_ok(),
                variable,
                "{name} = {value}"
            );
            assert_eq!(header_table(&table, &()).is_ok(), header, "{name}: {value}");
        }
        for (url, good) in [
            ("http://localhost:7/mcp", true),
            ("https://example.org/mcp?x=1", true),
            ("https://", false),
            ("ftp://a", false),
            ("http://a b", false),
            ("a", false),
        ] {
            assert_eq!(
                http_address(&Some(url.to_owned()), &()).is_ok(),
                good,
                "{url}"
            );
        }
        assert!(http_address(&None, &()).is_ok());
    }
}
