//! A memory size as people write it.

use domain::{Bytes, FieldError};

/// Reads `2GiB`, `512 MiB`, `1.5G`, `800MB` or a number of bytes. One letter means the binary unit.
///
/// # Errors
/// Names the field, the text and what would be accepted.
pub(crate) fn parse_size(text: &str) -> Result<Bytes, FieldError> {
    let refused = || FieldError::new("memory_limit", text, "a size such as 2GiB, 512MiB or 800MB");
    let trimmed = text.trim();
    let at = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(at);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(refused()),
    };
    let number: f64 = number.parse().map_err(|_| refused())?;
    let bytes = number * factor as f64;
    // Above 2^53 a double no longer counts single bytes; no machine has that much.
    if (1.0..=9.0e15).contains(&bytes) {
        Ok(Bytes(bytes as u64))
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("2GiB", 2 << 30),
            ("2 gib", 2 << 30),
            ("1.5G", 3 << 29),
            ("512MiB", 512 << 20),
            ("800MB", 800_000_000),
            ("64k", 65_536),
        ] {
            assert_eq!(parse_size(text), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_field() {
        for text in [
            "",
            "much",
            "GiB",
            "-1",
            "0",
            "1.2.3G",
            "1XB",
            "nan",
            "99999999T",
        ] {
            assert_eq!(
                parse_size(text).map_err(|e| e.field),
                Err("memory_limit"),
                "{text}"
            );
        }
    }
}
