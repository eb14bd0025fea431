//! Tokens by table: who is found, what is refused, and what a file may not say.

use proptest::prelude::*;

use super::*;

fn secret(n: u8) -> Secret {
    Secret::of([n; 32])
}

fn with(names: &[Option<&str>]) -> Grants {
    let mut grants = Grants::default();
    for (n, name) in (0..).zip(names) {
        let name = name.map(str::to_owned);
        grants.add(&secret(n), name, Terms::default(), 5).unwrap();
    }
    grants
}

#[test]
fn a_token_is_found_by_its_secret_alone() {
    let grants = with(&[Some("ci"), None]);
    let found = grants.find(secret(0).reveal()).unwrap();
    assert_eq!(found.name.as_deref(), Some("ci"));
    let text = secret(0).reveal().to_owned();
    let (id, hash) = (found.id.to_string(), hex::print(&found.hash));
    for wrong in [
        "",
        "ci",
        &id,
        &hash,
        &text[1..],
        &text[..75],
        &format!("{text} "),
    ] {
        assert!(grants.find(wrong).is_none(), "{wrong}");
    }
    assert!(grants.find(secret(2).reveal()).is_none());
}

#[test]
fn a_file_says_what_was_made_and_no_secret() {
    let mut grants = with(&[Some("ci")]);
    let terms = Terms {
        requests_per_minute: Some(60),
        concurrent: Some(2),
    };
    grants.add(&secret(9), None, terms, 7).unwrap();
    let text = grants.print();
    assert_eq!(Grants::parse(&text), Ok(grants));
    for n in [0, 9] {
        assert!(!text.contains(&hex::print(&[n; 32])), "{text}");
    }
    assert!(text.contains(r#""requests_per_minute": 60"#), "{text}");
}

#[test]
fn names_and_limits_have_their_ranges() {
    let long = "x".repeat(65);
    for name in ["", "a b", "é", "abcdefABCDEF", "012345678901", &long] {
        let mut grants = Grants::default();
        let refused = grants.add(&secret(1), Some(name.to_owned()), Terms::default(), 0);
        let refused = refused.unwrap_err();
        assert!(matches!(refused, GrantError::BadName { .. }), "{name}");
    }
    let taken = with(&[Some("a")]).add(&secret(7), Some("a".to_owned()), Terms::default(), 0);
    assert!(matches!(taken, Err(GrantError::NameTaken { .. })));
    for (rpm, concurrent, field) in [
        (Some(0), None, "requests_per_minute"),
        (Some(1_000_001), None, "requests_per_minute"),
        (Some(1), Some(0), "concurrent"),
    ] {
        let terms = Terms {
            requests_per_minute: rpm,
            concurrent,
        };
        let refused = Grants::default().add(&secret(1), None, terms, 0);
        let text = refused.unwrap_err().to_string();
        assert!(text.starts_with(field), "{text}");
    }
}

#[test]
fn what_is_revoked_by_name_or_id_is_gone() {
    let mut grants = with(&[Some("a"), Some("b")]);
    let id = grants.find(secret(1).reveal()).unwrap().id.clone();
    assert_eq!(grants.revoke("a").unwrap().name.as_deref(), Some("a"));
    assert!(grants.find(secret(0).reveal()).is_none());
    assert_eq!(grants.len(), 1);
    grants.revoke(&id).unwrap();
    assert!(grants.is_empty() && grants.find(secret(1).reveal()).is_none());
    let again = grants.revoke("a").unwrap_err();
    assert!(again.to_string().contains("no token a:"), "{again}");
}

#[test]
fn a_secret_that_is_given_for_a_name_is_not_repeated() {
    let secret = secret(3);
    let refused = with(&[]).revoke(secret.reveal()).unwrap_err().to_string();
    assert!(
        !refused.contains("0303") && refused.contains("sk-paraphym-"),
        "{refused}"
    );
    let refused = with(&[]).add(
        &secret,
        Some(secret.reveal().to_owned()),
        Terms::default(),
        0,
    );
    assert!(!refused.unwrap_err().to_string().contains("0303"));
}

#[test]
fn there_is_a_most() {
    let mut grants = Grants::default();
    for n in 0..u16::try_from(MOST).unwrap() {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        grants
            .add(&Secret::of(bytes), None, Terms::default(), 0)
            .unwrap();
    }
    let one_more = grants.add(&secret(200), None, Terms::default(), 0);
    assert_eq!(one_more, Err(GrantError::TooMany));
    assert_eq!(Grants::parse(&grants.print()).unwrap().len(), MOST);
}

#[test]
fn a_damaged_file_says_what_is_wrong() {
    let good = with(&[Some("a"), Some("b")]).print();
    let line = |text: &str| {
        let begins = text.find("    {").unwrap();
        text[begins..=text.find('}').unwrap()].to_owned()
    };
    let twice = good.replacen(
        "\"tokens\": [\n",
        &format!("\"tokens\": [\n{},\n", line(&good)),
        1,
    );
    let digits = good.replacen("\"sha256\": \"", "\"sha256\": \"z", 1);
    for (text, part) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "expected"),
        ("{}".to_owned(), "version"),
        (
            good.replace("\"version\": 1", "\"version\": 2"),
            "version = 2",
        ),
        (good.replace("made_s", "expires"), "expires"),
        (good[..good.len() / 2].to_owned(), "EOF"),
        (
            good.replacen("\"id\": \"", "\"id\": \"x", 1),
            "does not belong",
        ),
        (good.replacen("\"a\"", "\"b\"", 1), "two tokens"),
        (good.replacen("\"a\"", "\"a b\"", 1), "no name"),
        (twice, "two tokens"),
        (digits, "64 hexadecimal"),
    ] {
        let error = Grants::parse(&text).unwrap_err().to_string();
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

proptest! {
    #[test]
    fn no_text_is_a_panic_and_what_is_read_prints_the_same(text in "\\PC{0,200}") {
        if let Ok(grants) = Grants::parse(&text) {
            prop_assert_eq!(Grants::parse(&grants.print()), Ok(grants));
        }
    }

    #[test]
    fn whatever_was_added_and_revoked_is_what_is_found(steps in proptest::collection::vec((0_u8..8, any::<bool>()), 0..40)) {
        let (mut grants, mut known) = (Grants::default(), std::collections::BTreeSet::new());
        for (n, add) in steps {
            let name = format!("t{n}");
            if add {
                let added = grants.add(&secret(n), Some(name), Terms::default(), 0);
                prop_assert_eq!(added.is_ok(), known.insert(n));
            } else {
                prop_assert_eq!(grants.revoke(&name).is_ok(), known.remove(&n));
            }
            for n in 0..8 {
                prop_assert_eq!(grants.find(secret(n).reveal()).is_some(), known.contains(&n));
            }
        }
    }
}
