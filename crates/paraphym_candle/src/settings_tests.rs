//! Settings reach the parts that they are for, with the defaults that these have by themselves.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use chat_config::{Author, Catalogue, Layers};
use gateway::GatewayConfig;
use memory_governor::GovernorConfig;
use retrieval::RetrievalConfig;

use super::*;
use crate::edge::bounds::{edge, live};
use crate::loading::{computing, packed_copies};
use crate::long_term::recall;

#[test]
fn every_part_has_the_same_defaults_as_the_settings() {
    let settings = Settings::default();
    assert_eq!(sampling(&settings), Sampling::default());
    let bounds = live(&settings);
    assert_eq!(bounds.typing, typing::EXPIRY);
    assert_eq!(bounds.limits, connection::Limits::default());
    assert_eq!(bounds.seats, connection::Seats::default());
    let model = ModelName::new("m");
    assert_eq!(
        turn(&settings, model.clone()),
        TurnSettings::new(model.clone())
    );
    assert_eq!(host(&settings), HostConfig::default());
    assert_eq!(agents(&settings), agent_worker::settings::Config::default());
    assert_eq!(recall(&settings), RetrievalConfig::default());
    let governor = GovernorConfig::default();
    assert_eq!(memory_limit(&settings), governor.limit);
    assert_eq!(memory_poll(&settings), governor.poll);
    let plain = GatewayConfig::new(settings.realtime.bind, model);
    let mut config = plain.clone();
    edge(&settings, config.max_models, &mut config);
    assert_eq!(format!("{config:?}"), format!("{plain:?}"));
}

/// Each setting of these sections reaches the part it is for: a changed one changes something.
#[test]
fn no_setting_is_lost_on_its_way() {
    let catalogue = Catalogue::new();
    let shape = |settings: &Settings| {
        let model = ModelName::new("m");
        let mut config = GatewayConfig::new(settings.realtime.bind, model.clone());
        edge(settings, config.max_models, &mut config);
        format!(
            "{:?}{:?}{:?}{:?}{:?}{config:?}{:?}{:?}{:?}",
            computing(settings),
            packed_copies(settings),
            live(settings),
            turn(settings, model),
            host(settings),
            agents(settings),
            memory_limit(settings),
            memory_poll(settings),
        )
    };
    let usual = shape(&Settings::default());
    // Taken by whoever starts the process, before there is a tree.
    let elsewhere = ["model.name", "model.models_dir", "telemetry.log"];
    let sections = [
        "chat",
        "personality",
        "behaviour",
        "model",
        "memory",
        "limits",
        "realtime",
        "server",
    ];
    let paths = sections
        .iter()
        .flat_map(|section| catalogue.in_section(section));
    for path in paths.filter(|path| !elsewhere.contains(path)) {
        let entry = catalogue.get(path).unwrap();
        let other = other(&entry.default, &entry.allowed);
        let flag = format!("{path}={other}");
        let layers = Layers::new(&catalogue, "x".into(), [], &[flag]).unwrap();
        let author = Author {
            who: "test".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let revisions =
            chat_config::Revisions::start(Arc::new(Catalogue::new()), layers, "", author);
        let changed = shape(&revisions.unwrap().current().settings);
        assert_ne!(changed, usual, "{path} = {other} changes nothing");
    }
}

/// Another value than the default that is accepted.
fn other(default: &serde_json::Value, allowed: &str) -> String {
    if let Some(words) = allowed.strip_prefix("one of ") {
        let default = default.as_str().unwrap();
        return words
            .split(", ")
            .find(|word| *word != default)
            .unwrap()
            .to_owned();
    }
    if allowed.contains("address") {
        return "127.0.0.1:9".to_owned();
    }
    if allowed.contains("origins") {
        return "[\"https://app.example\"]".to_owned();
    }
    if allowed.starts_with("a time") || allowed.starts_with("a size") {
        let low = allowed.split_whitespace().nth(3).unwrap();
        return low.to_owned();
    }
    if allowed.starts_with("a list") {
        return "[\"word\"]".to_owned();
    }
    if allowed.starts_with("text") {
        return "Say du.".to_owned();
    }
    if let Some(yes) = default.as_bool() {
        return (!yes).to_string();
    }
    if default.is_f64() {
        return "1.0".to_owned();
    }
    default.as_u64().map_or(7, |n| n + 1).to_string()
}
