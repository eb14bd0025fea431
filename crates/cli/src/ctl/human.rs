//! Times and sizes as people say them. Pure.

use domain::Bytes;

/// About two digits and one unit: `120 ms`, `3.4 s`, `12 min`, `5 h`, `2 d`.
pub(crate) fn time(ms: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match ms {
        0..SECOND => format!("{ms} ms"),
        ms if ms < 10 * SECOND => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        ms if ms < 2 * MINUTE => format!("{} s", ms / SECOND),
        ms if ms < 2 * HOUR => format!("{} min", ms / MINUTE),
        ms if ms < 2 * DAY => format!("{} h", ms / HOUR),
        ms => format!("{} d", ms / DAY),
    }
}

/// The same; nothing where there is none.
pub(crate) fn perhaps(ms: Option<u64>) -> String {
    ms.map(time).unwrap_or_default()
}

/// Of short times, too: `7 µs`, `1.5 ms`.
pub(super) fn micros(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        us if us < 100_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        us => time(us / 1000),
    }
}

/// `96.4 MiB`; a dash for nothing.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => Bytes(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_and_a_unit() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (3_450, "3.4 s"),
            (10_000, "10 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
            (u64::MAX, "213503982334 d"),
        ] {
            assert_eq!(time(ms), text);
        }
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_500, "1.5 ms"),
            (99_999, "99.9 ms"),
            (100_000, "100 ms"),
            (4_000_000, "4.0 s"),
        ] {
            assert_eq!(micros(us), text);
        }
        assert_eq!(
            (size(0), size(1 << 20)),
            ("-".to_owned(), "1.0 MiB".to_owned())
        );
    }
}
