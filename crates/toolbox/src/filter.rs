//! Which tools somebody may see, by name.

/// How many patterns a filter may have: it is looked through for every tool, and a person wrote it.
pub const MAX_PATTERNS: usize = 256;

/// A filter that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A star anywhere else than at the end, nothing at all, or a character no tool's name has.
    #[error(
        "tool pattern {pattern:?} is not accepted: use a tool's name, or its start and a *, for example files__*"
    )]
    Bad {
        /// As it was given (cut to 80 characters).
        pattern: String,
    },
    /// More than [`MAX_PATTERNS`].
    #[error(
        "{count} tool patterns are not accepted: use at most {MAX_PATTERNS}, a * stands for any end of a name"
    )]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// Lets tools through by name. What is denied stays denied, whatever is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolFilter {
    allow: Option<Vec<Pattern>>,
    deny: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Start(String),
}

impl ToolFilter {
    /// Lets everything through.
    pub fn all() -> Self {
        Self::default()
    }

    /// Lets nothing through.
    pub fn none() -> Self {
        Self {
            allow: Some(Vec::new()),
            deny: Vec::new(),
        }
    }

    /// Lets those through that a pattern of `allow` names (all, if there is none) and no pattern of `deny` does. A pattern is
    /// a tool's name, or the start of one and a `*`.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(allow: Option<&[String]>, deny: &[String]) -> Result<Self, PatternError> {
        let count = allow.map_or(0, <[String]>::len) + deny.len();
        if count > MAX_PATTERNS {
            return Err(PatternError::TooMany { count });
        }
        let read = |patterns: &[String]| patterns.iter().map(|text| Pattern::read(text)).collect();
        Ok(Self {
            allow: allow.map(read).transpose()?,
            deny: read(deny)?,
        })
    }

    /// Whether a tool of this name comes through.
    pub fn lets(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_of(name));
        self.allow.as_deref().is_none_or(any) && !any(&self.deny)
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Self, PatternError> {
        let (start, is_open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        // Servers name tools as they like (`files.read`): only what could never match is refused.
        let is_bad = start.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control());
        if is_bad || (start.is_empty() && !is_open) || text.len() > 256 {
            let pattern = text.chars().take(80).collect();
            return Err(PatternError::Bad { pattern });
        }
        let start = start.to_owned();
        Ok(if is_open {
            Self::Start(start)
        } else {
            Self::Name(start)
        })
    }

    fn is_of(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Start(start) => name.starts_with(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn what_is_denied_stays_denied() {
        type Case<'a> = (Option<&'a [&'a str]>, &'a [&'a str], &'a str, bool);
        let cases: [Case; 8] = [
            (None, &[], "a", true),
            (None, &["a"], "a", false),
            (None, &["a"], "ab", true),
            (None, &["a*"], "ab", false),
            (Some(&[]), &[], "a", false),
            (Some(&["files__*", "now"]), &[], "files__read", true),
            (Some(&["files__*", "now"]), &[], "nowhere", false),
            (Some(&["*"]), &["files__rm"], "files__rm", false),
        ];
        for (allow, deny, name, expected) in cases {
            let allowed = allow.map(texts);
            let filter = ToolFilter::new(allowed.as_deref(), &texts(deny)).unwrap();
            assert_eq!(filter.lets(name), expected, "{allow:?} {deny:?} {name}");
        }
        assert!(ToolFilter::all().lets("a") && !ToolFilter::none().lets("a"));
    }

    #[test]
    fn a_pattern_that_could_never_match_is_refused_by_name() {
        for bad in ["", "a*b", "**", "a b", "a\n"] {
            let refused = ToolFilter::new(None, &texts(&[bad])).unwrap_err();
            assert!(
                refused.to_string().contains(&format!("{bad:?}")),
                "{refused}"
            );
        }
        let many = vec!["a".to_owned(); MAX_PATTERNS];
        assert!(ToolFilter::new(Some(&many), &[]).is_ok());
        let refused = ToolFilter::new(Some(&many), &texts(&["b"])).unwrap_err();
        assert_eq!(refused, PatternError::TooMany { count: 257 });
    }
}
