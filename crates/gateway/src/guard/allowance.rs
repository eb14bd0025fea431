//! How much each may ask: requests a minute, and answers at once. One allowance a token that is valid and has a limit,
//! and one for all together who need none: clients cannot make more of them. Nothing here waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bearer::{Grant, Grants, Terms};
use rate::{Rate, Standing};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::guard::access::Access;

pub(crate) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
pub(crate) const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// The allowances of all.
pub(crate) struct Allowances {
    /// Of those who say nothing themselves.
    usual: Terms,
    nobody: Option<Arc<Allowance>>,
    known: Mutex<Known>,
}

/// By the ids of tokens that were valid when it was last looked.
struct Known {
    grants: Arc<Grants>,
    by_id: HashMap<Arc<str>, Arc<Allowance>>,
}

/// One of them.
pub(crate) struct Allowance {
    rate: Option<Mutex<Rate>>,
    places: Option<(u32, Arc<Semaphore>)>,
}

impl Allowances {
    pub(crate) fn new(access: &Access, now: Instant) -> Self {
        let usual = Terms {
            requests_per_minute: access.requests_per_minute,
            concurrent: access.concurrent,
        };
        Self {
            usual,
            nobody: Allowance::of(usual, now),
            known: Mutex::new(Known {
                grants: Arc::default(),
                by_id: HashMap::new(),
            }),
        }
    }

    /// That of a token, or of those without; nothing, where there is no limit.
    pub(crate) fn of(
        &self,
        grant: Option<&Arc<Grant>>,
        grants: &Arc<Grants>,
        now: Instant,
    ) -> Option<Arc<Allowance>> {
        let Some(grant) = grant else {
            return self.nobody.clone();
        };
        let terms = Terms {
            requests_per_minute: grant
                .terms
                .requests_per_minute
                .or(self.usual.requests_per_minute),
            concurrent: grant.terms.concurrent.or(self.usual.concurrent),
        };
        let mut known = lock(&self.known);
        if !Arc::ptr_eq(&known.grants, grants) {
            known.by_id.retain(|id, _| grants.with_id(id).is_some());
            known.grants = Arc::clone(grants);
        }
        if let Some(allowance) = known.by_id.get(&grant.id) {
            return Some(Arc::clone(allowance));
        }
        let allowance = Allowance::of(terms, now)?;
        known
            .by_id
            .insert(Arc::clone(&grant.id), Arc::clone(&allowance));
        Some(allowance)
    }
}

impl Allowance {
    fn of(terms: Terms, now: Instant) -> Option<Arc<Self>> {
        let places = |most: u32| {
            let places = usize::try_from(most).unwrap_or(usize::MAX);
            (most, Arc::new(Semaphore::new(places)))
        };
        let allowance = Self {
            rate: terms
                .requests_per_minute
                .map(|most| Mutex::new(Rate::per_minute(most, now))),
            places: terms.concurrent.map(places),
        };
        let any = allowance.rate.is_some() || allowance.places.is_some();
        any.then(|| Arc::new(allowance))
    }

    /// A further answer begins; what is returned is to be held until its end. Who is refused a place has used nothing.
    ///
    /// # Errors
    /// 429, with when to come again.
    pub(crate) fn begin(&self, now: Instant) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let place = match &self.places {
            Some((most, places)) => {
                let place = Arc::clone(places).try_acquire_owned();
                Some(place.map_err(|_| ApiError::too_many_answers(*most))?)
            }
            None => None,
        };
        if let Some(rate) = &self.rate {
            let mut rate = lock(rate);
            if let Err(wait) = rate.take(now) {
                return Err(ApiError::too_often(rate.standing(now).limit, wait));
            }
        }
        Ok(place)
    }

    /// Says how it stands, as the official API does.
    pub(crate) fn write(&self, headers: &mut HeaderMap, now: Instant) {
        let Some(rate) = &self.rate else {
            return;
        };
        let Standing {
            limit,
            remaining,
            reset,
        } = lock(rate).standing(now);
        headers.insert(LIMIT, limit.into());
        headers.insert(REMAINING, remaining.into());
        if let Ok(reset) = HeaderValue::from_str(&duration(reset)) {
            headers.insert(RESET, reset);
        }
    }
}

/// Never held over a wait.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As the official API writes one: `12ms`, `1.5s`, `6m0s`. Rounded up to a millisecond: what is promised is there.
fn duration(time: Duration) -> String {
    let ms = time.as_nanos().div_ceil(1_000_000);
    let (minutes, rest) = (ms / 60_000, ms % 60_000);
    if ms > 0 && ms < 1000 {
        return format!("{ms}ms");
    }
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    if minutes == 0 {
        return format!("{seconds}s");
    }
    format!("{minutes}m{seconds}s")
}

#[cfg(test)]
mod tests {
    use bearer::Secret;

    use super::*;

    fn terms(rpm: Option<u32>, concurrent: Option<u32>) -> Terms {
        Terms {
            requests_per_minute: rpm,
            concurrent,
        }
    }

    fn allowances(rpm: Option<u32>, concurrent: Option<u32>, now: Instant) -> Allowances {
        let access = Access {
            requests_per_minute: rpm,
            concurrent,
            ..Access::default()
        };
        Allowances::new(&access, now)
    }

    fn grants(of: &[(u8, Terms)]) -> Arc<Grants> {
        let mut grants = Grants::default();
        for (n, terms) in of {
            grants.add(&Secret::of([*n; 32]), None, *terms, 0).unwrap();
        }
        Arc::new(grants)
    }

    fn found(grants: &Grants, n: u8) -> &Arc<Grant> {
        grants.find(Secret::of([n; 32]).reveal()).unwrap()
    }

    #[test]
    fn durations_are_written_as_the_official_api_does() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ms"),
            (12_000_000, "12ms"),
            (999_000_001, "1s"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (10_000_000_000, "10s"),
            (59_999_000_000, "59.999s"),
            (360_000_000_000, "6m0s"),
            (90_020_000_000, "1m30.02s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(ns)), text, "{ns}");
        }
    }

    #[test]
    fn each_token_has_its_own_allowance_and_those_without_share_one() {
        let now = Instant::now();
        let all = allowances(Some(1), None, now);
        let grants = grants(&[(1, Terms::default()), (2, terms(Some(2), None))]);
        for (who, most) in [(None, 1), (Some(1), 1), (Some(2), 2)] {
            let of = || {
                all.of(who.map(|n| found(&grants, n)), &grants, now)
                    .unwrap()
            };
            for _ in 0..most {
                assert!(of().begin(now).is_ok());
            }
            let refused = of().begin(now).unwrap_err();
            assert_eq!(
                (refused.status, refused.code),
                (429, Some("rate_limit_exceeded"))
            );
            assert_eq!(refused.retry_after_s, Some(60 / most));
        }
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let now = Instant::now();
        let (all, grants) = (
            allowances(None, None, now),
            grants(&[(1, Terms::default())]),
        );
        assert!(all.of(None, &grants, now).is_none());
        assert!(all.of(Some(found(&grants, 1)), &grants, now).is_none());
        assert!(lock(&all.known).by_id.is_empty());
    }

    #[test]
    fn a_place_is_free_again_when_it_is_given_back_and_a_refusal_uses_nothing() {
        let now = Instant::now();
        let one = allowances(Some(2), Some(1), now)
            .of(None, &Arc::default(), now)
            .unwrap();
        let place = one.begin(now).unwrap();
        let refused = one.begin(now).unwrap_err();
        assert_eq!((refused.status, refused.retry_after_s), (429, Some(1)));
        assert!(refused.message.contains("1 answer"), "{}", refused.message);
        drop(place);
        drop(one.begin(now).unwrap());
        // The rate refuses, and gives the place back.
        for _ in 0..2 {
            assert!(one.begin(now).unwrap_err().message.contains("a minute"));
        }
    }

    #[test]
    fn what_a_revoked_token_used_is_forgotten_and_what_others_used_is_not() {
        let now = Instant::now();
        let all = allowances(Some(1), None, now);
        let both = grants(&[(1, Terms::default()), (2, Terms::default())]);
        for n in [1, 2] {
            all.of(Some(found(&both, n)), &both, now)
                .unwrap()
                .begin(now)
                .unwrap();
        }
        let one = grants(&[(2, Terms::default())]);
        let left = all.of(Some(found(&one, 2)), &one, now).unwrap();
        assert!(left.begin(now).is_err());
        assert_eq!(lock(&all.known).by_id.len(), 1);
    }
}
