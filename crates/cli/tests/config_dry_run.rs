//! `--dry-run` of a change of settings, with a server and without: refused as the change would be, said as it would be, and
//! nothing is changed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::fs;

use serde_json::json;

use common::{Home, assert_refused};
use server::Server;

const WRONG: [(&str, i32, &str); 3] = [
    ("model.temperature=9", 2, "model.temperature"),
    ("model.top_k=many", 2, "model.top_k"),
    ("model.temprature=1", 1, "did you mean model.temperature"),
];

/// Without the number of the process that asked.
fn anybodys(err: &str) -> String {
    let Some((before, rest)) = err.split_once(", pid ") else {
        return err.to_owned();
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{rest}")
}

#[test]
fn a_server_checks_the_values_of_a_dry_run_and_keeps_what_it_has() {
    let server = Server::with(Home::new(), &[]);
    let file = server.home.path(".config/paraphym/config.toml");
    for (change, code, part) in WRONG {
        let tried = server.ctl(&["config", "set", "--dry-run", change]);
        assert_refused(&tried, code, &[part]);
        let done = server.ctl(&["config", "set", change]);
        let told = (done.code, anybodys(&done.err));
        assert_eq!(told, (tried.code, anybodys(&tried.err)));
    }
    let set = ["config", "set", "--dry-run", "model.temperature=0.7"];
    let said = server.say(&set);
    assert!(said.starts_with("would set model.temperature: "), "{said}");
    for part in [" -> 0.7 (with the next", "; revision 2 would hold"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(server.json(&set)["done"], false);
    let late = [&set[..3], &["--expect", "7", "model.top_k=9"]].concat();
    assert_refused(&server.ctl(&late), 1, &["revision 1", "revision 7"]);
    assert!(!file.exists());
    assert_eq!(server.json(&["config", "get"])["revision"], 1);

    let done = server.say(&["config", "set", "model.temperature=0.7"]);
    let would = said
        .replace("would set ", "")
        .replace("would hold", "holds");
    assert_eq!(done, would);
    let before = fs::read_to_string(&file).unwrap();
    assert!(
        server
            .say(&set)
            .contains("nothing to change: revision 2 holds")
    );
    server.say(&["config", "set", "--dry-run", "model.temperature=0.1"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    server.end();
}

#[test]
fn without_a_server_the_settings_file_is_checked_and_kept() {
    let home = Home::of("config");
    let file = home.path(".config/paraphym/config.toml");
    for (change, _, part) in WRONG {
        let tried = home.run(&["set", "--dry-run", change]);
        assert_refused(&tried, 2, &[part]);
        let done = home.run(&["set", change]);
        assert_eq!((done.code, done.err), (tried.code, tried.err));
    }
    let set = ["set", "--dry-run", "model.top_k=9"];
    let said = home.say(&set);
    assert!(
        said.starts_with("would be revision 2\nmodel.top_k"),
        "{said}"
    );
    assert!(!file.exists());
    let would = home.json(&set);
    let mut done = home.json(&["set", "model.top_k=9"]);
    done["dry_run"] = json!(true);
    assert_eq!(would, done);
    let before = fs::read_to_string(&file).unwrap();
    assert_eq!(home.say(&set), "nothing to change: revision 2 holds\n");
    let reset = home.say(&["reset", "--dry-run", "model"]);
    assert!(
        reset.starts_with("would be revision 3\nmodel.top_k  9 -> "),
        "{reset}"
    );
    let back = home.say(&["rollback", "--dry-run", "1"]);
    assert_eq!(back, reset);
    assert_refused(
        &home.run(&["rollback", "--dry-run", "7"]),
        2,
        &["revision 7"],
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(
        home.json(&["history"])["revisions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
