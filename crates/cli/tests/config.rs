//! `paraphym config` from outside: what is set holds for the next process, what is wrong is named, and two who change
//! settings at once do not undo each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use common::{Home, Ran, assert_refused, ran};
use server::Server;

/// Ada's home; her editors are scripts, and what these call is on the path.
fn home() -> Home {
    let path = std::env::var_os("PATH").unwrap();
    Home::of("config").with("PATH", path).with("USER", "ada")
}

fn file(home: &Home) -> PathBuf {
    home.path(".config/paraphym/config.toml")
}

fn write(home: &Home, text: &str) {
    fs::create_dir_all(file(home).parent().unwrap()).unwrap();
    fs::write(file(home), text).unwrap();
}

/// An editor: what it does with the file, as shell words, `$1` being the file.
fn editor(home: &Home, script: &str) -> String {
    let path = home.path("editor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_setting_is_shown_with_where_it_comes_from() {
    let home = home();
    let all = home.say(&["get"]);
    assert!(all.contains("model.temperature") && all.contains("by default"));
    assert!(!file(&home).exists(), "looking leaves nothing behind");
    write(&home, "[model]\ntop_k = 5\n[chat]\nsystem = \"hush\"\n");
    let mut command = home.command(&["get", "model", "--json", "--set", "model.seed=9"]);
    let ran = ran(command
        .env("PARAPHYM_MODEL__TOP_P", "0.5")
        .env("PARAPHYM_TEMPERATURE", "0.9"));
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    for (key, value, kind) in [
        ("model.top_k", 5.into(), "file"),
        ("model.top_p", 0.5.into(), "environment"),
        ("model.temperature", 0.9.into(), "environment"),
        ("model.seed", 9.into(), "flag"),
        ("model.min_p", 0.05.into(), "default"),
    ] {
        let settings = found["settings"].as_array().unwrap();
        let setting = settings.iter().find(|one| one["key"] == key).unwrap();
        assert_eq!(
            (&setting["value"], setting["origin"]["kind"].as_str()),
            (&value, Some(kind))
        );
    }
    let one = home.say(&["get", "model.top_k"]);
    for part in [
        "model.top_k = 5",
        "config.toml",
        "a whole number from 0",
        "with the next turn",
    ] {
        assert!(one.contains(part), "{part} is missing in {one}");
    }
    // A list is for anybody's eyes; who names a secret wants to see it.
    assert!(!home.say(&["get"]).contains("hush") && !home.say(&["get", "--json"]).contains("hush"));
    assert!(home.say(&["get", "chat.system"]).contains("hush"));
    assert_refused(
        &home.run(&["get", "model.temprature"]),
        2,
        &["did you mean model.temperature?"],
    );
}

#[test]
fn what_is_set_holds_in_the_next_process_and_can_be_undone() {
    let home = home();
    let made = home.json(&["set", "model.temperature=0.7", "chat.idle=90s"]);
    assert_eq!(made["revision"], 2);
    assert_eq!(made["changed"].as_array().unwrap().len(), 2);
    assert!(
        fs::read_to_string(file(&home))
            .unwrap()
            .contains("temperature = 0.7")
    );
    assert_eq!(
        home.json(&["get", "model.temperature"])["settings"][0]["value"],
        0.7
    );
    let said = home.say(&["set", "model.temperature=0.9"]);
    assert!(
        said.contains("revision 3") && said.contains("0.7 -> 0.9"),
        "{said}"
    );
    assert!(
        home.say(&["set", "model.temperature=0.9"])
            .contains("nothing to change")
    );
    assert!(home.say(&["reset", "chat"]).contains("chat.idle"));

    let history = home.json(&["history"]);
    let told: Vec<(u64, &str, &str)> = history["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap();
            (
                one["revision"].as_u64().unwrap(),
                text("who"),
                text("cause"),
            )
        })
        .collect();
    let expected = [
        (4, "ada", "updated"),
        (3, "ada", "updated"),
        (2, "ada", "updated"),
        (1, "ada", "started"),
    ];
    assert_eq!(told, expected);
    assert!(home.say(&["history"]).contains("model.temperature"));

    let diff = home.json(&["diff", "1", "3"]);
    assert_eq!(diff["changed"].as_array().unwrap().len(), 2);
    assert!(home.say(&["diff"]).contains("chat.idle"));
    assert!(home.say(&["diff", "4"]).contains("nothing is different"));
    assert_eq!(home.json(&["rollback", "2"])["revision"], 5);
    assert_eq!(
        home.json(&["get", "model.temperature"])["settings"][0]["value"],
        0.7
    );
    assert_refused(
        &home.run(&["rollback", "77"]),
        2,
        &["revision 77 is not kept", "1 to 5"],
    );
    assert_refused(&home.run(&["diff", "77"]), 2, &["revision 77 is not kept"]);
}

#[test]
fn agents_and_servers_are_made_by_name() {
    let home = home();
    assert!(home.say(&["get", "agents"]).contains("agents.*.system"));
    let said = home.say(&["set", "agents.coder.system", "You = exact."]);
    assert!(
        said.contains("agents.coder.system") && !said.contains("exact"),
        "{said}"
    );
    home.say(&[
        "set",
        "agents.coder.temperature=0",
        "tools.overrides.calculate=auto",
    ]);
    let server = [
        "tools.mcp.git.command=git-mcp",
        "tools.mcp.git.env={TOKEN=\"hush\"}",
    ];
    home.say(&[&["set"], &server[..]].concat());
    assert!(
        home.say(&["get", "agents.coder.system"])
            .contains("You = exact.")
    );
    let coder = home.json(&["get", "agents.coder"]);
    let settings = coder["settings"].as_array().unwrap();
    let temperature = settings
        .iter()
        .find(|one| one["key"] == "agents.coder.temperature");
    let temperature = temperature.unwrap();
    assert_eq!(
        (&temperature["value"], &temperature["origin"]["kind"]),
        (&0.0.into(), &"file".into())
    );
    // Not even who asks for it by name is shown it.
    for args in [
        &["get"][..],
        &["get", "tools.mcp.git.env"],
        &["get", "--json"],
        &["history"],
    ] {
        let said = home.say(args);
        assert!(
            said.contains("tools.mcp.git.env") && !said.contains("hush"),
            "{args:?}: {said}"
        );
    }
    let sealed = home.json(&["get", "tools.mcp.git.env"]);
    assert_eq!(
        (
            &sealed["settings"][0]["value"],
            &sealed["settings"][0]["hidden"]
        ),
        (&Value::Null, &true.into())
    );
    assert!(
        fs::read_to_string(file(&home)).unwrap().contains("hush"),
        "who runs with it has it"
    );
    home.say(&["reset", "agents.coder", "tools.mcp.git"]);
    let text = fs::read_to_string(file(&home)).unwrap();
    assert!(
        !text.contains("coder") && !text.contains("git") && text.contains("calculate"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_an_agent_or_a_server_is_named() {
    let home = home();
    home.say(&["set", "tools.mcp.git.command", "git-mcp"]);
    for (change, part) in [
        (
            "agents.coder.temperature=9",
            "agents.coder.temperature = 9 (asked for by ada)",
        ),
        ("agents.coder.sistem=x", "did you mean agents.coder.system?"),
        ("agents.my coder.system=x", "is no name"),
        (
            "tools.mcp.git.url=http://a",
            "tools.mcp.git = command and url",
        ),
        ("tools.mcp.git.env={A=1}", "tools.mcp.git.env = (secret)"),
        (
            "tools.overrides.calculate=perhaps",
            "one of auto, ask, deny",
        ),
    ] {
        assert_refused(&home.run(&["set", change]), 2, &[part]);
    }
}

#[test]
fn two_who_change_settings_conflict_cleanly() {
    let home = home();
    home.say(&["set", "model.seed=1"]);
    let late = home.run(&["set", "--expect", "1", "model.seed=2"]);
    assert_refused(
        &late,
        1,
        &[
            "revision 2",
            "somebody else was faster",
            "--expect 2",
            "config diff 1",
        ],
    );
    assert_eq!(home.json(&["get", "model.seed"])["settings"][0]["value"], 1);
    assert_eq!(
        home.json(&["set", "--expect", "2", "model.seed=2"])["revision"],
        3
    );

    // Without a number everybody's change is made, one after another: of many at once none is lost.
    let keys = [
        "model.top_k",
        "model.queue",
        "chat.waiting_turns",
        "limits.answers",
        "ui.font_px",
        "model.max_tokens",
    ];
    let writers: Vec<_> = keys
        .iter()
        .map(|key| {
            home.command(&["set", &format!("{key}=33")])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    for key in keys {
        assert_eq!(
            home.json(&["get", key])["settings"][0]["value"],
            33,
            "{key}"
        );
    }
    assert_eq!(home.json(&["get", "ui"])["revision"], 9);
}

#[test]
fn what_is_wrong_is_refused_by_field_and_changes_nothing() {
    let home = home();
    home.say(&["set", "model.seed=1"]);
    let before = fs::read_to_string(file(&home)).unwrap();
    for (args, parts) in [
        (
            &["set", "ui.theme=pink", "model.seed=2"][..],
            &["ui.theme = \"pink\"", "one of system, light", "hint:"][..],
        ),
        (
            &["set", "model.sed=2"],
            &["model.sed", "did you mean model.seed?"],
        ),
        (&["set", "model.seed"], &["KEY=VALUE"]),
        (
            &["set", "telemetry.log=a=b=c"],
            &["telemetry.log", "a log filter"],
        ),
        (&["reset", "nothing"], &["nothing", "is no setting"]),
        (
            &["get", "--set", "model.seed=x"],
            &["model.seed = \"x\" (from the flag model.seed)"],
        ),
    ] {
        assert_refused(&home.run(args), 2, parts);
    }
    assert_eq!(fs::read_to_string(file(&home)).unwrap(), before);
    let held = ran(home
        .command(&["set", "model.seed=5"])
        .env("PARAPHYM_SEED", "3"));
    assert_refused(&held, 1, &["model.seed is held from PARAPHYM_SEED"]);
    let ran = home.run(&["set", "--json", "ui.theme=pink"]);
    let event: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, event["event"].as_str()),
        (Some(2), Some("failed"))
    );
    let lost = home.run(&["get", "--config", "/nowhere/config.toml"]);
    assert_refused(&lost, 1, &["/nowhere/config.toml is not here"]);
}

#[test]
fn a_file_is_checked_without_holding() {
    let home = home();
    assert!(home.say(&["check"]).contains("0 settings"));
    let file = home.path("draft.toml");
    let name = file.to_str().unwrap();
    fs::write(&file, "[model]\nseed = 4\n").unwrap();
    assert_eq!(home.json(&["check", name])["set"], 1);
    fs::write(&file, "[model]\nseed = -4\nsed = 1\n").unwrap();
    let wrong = home.run(&["check", name]);
    assert_refused(
        &wrong,
        2,
        &["2 mistakes", "model.seed = -4", "did you mean model.seed?"],
    );
    fs::write(&file, "[model\n").unwrap();
    assert_refused(&home.run(&["check", name]), 2, &["line 1 is no TOML"]);
    assert_refused(
        &home.run(&["check", "/nowhere"]),
        2,
        &["/nowhere is not here"],
    );
    // A file that is wrong keeps nobody from looking for what is wrong, nor from mending it.
    write(&home, "[model]\nseed = -4\n");
    assert_refused(&home.run(&["check"]), 2, &["model.seed = -4"]);
    assert_refused(
        &home.run(&["set", "model.top_k=1"]),
        2,
        &["model.seed = -4", "config edit"],
    );
    let editor = editor(&home, "sed -i s/-4/4/ \"$1\"");
    let ran = ran(home.command(&["edit"]).env("EDITOR", editor));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(home.json(&["get", "model.seed"])["settings"][0]["value"], 4);
}

#[test]
fn the_schema_and_the_path_are_for_other_programs() {
    let home = home();
    let schema: Value = serde_json::from_str(&home.say(&["schema"])).unwrap();
    assert!(schema["properties"]["model"]["properties"]["temperature"].is_object());
    assert_eq!(home.say(&["path"]).trim(), file(&home).to_str().unwrap());
    assert_eq!(home.json(&["path"])["exists"], false);
    let mut command = home.command(&["path"]);
    let named = ran(command.env("PARAPHYM_CONFIG", "/etc/paraphym.toml"));
    assert_eq!(named.out, "/etc/paraphym.toml\n");
}

#[test]
fn an_edit_keeps_comments_and_is_a_revision() {
    let home = home();
    let editor = editor(&home, "printf '[model]\\n# mine\\nseed = 8\\n' > \"$1\"");
    let edit = |visual: &str| ran(home.command(&["edit"]).env("VISUAL", visual));
    let made = edit(&editor);
    assert_eq!(
        (made.code, made.out.as_str()),
        (Some(0), "revision 1\n"),
        "{}",
        made.err
    );
    assert!(fs::read_to_string(file(&home)).unwrap().contains("# mine"));
    let same = edit(&editor);
    assert!(same.out.contains("nothing was changed"));
    // An editor with an argument of its own.
    let made = edit("sed -i s/8/9/");
    assert_eq!(made.out, "revision 2\n", "{}", made.err);
    assert_eq!(home.json(&["history"])["revisions"][0]["who"], "ada");
    let left = fs::read_dir(file(&home).parent().unwrap()).unwrap();
    let copies = left.filter(|one| {
        one.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("edit")
    });
    assert_eq!(copies.count(), 0);
}

#[test]
fn an_edit_that_is_wrong_or_too_late_changes_nothing_and_is_kept() {
    let home = home();
    write(&home, "[model]\nseed = 8\n");
    let edit = |script: &str| {
        let editor = editor(&home, script);
        ran(home.command(&["edit"]).env("EDITOR", editor))
    };
    let kept = |ran: &Ran| {
        let (_, path) = ran.err.split_once("kept in ").unwrap();
        fs::read_to_string(path.trim()).unwrap()
    };
    let wrong = edit("echo 'seed = -1' >> \"$1\"");
    assert_refused(&wrong, 1, &["nothing was changed", "kept in"]);
    assert!(kept(&wrong).contains("seed = -1"));
    let real = file(&home);
    let late = edit(&format!(
        "echo 'top_k = 1' >> \"$1\"; echo '# other' >> '{}'",
        real.display()
    ));
    assert_refused(&late, 1, &["somebody else changed the settings"]);
    assert!(kept(&late).contains("top_k = 1"));
    assert_eq!(
        fs::read_to_string(&real).unwrap(),
        "[model]\nseed = 8\n# other\n"
    );
    assert_refused(&edit("exit 3"), 1, &["ended with exit status: 3"]);
    let none = home.run(&["edit"]);
    assert_refused(&none, 2, &["neither VISUAL nor EDITOR", "EDITOR=nano"]);
}

#[test]
fn a_running_server_takes_over_what_is_changed() {
    let home = home();
    let mut server = Server::with(home, &[]);
    // From then on it says what changes: the setting holds at once.
    server.home.say(&["set", "telemetry.log=info"]);
    // Read again so that the server has it for sure before the next change is made.
    server.signal(Signal::HUP);
    server.hear("the settings were read again: revision 2 holds");
    server.home.say(&["set", "model.seed=7"]);
    let said = server.hear("settings changed");
    for part in ["revision=3", "ada", "model.seed"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    write(&server.home, "[model]\nseed = -1\n");
    let said = server.hear("the running settings stay");
    assert!(said.contains("model.seed = -1"), "{said}");
    server.signal(Signal::HUP);
    let said = server.hear("the settings file was not taken over");
    assert!(said.contains("model.seed = -1"), "{said}");
    server.end();
}

#[test]
fn a_server_does_not_start_with_settings_that_are_wrong() {
    let home = home();
    write(&home, "[limits]\nanswers = 0\n[ui]\ntheme = \"pink\"\n");
    let ran = ran(&mut home.paraphym(&["serve"]));
    assert_refused(
        &ran,
        2,
        &[
            "limits.answers = 0",
            "ui.theme = \"pink\"",
            "2 settings",
            "config edit",
        ],
    );
}
