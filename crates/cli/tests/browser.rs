//! The page in a real Chromium, served by the built binary with the real model, as people use it.
//!
//! Needs chromium and chromium-driver; `.ci/run` installs what is missing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod driver;
mod page;
mod pictures;

use serde_json::Value;

use crate::common::{Home, signal};
use crate::server::Server;
use page::{Page, kept};
use rustix::process::Signal;

const GRAVITY: &str = "What is gravity?";
/// What is served where nothing else is said.
const MODEL: &str = "smollm2-135m-instruct";
const STORY: &str =
    "Write a very long story about a dragon, a princess and a castle, in twenty chapters.";

/// Answers are this long at most, in tokens: enough to watch.
fn server(tokens: &str) -> Server {
    Server::real(Home::new().with("PARAPHYM_MAX_TOKENS", tokens), &[])
}

#[test]
fn the_real_model_answers_piece_by_piece_in_a_real_browser_and_its_answer_stays() {
    let server = server("80");
    let page = Page::open(&server.address, "gravity", "Ann");
    page.say(GRAVITY);
    let log = page.complete(2);

    assert!(!log[0].agent && log[1].agent, "{log:?}");
    assert_eq!(log[0].text, GRAVITY);
    assert!(!log[1].shown.trim().is_empty(), "{log:?}");
    let grown = page.grown();
    assert!(grown.len() >= 5, "it came in {} pieces", grown.len());
    for pair in grown.windows(2) {
        assert!(pair[1].starts_with(&pair[0]), "{pair:?}");
    }
    let last = grown.last().unwrap();
    assert!(log[1].text.starts_with(last.trim_end()), "{last}\n{log:?}");
    page.assert_clean();

    // Read anew from the store, it is the same.
    let again = Page::open(&server.address, "gravity", "Ben");
    assert_eq!(kept(&again.complete(2)), kept(&log));
    again.assert_clean();
    server.end();
}

#[test]
fn the_real_model_is_stopped_in_a_real_browser_and_answers_the_next_question() {
    let server = server("2000");
    let page = Page::open(&server.address, "stopped", "Ann");
    page.say(STORY);
    page.streams(40);
    page.driver.click("#stop");
    let log = page.complete(2);
    assert!(log[1].foot.contains("stopped"), "{log:?}");
    assert!(log[1].text.len() >= 40, "{log:?}");
    assert!(page.driver.value("document.querySelector('#stop').hidden") == true);

    page.say(GRAVITY);
    page.streams(10);
    page.driver.keys("#text", "\u{E00C}"); // Escape stops it as well.
    let log = page.complete(4);
    assert_eq!(log[2].text, GRAVITY);
    assert!(
        log[3].text.len() >= 10 && log[3].foot.contains("stopped"),
        "{log:?}"
    );
    page.assert_clean();
    server.end();
}

#[test]
fn two_real_browsers_see_each_other_type_and_read_one_answer_of_the_real_model() {
    let server = server("80");
    let ann = Page::open(&server.address, "duo", "Ann");
    let ben = Page::open(&server.address, "duo", "Ben");
    for page in [&ann, &ben] {
        page.until("document.querySelector('#presence .count')?.textContent === '2 here'");
    }
    ann.driver.keys("#text", "What");
    ben.until("document.querySelector('#typing').textContent === 'Ann is typing…'");
    assert_eq!(ann.typing(), "", "nobody is told of their own typing");
    ben.driver.keys("#text", "I");
    ann.until("document.querySelector('#typing').textContent === 'Ben is typing…'");

    ann.say(" is gravity?");
    ben.streams(10);
    ann.streams(10);
    let (hers, his) = (ann.complete(2), ben.complete(2));
    assert_eq!(hers, his);
    assert_eq!(hers[0].text, GRAVITY);
    for page in [&ann, &ben] {
        let grown = page.grown();
        assert!(grown.len() >= 5, "it came in {} pieces", grown.len());
        page.assert_clean();
    }
    ben.until("document.querySelector('#typing').textContent === ''");
    server.end();
}

#[test]
fn a_real_browser_misses_nothing_of_the_real_model_when_its_connection_is_killed() {
    let home = Home::new().with("PARAPHYM_MAX_TOKENS", "300");
    let server = Server::real(home, &["--allow-chaos"]);
    let ann = Page::open(&server.address, "killed", "Ann");
    let hers = connections(&server);
    assert_eq!(hers.len(), 1, "{hers:?}");
    let ben = Page::open(&server.address, "killed", "Ben");
    ann.say(STORY);
    ann.streams(40);
    server.say(&["kill", &hers[0]]);
    ann.until("window.states.some((state) => state.startsWith('Reconnecting'))");
    ann.until("/^(Connected|Resumed)/.test(document.querySelector('#status-words').textContent)");
    let before = ann.grown();

    let (seen, other) = (ann.complete(2), ben.complete(2));
    assert_eq!(seen, other);
    let after = ann.grown();
    assert!(
        after.len() > before.len() + 5,
        "it was over before she was back"
    );
    assert!(
        !connections(&server).contains(&hers[0]),
        "it is another one"
    );
    assert!(
        ben.states()
            .iter()
            .all(|state| !state.starts_with("Reconnecting"))
    );
    let late = Page::open(&server.address, "killed", "Cleo");
    assert_eq!(kept(&late.complete(2)), kept(&seen));
    for page in [&ann, &ben, &late] {
        page.assert_clean();
    }
    server.end();
}

#[test]
fn a_real_browser_comes_back_to_a_server_that_was_restarted_and_the_real_model_goes_on() {
    let server = server("40");
    let page = Page::open(&server.address, "restarted", "Ann");
    page.say(GRAVITY);
    let before = page.complete(2);

    let Server {
        home,
        mut child,
        address,
        ..
    } = server;
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    page.until("document.querySelector('#status-words').textContent.startsWith('Reconnecting')");
    // What is written meanwhile waits.
    page.say(GRAVITY);
    page.until(
        "document.querySelector('#pending .note')?.textContent === 'waits for the connection'",
    );

    let command = home.paraphym(&["serve", "--bind", &address]);
    let server = Server::spawn(home, command);
    page.until("/^Connected again/.test(document.querySelector('#status-words').textContent)");
    let log = page.complete(4);
    assert_eq!(kept(&log[..2]), kept(&before));
    assert_eq!(log[2].text, GRAVITY);
    page.assert_clean_but(|line| line.contains("WebSocket connection to"));

    // What the store holds, as one sees it who comes anew.
    let late = Page::open(&server.address, "restarted", "Ben");
    assert_eq!(kept(&late.complete(4)), kept(&log));
    late.assert_clean();
    server.end();
}

#[test]
fn a_real_browser_recovers_from_a_server_that_was_killed_while_the_real_model_answered() {
    let server = server("120");
    let page = Page::open(&server.address, "murdered", "Ann");
    page.say(GRAVITY);
    let before = page.complete(2);
    page.say(STORY);
    page.streams(40);

    let Server {
        home,
        mut child,
        address,
        ..
    } = server;
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it had no last word");
    page.until("document.querySelector('#status-words').textContent.startsWith('Reconnecting')");
    let command = home.paraphym(&["serve", "--bind", &address]);
    let server = Server::spawn(home, command);
    page.until("/^Connected again/.test(document.querySelector('#status-words').textContent)");

    // The question that was left is answered by itself, whole and once, and all of it is as the store has it.
    let log = page.complete(4);
    assert_eq!(kept(&log[..2]), kept(&before));
    assert_eq!((log[2].agent, log[2].text.as_str()), (false, STORY));
    assert!(log[3].agent && log[3].text.len() >= 40, "{log:?}");
    assert!(!log[3].foot.contains("written down"), "{log:?}");
    let late = Page::open(&server.address, "murdered", "Ben");
    assert_eq!(kept(&late.complete(4)), kept(&log));

    page.say(GRAVITY);
    let all = page.complete(6);
    assert_eq!(all[..4], log[..]);
    assert_eq!(all[4].text, GRAVITY);
    assert!(all[5].agent && !all[5].text.is_empty(), "{all:?}");
    assert_eq!(kept(&late.complete(6)), kept(&all));
    late.assert_clean();
    page.assert_clean_but(|line| line.contains("WebSocket connection to"));
    server.end();
}

#[test]
fn a_real_browser_chooses_the_real_model_and_how_freely_it_answers() {
    const WORDS: &str = "document.querySelector('#tuning-words').textContent";
    let server = server("30");
    let page = Page::open(&server.address, "one", "Ann");
    page.until(&format!(
        "[...document.querySelectorAll('#models option')].some((one) => one.value === '{MODEL}')"
    ));
    page.driver.click("#tuning-words");
    page.driver.keys("#model", MODEL);
    page.driver.keys("#temperature", "5");
    let odd = "document.querySelector('#temperature').getAttribute('aria-invalid') === 'true'";
    page.until(&format!(
        "{odd} && {WORDS} === '{MODEL} · default temperature'"
    ));
    page.driver.keys("#temperature", "\u{E003}0"); // Backspace.
    page.until(&format!("{WORDS} === '{MODEL} · temperature 0'"));

    // Without chance the same is answered to the same, also by who comes anew: the choice is kept.
    page.say(GRAVITY);
    page.until(&format!(
        "document.querySelector('#live .model')?.textContent === '{MODEL}'"
    ));
    let first = page.complete(2);
    page.driver.post("refresh", &serde_json::json!({}));
    page.until(&format!("{WORDS} === '{MODEL} · temperature 0'"));
    page.driver.value("location.hash = '#c=two'");
    page.until(
        "!document.querySelector('#log article') && !document.querySelector('#empty').hidden",
    );
    page.say(GRAVITY);
    assert_eq!(kept(&page.complete(2)), kept(&first));
    // Said freely it would be another one: the seed is the same each time.
    let other = Page::open(&server.address, "three", "Ben");
    other.say(GRAVITY);
    assert_ne!(kept(&other.complete(2)), kept(&first));

    // A model that is not there is named, and the choice is taken back with one press.
    page.driver.click("#tuning-words");
    page.driver.keys("#model", "-of-another-kind");
    page.say(GRAVITY);
    let log = page.complete(4);
    let wrong = format!("{MODEL}-of-another-kind");
    assert!(log[3].foot.contains(&wrong), "{log:?}");
    page.driver.click("#tuning-reset");
    page.until(&format!(
        "{WORDS} === 'Default model · default temperature'"
    ));
    page.say(GRAVITY);
    let log = page.complete(6);
    assert!(log[5].agent && !log[5].text.is_empty(), "{log:?}");
    page.assert_clean();
    server.end();
}

/// The actors of those who are connected, as `ctl` names them.
fn connections(server: &Server) -> Vec<String> {
    let mut found = Vec::new();
    names(&server.json(&["tree"]), &mut found);
    found
}

fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(path) => {
            let name = path.rsplit('/').next().unwrap();
            if name.starts_with("connection-") && !found.contains(&name.to_owned()) {
                found.push(name.to_owned());
            }
        }
        Value::Array(all) => all.iter().for_each(|one| names(one, found)),
        Value::Object(all) => all.values().for_each(|one| names(one, found)),
        _ => {}
    }
}
