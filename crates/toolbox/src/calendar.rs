//! A point in time as people write it. The proleptic Gregorian calendar, without leap seconds, as in RFC 3339.
//!
//! Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years begin in March, so that the
//! leap day is the last of a year, and 400 years (an era) have 146 097 days.

const DAY_SECONDS: i64 = 86_400;
const ERA_DAYS: i64 = 146_097;
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// `seconds` since 1970-01-01 UTC, on a clock that is `offset_minutes` (−1439 to 1439) ahead of UTC, as
/// `2026-11-23T09:30:00+01:00`, and the day of the week.
pub(crate) fn written(seconds: i64, offset_minutes: i32) -> (String, &'static str) {
    let local = seconds.saturating_add(i64::from(offset_minutes) * 60);
    let (days, of_day) = (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let offset = if offset_minutes == 0 {
        "Z".to_owned()
    } else {
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let ahead = offset_minutes.unsigned_abs();
        format!("{sign}{:02}:{:02}", ahead / 60, ahead % 60)
    };
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}");
    let weekday = usize::try_from(days.rem_euclid(7)).unwrap_or(0);
    (text, WEEKDAYS.get(weekday).copied().unwrap_or("Thursday"))
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(ERA_DAYS);
    let of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `+02:00`, `-05:30` or `Z`, in minutes ahead of UTC.
pub(crate) fn offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-" | "−", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two = |part: &str, limit: i32| -> Option<i32> {
        let is_two_digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let number: i32 = is_two_digits.then(|| part.parse().ok()).flatten()?;
        (number < limit).then_some(number)
    };
    Some(sign * (two(hours, 24)? * 60 + two(minutes, 60)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_points_in_time() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00Z", "Thursday"),
            (951_782_400, 0, "2000-02-29T00:00:00Z", "Tuesday"),
            (1_700_000_000, 0, "2023-11-14T22:13:20Z", "Tuesday"),
            (1_700_000_000, 330, "2023-11-15T03:43:20+05:30", "Wednesday"),
            (1_700_000_000, -210, "2023-11-14T18:43:20-03:30", "Tuesday"),
            (-1, 0, "1969-12-31T23:59:59Z", "Wednesday"),
            (-2_203_891_200, 0, "1900-03-01T00:00:00Z", "Thursday"),
        ];
        for (seconds, offset, text, weekday) in cases {
            assert_eq!(written(seconds, offset), (text.to_owned(), weekday));
        }
    }

    #[test]
    fn every_day_of_eight_hundred_years_follows_the_one_before() {
        // Counted on one by one, by the rules of the calendar and by nothing else.
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..2 * ERA_DAYS {
            assert_eq!(civil(days), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                4 | 6 | 9 | 11 => 30,
                2 if is_leap => 29,
                2 => 28,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2770, 1, 1));
    }

    #[test]
    fn offsets_are_hours_and_minutes() {
        let good = [
            ("+02:00", 120),
            ("-05:30", -330),
            ("Z", 0),
            ("UTC", 0),
            ("+23:59", 1439),
        ];
        for (text, minutes) in good {
            assert_eq!(offset(text), Some(minutes));
        }
        for bad in [
            "", "2", "02:00", "+2:00", "+24:00", "+02:60", "+02", "CET", "+0a:00", "é1:00",
        ] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_point_in_time_and_no_offset_panics(seconds: i64, minutes in -1439..1440, text in "\\PC{0,8}") {
            prop_assert!(written(seconds, minutes).0.len() >= 20);
            let read = offset(&text);
            prop_assert!(read.is_none_or(|minutes| minutes.abs() < 1440));
        }
    }
}
