//! Revisions by tables, and by any sequence of wishes against a plain model.

use proptest::prelude::*;

use super::*;

fn author(who: &str) -> Author {
    Author {
        who: who.to_owned(),
        at: SystemTime::UNIX_EPOCH,
    }
}

fn start(text: &str, flags: &[&str]) -> Revisions {
    let catalogue = Arc::new(Catalogue::new());
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let layers = Layers::new(&catalogue, "config.toml".into(), [], &flags).unwrap();
    Revisions::start(catalogue, layers, text, author("start")).unwrap()
}

fn set(key: &str, value: impl Into<Value>) -> Change {
    Change::Set {
        key: key.to_owned(),
        value: value.into(),
    }
}

fn update(revisions: &mut Revisions, expected: u64, changes: &[Change]) -> Result<u64, PlanError> {
    let planned = revisions.update(author("ada"), Some(expected), changes)?;
    if let Some(planned) = planned {
        revisions.commit(planned).unwrap();
    }
    Ok(revisions.current().number)
}

#[test]
fn two_editors_conflict_cleanly() {
    let mut revisions = start("", &[]);
    assert_eq!(update(&mut revisions, 1, &[set("ui.font_px", 20)]), Ok(2));
    assert_eq!(
        update(&mut revisions, 1, &[set("ui.theme", "dark")]),
        Err(PlanError::Conflict {
            expected: 1,
            current: 2
        })
    );
    assert_eq!(revisions.current().settings.ui.font_px, 20);
    assert_eq!(update(&mut revisions, 2, &[set("ui.theme", "dark")]), Ok(3));
    let seen = revisions.current();
    assert_eq!((seen.who.as_str(), &seen.cause), ("ada", &Cause::Updated));
    assert_eq!(
        seen.changed,
        [Changed {
            field: "ui.theme".to_owned(),
            from: "\"system\"".to_owned(),
            to: "\"dark\"".to_owned(),
        }]
    );
}

#[test]
fn a_plan_on_an_old_revision_is_not_taken() {
    let mut revisions = start("", &[]);
    let plan = |n: u32| revisions.update(author("a"), None, &[set("ui.font_px", n)]);
    let (one, other) = (plan(20).unwrap().unwrap(), plan(21).unwrap().unwrap());
    assert!(revisions.commit(one).is_some());
    assert!(revisions.commit(other).is_none());
    assert_eq!(revisions.current().settings.ui.font_px, 20);
}

#[test]
fn a_change_is_taken_whole_or_not_at_all() {
    let mut revisions = start("", &[]);
    let changes = [
        set("ui.font_px", 20),
        set("ui.theme", "pink"),
        set("ui.fnt_px", 3),
        Change::Reset {
            key: "nothing".to_owned(),
        },
    ];
    let Err(PlanError::Refused(refusals)) = update(&mut revisions, 1, &changes) else {
        panic!("taken");
    };
    let mut fields: Vec<_> = refusals.iter().filter_map(Refusal::field).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["nothing", "ui.fnt_px", "ui.theme"]);
    assert!(refusals.to_string().contains("asked for by ada"));
    assert_eq!(*revisions.current().settings, Settings::default());
    assert_eq!(revisions.current().number, 1);
}

#[test]
fn sections_are_replaced_and_reset_whole() {
    let mut revisions = start("[ui]\nfont_px = 30\ntheme = \"dark\"\n", &[]);
    let section = Change::Section {
        section: "ui".to_owned(),
        values: BTreeMap::from([("theme".to_owned(), "light".into())]),
    };
    update(&mut revisions, 1, &[section]).unwrap();
    let ui = &revisions.current().settings.ui;
    assert_eq!((ui.font_px, ui.theme), (14, crate::settings::Theme::Light));
    let reset = Change::Reset {
        key: "ui".to_owned(),
    };
    assert_eq!(
        update(&mut revisions, 2, std::slice::from_ref(&reset)),
        Ok(3)
    );
    assert!(revisions.current().own().is_empty());
    assert_eq!(
        update(&mut revisions, 3, &[reset]),
        Ok(3),
        "nothing changed"
    );
    let strange = Change::Section {
        section: "u".to_owned(),
        values: BTreeMap::new(),
    };
    assert!(matches!(
        update(&mut revisions, 3, &[strange]),
        Err(PlanError::Refused(_))
    ));
}

#[test]
fn what_a_flag_holds_is_not_changed_in_vain() {
    let mut revisions = start("", &["ui.font_px=20"]);
    assert_eq!(
        update(&mut revisions, 1, &[set("ui.font_px", 21)]),
        Err(PlanError::Held {
            field: "ui.font_px".to_owned(),
            by: Origin::Flag("ui.font_px".to_owned()),
        })
    );
    assert_eq!(update(&mut revisions, 1, &[set("ui.theme", "dark")]), Ok(2));
    let current = revisions.current();
    assert_eq!(current.settings.ui.font_px, 20);
    assert!(!current.own().contains_key("ui.font_px"));
    assert_eq!(
        *current.origin("ui.theme"),
        Origin::File("config.toml".into())
    );
    assert_eq!(*current.origin("ui.layout"), Origin::Default);
}

#[test]
fn a_rollback_is_a_new_revision_and_secrets_are_never_shown() {
    let mut revisions = start("", &[]);
    update(&mut revisions, 1, &[set("chat.system", "hush")]).unwrap();
    update(&mut revisions, 2, &[set("chat.system", "hush hush")]).unwrap();
    let back = revisions.roll_back(author("bob"), Some(3), 2).unwrap();
    revisions.commit(back.unwrap()).unwrap();
    let current = revisions.current();
    assert_eq!(current.settings.chat.system.as_deref(), Some("hush"));
    assert_eq!(
        (current.number, &current.cause),
        (4, &Cause::RolledBack { to: 2 })
    );
    let shown: Vec<_> = revisions.history().flat_map(|r| &r.changed).collect();
    assert_eq!(shown.len(), 3);
    assert!(shown.iter().all(|changed| !changed.to.contains("hush")));
    assert_eq!(revisions.diff(2, 4), Ok(Vec::new()));
    assert_eq!(revisions.diff(1, 3).unwrap().len(), 1);
    assert_eq!(
        revisions.roll_back(author("bob"), None, 9),
        Err(PlanError::NoRevision {
            wanted: 9,
            oldest: 1,
            newest: 4
        })
    );
}

fn text(key: &str, text: &str) -> Change {
    Change::Text {
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

/// The changed fields of an update that is accepted.
fn changed(revisions: &mut Revisions, changes: &[Change]) -> Vec<String> {
    let number = revisions.current().number;
    update(revisions, number, changes).unwrap();
    let shown = format!("{:?}", revisions.current().changed);
    assert!(!shown.contains("hush"), "{shown}");
    let fields = revisions.current().changed.iter();
    fields.map(|one| one.field.clone()).collect()
}

fn refused(revisions: &mut Revisions, changes: &[Change]) -> PlanError {
    let number = revisions.current().number;
    update(revisions, number, changes).unwrap_err()
}

fn reset(key: &str) -> Change {
    Change::Reset {
        key: key.to_owned(),
    }
}

#[test]
fn what_is_made_by_name_comes_and_goes() {
    let mut revisions = start("", &["agents.coder.seed=3"]);
    let coder = [
        text("agents.coder.system", "hush"),
        text("agents.coder.tools", "[\"calculate\"]"),
        text("agents.other.memory", "true"),
    ];
    assert_eq!(
        changed(&mut revisions, &coder),
        [
            "agents.coder.system",
            "agents.coder.tools",
            "agents.other.memory"
        ]
    );
    assert_eq!(
        changed(&mut revisions, &[reset("agents.other")]),
        ["agents.other.memory"]
    );
    let section = Change::Section {
        section: "agents".to_owned(),
        values: BTreeMap::from([("coder.model".to_owned(), "new".into())]),
    };
    assert_eq!(
        changed(&mut revisions, &[section]),
        [
            "agents.coder.model",
            "agents.coder.system",
            "agents.coder.tools"
        ]
    );
    assert_eq!(
        changed(&mut revisions, &[reset("agents")]),
        ["agents.coder.model"]
    );
    // What a flag says stays.
    let coder = revisions.current().settings.agent("coder").unwrap();
    assert_eq!(coder.seed, Some(3));
    let held = refused(&mut revisions, &[text("agents.coder.seed", "4")]);
    assert!(matches!(held, PlanError::Held { .. }), "{held:?}");
    let odd = refused(&mut revisions, &[text("agents.a b.seed", "4")]);
    assert!(odd.to_string().contains("is no name"), "{odd}");
}

#[test]
fn a_server_is_whole_or_it_is_not_there() {
    let mut revisions = start("", &[]);
    let server = |key: &str, value: &str| text(&format!("tools.mcp.git.{key}"), value);
    let alone = refused(&mut revisions, &[server("args", "[\"x\"]")]);
    assert!(
        alone.to_string().contains("either a command or a url"),
        "{alone}"
    );
    let both = [
        server("args", "[\"x\"]"),
        server("command", "git-mcp"),
        server("env", "{T = \"hush\"}"),
    ];
    let names = ["args", "command", "env"].map(|key| format!("tools.mcp.git.{key}"));
    assert_eq!(changed(&mut revisions, &both), names);
    let shown = format!("{:?}", revisions.current().changed);
    assert!(shown.contains("(secret)"), "{shown}");
    assert_eq!(
        changed(&mut revisions, &[server("args", "[]")]),
        ["tools.mcp.git.args"]
    );
    let command = refused(&mut revisions, &[reset("tools.mcp.git.command")]);
    assert!(matches!(command, PlanError::Refused(_)), "{command}");
    changed(&mut revisions, &[reset("tools.mcp.git")]);
    assert!(revisions.current().settings.tools.mcp.is_empty());
}

#[test]
fn a_bad_file_leaves_everything_as_it_is() {
    let mut revisions = start("[ui]\nfont_px = 30\n", &[]);
    let wrong = revisions.reload(author("file"), "[ui]\nfont_px = 3\n");
    assert!(matches!(wrong, Err(PlanError::Refused(_))));
    assert_eq!(revisions.current().settings.ui.font_px, 30);
    assert_eq!(
        revisions.reload(author("file"), "[ui] # said\nfont_px = 30"),
        Ok(None)
    );
    let good = revisions.reload(author("file"), "").unwrap().unwrap();
    revisions.commit(good).unwrap();
    assert_eq!(revisions.current().settings.ui.font_px, 14);
}

#[test]
fn the_history_is_bounded() {
    let mut revisions = start("", &[]);
    for n in 1..=200 {
        update(&mut revisions, n, &[set("model.seed", n)]).unwrap();
    }
    let numbers: Vec<u64> = revisions.history().map(|r| r.number).collect();
    assert_eq!(numbers, (138..=201).collect::<Vec<_>>());
    assert_eq!(numbers.len(), HISTORY);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wishes `(setting, value, how far behind the asker is)`: what was accepted is there, what was refused is not, and
    /// the number grows by one with each that was accepted.
    #[test]
    fn no_update_is_lost_and_no_refused_one_is_seen(
        wishes in prop::collection::vec((0..3_usize, 0..80_u32, 0..2_u64), 1..40)
    ) {
        let keys = ["ui.font_px", "model.queue", "model.top_k"];
        let mut revisions = start("", &[]);
        let mut model = [14_u32, 32, 40];
        for (setting, value, behind) in wishes {
            let before = Arc::clone(revisions.current());
            let expected = before.number - behind;
            let result = update(&mut revisions, expected, &[set(keys[setting], value)]);
            let valid = match setting { 0 => (8..=72).contains(&value), 1 => value >= 1, _ => true };
            if behind > 0 {
                prop_assert_eq!(result, Err(PlanError::Conflict { expected, current: before.number }));
                prop_assert_eq!(revisions.current(), &before);
            } else if valid {
                let number = result.unwrap();
                prop_assert!(number == before.number + 1 || revisions.current() == &before);
                model[setting] = value;
            } else {
                prop_assert!(matches!(result, Err(PlanError::Refused(_))));
                prop_assert_eq!(revisions.current(), &before);
            }
            let now = &revisions.current().settings;
            prop_assert_eq!([now.ui.font_px, now.model.queue, now.model.top_k], model);
            let text = crate::to_toml(revisions.current().own()).unwrap();
            let read = revisions.layers().read(revisions.catalogue(), &text);
            prop_assert_eq!(&read.unwrap(), revisions.current().own());
        }
    }
}
