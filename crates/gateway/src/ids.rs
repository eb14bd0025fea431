//! Names of requests: the client's own if it sent one that can be echoed, otherwise one that no other request of this
//! or an earlier run has.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes names and seeds.
#[derive(Debug)]
pub(crate) struct Ids {
    run: u64,
    next: AtomicU64,
}

impl Ids {
    /// `run` is what tells this run from others, for example microseconds since 1970 at its start.
    pub(crate) fn new(run: u64) -> Self {
        let next = AtomicU64::new(1);
        Self { run, next }
    }

    /// The number of a further request, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The name of a request: `offered` if that is at most 128 visible ASCII characters.
    pub(crate) fn request(&self, offered: Option<&[u8]>, number: u64) -> String {
        let echo = offered.filter(|name| {
            (1..=128).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
        });
        let echo = echo.and_then(|name| std::str::from_utf8(name).ok());
        echo.map_or_else(|| format!("req-{:x}-{number}", self.run), str::to_owned)
    }

    /// The name of an answer; `kind` is `chatcmpl`, for example.
    pub(crate) fn answer(&self, kind: &str, number: u64) -> String {
        format!("{kind}-{:x}-{number}", self.run)
    }

    /// The seed of a request that brings none: `SplitMix64` of run and number (Steele et al., OOPSLA 2014).
    pub(crate) fn seed(&self, number: u64) -> u64 {
        let mut z = self
            .run
            .wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_name_is_echoed_and_any_other_replaced() {
        let ids = Ids::new(0xab);
        let long = [b'x'; 129];
        for (offered, name) in [
            (Some(&b"abc-1"[..]), "abc-1"),
            (None, "req-ab-7"),
            (Some(b""), "req-ab-7"),
            (Some(b"a b"), "req-ab-7"),
            (Some(b"a\nb"), "req-ab-7"),
            (Some("☃".as_bytes()), "req-ab-7"),
            (Some(&long), "req-ab-7"),
        ] {
            assert_eq!(ids.request(offered, 7), name);
        }
    }

    #[test]
    fn numbers_and_seeds_do_not_repeat() {
        let ids = Ids::new(1);
        let numbers: std::collections::HashSet<u64> = (0..1000).map(|_| ids.number()).collect();
        let seeds: std::collections::HashSet<u64> = numbers.iter().map(|&n| ids.seed(n)).collect();
        assert_eq!((numbers.len(), seeds.len()), (1000, 1000));
        assert_eq!(ids.answer("chatcmpl", 3), "chatcmpl-1-3");
    }
}
