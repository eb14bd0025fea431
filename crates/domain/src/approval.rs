//! Who decides whether a tool runs.

use crate::FieldError;

/// Whether a call of a tool runs. Later ones are stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approval {
    /// At once.
    Auto,
    /// When whoever asked allows it; unanswered means no.
    #[default]
    Ask,
    /// Never.
    Deny,
}

impl Approval {
    /// The stricter of both: a wish may only tighten a rule.
    #[must_use]
    pub fn tightened(self, by: Self) -> Self {
        self.max(by)
    }

    /// The setting's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl std::str::FromStr for Approval {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text {
            "auto" => Ok(Self::Auto),
            "ask" => Ok(Self::Ask),
            "deny" => Ok(Self::Deny),
            other => Err(FieldError::new("approval", other, "one of auto, ask, deny")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Approval; 3] = [Approval::Auto, Approval::Ask, Approval::Deny];

    #[test]
    fn a_wish_may_only_tighten() {
        for rule in ALL {
            for wish in ALL {
                let both = rule.tightened(wish);
                assert!(both >= rule && both >= wish);
                assert!(both == rule || both == wish);
            }
        }
    }

    #[test]
    fn words_are_read_back() {
        for approval in ALL {
            assert_eq!(approval.as_str().parse(), Ok(approval));
        }
        let refused = "maybe".parse::<Approval>().map_err(|error| error.field);
        assert_eq!(refused, Err("approval"));
    }
}
