//! A rehearsal says what a change would come to, and nothing else happens: whatever is wished for, the change itself then
//! says the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use paraphym_chat_config as chat_config;
use proptest::prelude::*;
use serde_json::{Value, json};
use supervision::{Events, SupervisorSpec, start_root};
use tokio::task::JoinSet;

use chat_config::file::{FileError, RealDisk};
use chat_config::{
    Author, Catalogue, Change, ConfigError, Heard, Layers, PlanError, Store, Update, WAITING, Wish,
    client,
};

fn author() -> Author {
    Author {
        who: "ada".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    }
}

/// What is set on the command line is held by it.
fn open(file: &Path) -> Store {
    let catalogue = Arc::new(Catalogue::new());
    let flags = ["model.seed=7".to_owned()];
    let layers = Layers::new(&catalogue, file.to_owned(), [], &flags).unwrap();
    Store::open(catalogue, layers, Arc::new(RealDisk), author()).unwrap()
}

/// Every file of the folder, but the lock that both leave.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let all = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let all = all.map(|one| {
        let name = one.file_name().into_string().unwrap();
        (name, fs::read_to_string(one.path()).unwrap())
    });
    all.filter(|(name, _)| !name.contains("lock")).collect()
}

fn text(key: &str, text: &str) -> Change {
    Change::Text {
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

fn update(expected: Option<u64>, changes: Vec<Change>) -> Wish {
    Wish::Update { expected, changes }
}

/// Good and bad: unknown keys, values out of range or of another kind, what a flag holds, what only holds together.
fn change() -> impl Strategy<Value = Change> {
    let keys = prop::sample::select(vec![
        "model.temperature",
        "model.top_k",
        "model.seed",
        "model.queue",
        "ui.font_px",
        "chat.idle",
        "server.auth",
        "agents.coder.system",
        "agents.coder.temperature",
        "model.temprature",
        "model",
        "",
    ]);
    let values = prop::sample::select(vec![
        "0.2", "0.7", "-1", "14", "1000000", "15m", "off", "x", "", "[1]",
    ]);
    let key = |key: &str| key.to_owned();
    prop_oneof![
        4 => (keys.clone(), values.clone()).prop_map(|(key, value)| text(key, value)),
        2 => (keys.clone(), values).prop_map(move |(k, value)| {
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            Change::Set { key: key(k), value }
        }),
        1 => keys.clone().prop_map(move |k| Change::Reset { key: key(k) }),
        1 => (keys, 0..3_u32).prop_map(move |(k, top_k)| {
            let values: BTreeMap<String, Value> = [("top_k".to_owned(), top_k.into())].into();
            Change::Section { section: key(k), values }
        }),
    ]
}

/// Which revision a wish is for: any, the one that holds, or another; and whether it goes back to an earlier one instead.
fn wish() -> impl Strategy<Value = (Option<i64>, Option<u64>, Vec<Change>)> {
    let expected = prop::option::of(-1..=1_i64);
    let back = prop::option::weighted(0.1, 0..4_u64);
    (expected, back, prop::collection::vec(change(), 0..3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rehearsal_says_what_the_change_then_says(
        wishes in prop::collection::vec((wish(), prop::option::weighted(0.2, 0..4_usize)), 1..8)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let store = open(&file);
        for ((expected, back, changes), by_hand) in wishes {
            // Somebody edits the file meanwhile: well, badly, or halfway.
            let edits = ["", "[model]\ntop_k = 9\n", "[model]\ntop_k = \"many\"\n", "[mod"];
            if let Some(edit) = by_hand {
                fs::write(&file, edits[edit]).unwrap();
            }
            let number = i64::try_from(store.current().number).unwrap();
            let expected = expected.map(|off| u64::try_from(number + off).unwrap());
            let wish = match back {
                Some(to) => Wish::Rollback { expected, to },
                None => update(expected, changes),
            };
            let (held, before) = (store.current(), files(folder.path()));
            let foreseen = store.rehearse(&author(), &wish);
            prop_assert_eq!(&store.rehearse(&author(), &wish), &foreseen);
            prop_assert!(Arc::ptr_eq(&store.current(), &held));
            prop_assert_eq!(files(folder.path()), before);
            match (foreseen, store.perform(&author(), &wish)) {
                (Ok(foreseen), Ok(made)) => {
                    prop_assert_eq!(foreseen.made.unwrap_or(foreseen.holds), made);
                }
                (Err(foreseen), Err(refused)) => prop_assert_eq!(foreseen, refused),
                (foreseen, done) => prop_assert!(false, "{foreseen:?}, then {done:?}"),
            }
        }
    }
}

#[test]
fn what_would_be_refused_is_named_and_what_others_did_is_counted_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let store = open(&file);
    let look = |expected, key: &str, value: &str| {
        store.rehearse(&author(), &update(expected, vec![text(key, value)]))
    };
    let refused = |expected, key: &str, value: &str| match look(expected, key, value) {
        Err(ConfigError::Plan(error)) => error,
        other => panic!("{other:?}"),
    };
    let named = refused(None, "model.temperature", "9").to_string();
    assert!(named.contains("model.temperature"), "{named}");
    let held = refused(None, "model.seed", "8");
    assert!(matches!(held, PlanError::Held { .. }), "{held}");
    let (expected, current) = (2, 1);
    assert_eq!(
        refused(Some(2), "model.top_k", "8"),
        PlanError::Conflict { expected, current }
    );
    assert_eq!(
        look(None, "model.top_k", "8").unwrap().made.unwrap().number,
        2
    );
    assert!(!file.exists());

    fs::write(&file, "[model]\ntop_k = 9\n").unwrap();
    let outlook = look(None, "model.top_k", "8").unwrap();
    let made = outlook.made.unwrap();
    assert_eq!((outlook.holds.number, made.number), (2, 3));
    let changed = &made.changed[0];
    assert_eq!((changed.from.as_str(), changed.to.as_str()), ("9", "8"));
    assert_eq!(look(None, "model.top_k", "9").unwrap().made, None);
    assert_eq!(store.current().number, 1);
    fs::write(&file, "[mod").unwrap();
    let edited = look(None, "model.top_k", "8");
    assert!(
        matches!(edited, Err(ConfigError::File(FileError::Edited { .. }))),
        "{edited:?}"
    );
}

#[tokio::test]
async fn nobody_hears_of_a_rehearsal_and_only_so_many_are_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("config.toml"));
    let (child, config) = chat_config::child(store.clone(), Arc::new(|| SystemTime::UNIX_EPOCH));
    let spec = SupervisorSpec::new("root").child(child);
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    let mut heard = client::subscribe(&config).await.unwrap();
    let wish = |expected, value: &str| Update {
        who: "ada".to_owned(),
        expected,
        changes: vec![text("model.top_k", value)],
    };
    let outlook = client::rehearse(&config, wish(None, "8")).await.unwrap();
    let made = outlook.made.unwrap();
    assert_eq!((outlook.holds.number, made.number), (1, 2));
    for (expected, value) in [(None, "x"), (Some(7), "8")] {
        let foreseen = client::rehearse(&config, wish(expected, value)).await;
        let done = client::update(&config, wish(expected, value)).await;
        assert_eq!(foreseen.unwrap_err(), done.unwrap_err());
    }
    let mut many = wish(None, "8");
    many.changes = vec![text("model.top_k", "8"); 257];
    let foreseen = client::rehearse(&config, many).await;
    assert!(
        matches!(foreseen, Err(ConfigError::TooMany { .. })),
        "{foreseen:?}"
    );

    // More at once than may be: some are refused, none is forgotten.
    let mut looks = JoinSet::new();
    for _ in 0..4 * WAITING {
        let (config, wish) = (config.clone(), wish(None, "8"));
        looks.spawn(async move { client::rehearse(&config, wish).await });
    }
    for answer in looks.join_all().await {
        match answer {
            Ok(outlook) => assert_eq!(outlook.made.as_ref(), Some(&made)),
            Err(ConfigError::Busy { waiting }) => assert!(waiting >= WAITING),
            Err(other) => panic!("{other}"),
        }
    }
    // The first that is heard of is the one that is made.
    let done = client::update(&config, wish(Some(1), "8")).await.unwrap();
    assert_eq!(done, made);
    let Some(Heard::Revised(first)) = heard.next().await else {
        panic!("nobody was told");
    };
    assert_eq!(first.number, 2);
    root.stop(std::time::Duration::from_secs(5)).await;
}
