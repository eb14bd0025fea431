//! Which kernels this processor has. Asked once per loaded model, not per product; a variable can say otherwise, so that a
//! slower kind can be measured, and a wrong one be told from a wrong model.

use std::fmt;

/// The variable that forces a kind.
pub const VARIABLE: &str = "PARAPHYM_CPU";

/// A kind of kernel, the slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Plain Rust, on every processor.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and its VNNI.
    Avx512,
}

/// A forced kind that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE} is `{value}`; on this processor it can be {possible}, or unset, which takes the last of these"
)]
pub struct NoSuchKind {
    /// What the variable says.
    pub value: String,
    /// What it may say here.
    pub possible: String,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// As it is written in the variable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has what it needs.
    pub fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => has_avx2(),
            Self::Avx512 => has_avx512(),
        }
    }

    /// Those this processor has, the fastest last.
    pub fn here() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_here())
    }

    /// The fastest here.
    pub fn best() -> Self {
        Self::here().last().unwrap_or(Self::Portable)
    }

    /// The kind `forced` names, or the fastest where nothing is said.
    ///
    /// # Errors
    /// `forced` names none, or one that this processor does not have.
    pub fn choose(forced: Option<&str>) -> Result<Self, NoSuchKind> {
        let Some(value) = forced else {
            return Ok(Self::best());
        };
        let found = Self::here().find(|kind| kind.name() == value);
        found.ok_or_else(|| NoSuchKind {
            value: value.to_owned(),
            possible: Self::here().map(Self::name).collect::<Vec<_>>().join(", "),
        })
    }

    /// As [`Kind::choose`], with what [`VARIABLE`] says; an empty value says nothing.
    ///
    /// # Errors
    /// As [`Kind::choose`].
    pub fn of_environment() -> Result<Self, NoSuchKind> {
        let said = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        Self::choose(
            said.map(|value| value.to_string_lossy().into_owned())
                .as_deref(),
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_avx512() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_chosen_or_refused_with_the_way_out() {
        assert_eq!(Kind::choose(None), Ok(Kind::best()));
        for kind in Kind::ALL {
            let chosen = Kind::choose(Some(kind.name()));
            if kind.is_here() {
                assert_eq!(chosen, Ok(kind));
            } else {
                assert_eq!(chosen.unwrap_err().value, kind.name());
            }
        }
        for wrong in ["", "AVX2", "neon", "portable "] {
            let error = Kind::choose(Some(wrong)).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&format!("PARAPHYM_CPU is `{wrong}`")),
                "{text}"
            );
            assert!(text.contains("portable"), "{text}");
        }
    }
}
