//! Times and sizes as people write them, so that `500ms` is never saved as zero and `2GiB` never as two.
//!
//! Nothing is rounded: what has no whole number of milliseconds or bytes is refused.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use garde::rules::range::{Bounds, OutOfBounds};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Larger units first: the largest that divides is the one shown.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
const SIZES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
/// Both are kept in TOML, whose integers end here.
const MOST: u64 = i64::MAX as u64;

/// A time in whole milliseconds: read from a number of them or from text such as `500ms`, `90s` or `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    millis: u64,
}

/// A number of bytes: read from a number or from text such as `512MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    bytes: u64,
}

/// A text that is no time or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a whole number nor {example}")]
pub struct UnitError {
    text: String,
    example: &'static str,
}

impl Span {
    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// As the standard library's duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

impl Size {
    /// `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.bytes
    }
}

/// A sum of numbers with units, or one number without. `None` on anything else, and past [`MOST`].
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text.trim();
    if let Ok(plain) = rest.parse::<u64>() {
        return (plain <= MOST).then_some(plain);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, factor) = units
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after.trim_start();
    }
    (sum <= MOST).then_some(sum)
}

/// In the largest unit that loses nothing.
fn show(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let whole = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    match (whole, units.last()) {
        (Some((unit, factor)), _) => write!(f, "{}{unit}", value / factor),
        (None, Some((smallest, _))) => write!(f, "{value}{smallest}"),
        (None, None) => write!(f, "{value}"),
    }
}

macro_rules! unit {
    ($name:ident, $field:ident, $units:ident, $mark:literal, $example:literal) => {
        impl FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                let $field = parse(text, &$units).ok_or_else(|| UnitError {
                    text: text.chars().take(80).collect(),
                    example: $example,
                })?;
                Ok(Self { $field })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(self.$field, &$units, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a whole number or ", $example))
                    }

                    fn visit_u64<E: de::Error>(self, $field: u64) -> Result<$name, E> {
                        Ok($name { $field })
                    }

                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$name, E> {
                        let $field = u64::try_from(value).map_err(E::custom)?;
                        Ok($name { $field })
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["integer", "string"], "x-unit": $mark })
            }
        }

        impl Bounds for $name {
            type Size = u64;
            const MIN: u64 = 0;
            const MAX: u64 = MOST;

            fn validate_bounds(&self, low: u64, high: u64) -> Result<(), OutOfBounds> {
                self.$field.validate_bounds(low, high)
            }
        }
    };
}

unit!(
    Span,
    millis,
    TIMES,
    "ms",
    "a time such as 500ms, 90s or 1h30m"
);
unit!(Size, bytes, SIZES, "bytes", "a size such as 64KiB or 2GiB");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_times_in_many_ways() {
        for (text, millis) in [
            ("500ms", Some(500)),
            ("500", Some(500)),
            ("0", Some(0)),
            ("1.5s", None),
            ("90 s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("2D", Some(172_800_000)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("-1s", None),
            ("9223372036854775807", Some(MOST)),
            ("9223372036854775808", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(
                text.parse::<Span>().ok().map(Span::as_millis),
                millis,
                "{text}"
            );
        }
    }

    #[test]
    fn people_write_sizes_in_many_ways() {
        for (text, bytes, shown) in [
            ("2GiB", 2 << 30, "2GiB"),
            ("2048 mib", 2 << 30, "2GiB"),
            ("1536KiB", 1536 << 10, "1536KiB"),
            ("7", 7, "7B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, shown));
        }
        let error = "2GB".parse::<Size>().unwrap_err().to_string();
        assert!(
            error.contains("\"2GB\"") && error.contains("2GiB"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way_through_text(value in 0..=MOST) {
            let span = Span::from_millis(value);
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
            let json = serde_json::to_value(span).unwrap();
            prop_assert_eq!(serde_json::from_value::<Span>(json).unwrap(), span);
            prop_assert_eq!(serde_json::from_value::<Span>(value.into()).unwrap(), span);
            let size = Size::from_bytes(value);
            prop_assert_eq!(size.to_string().parse::<Size>().unwrap(), size);
        }
    }
}
