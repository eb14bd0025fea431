//! What is answered from documents is said, and so is what is missing. There is no model here that knows what texts mean, and
//! no network to bring one by.

use std::fs;

use serde_json::Value;

use crate::common::{Home, assert_refused};
use crate::{conversations, events, named, set, talker};

/// Two notes; their folder.
fn home() -> (Home, String) {
    let home = talker();
    let folder = home.path("notes");
    fs::create_dir(&folder).unwrap();
    for (name, text) in [
        ("tea.md", "# Tea\n\nGreen tea is brewed at 75 degrees.\n"),
        ("bread.md", "# Bread\n\nRye bread rises for nine hours.\n"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let folder = folder.to_str().unwrap().to_owned();
    (home, folder)
}

const TEA: &str = "How hot is green tea brewed?";

#[test]
fn a_document_that_was_looked_in_is_named_with_how() {
    let (home, folder) = home();
    let tea = format!("{folder}/tea.md");
    let all = format!("{folder}/*.md");
    for document in [&tea, &all] {
        let ran = home.run(&["ask", "--document", document, TEA]).well();
        for part in [
            "memories and documents are searched by words alone: ",
            "hint: `paraphym model pull all-minilm-l6-v2`",
            "\nlooked up (by words alone: ",
            ": tea.md:1-3\n",
        ] {
            assert!(ran.err.contains(part), "{part} is missing in: {}", ran.err);
        }
        // It was answered: what could not be brought is no error.
        assert!(!ran.err.contains("error: "), "{}", ran.err);
        assert!(!ran.out.trim().is_empty());
    }
    assert_eq!(conversations(&home), [""; 0], "nothing is kept");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_used() {
    let (home, folder) = home();
    let (tea, none) = (format!("{folder}/tea.md"), format!("{folder}/none.md"));
    let asking = ["ask", "--document", &none];
    let ran = home.run(&[&asking[..], &["--document", &tea, TEA]].concat());
    let ran = ran.well();
    for part in [
        format!("not read: {none}: no such file"),
        ": tea.md:1-3".to_owned(),
    ] {
        assert!(ran.err.contains(&part), "{part} is missing in: {}", ran.err);
    }
    for (document, why) in [
        (none.as_str(), "no such file"),
        (folder.as_str(), "is a folder"),
        (home.path("tiny.gguf").to_str().unwrap(), "is no text"),
    ] {
        let ran = home.run(&["ask", "--document", document, TEA]);
        let why = format!("not read: {document}: {why}");
        let parts = [
            &why,
            "error: none of the documents can be read",
            "hint: name text files",
        ];
        assert_refused(&ran, 2, &parts);
        assert_eq!(ran.out, "");
    }
    let told = events(&home.run(&["ask", "--json", "--document", &none, TEA]));
    assert_eq!(told.last().unwrap()["event"], "failed", "{told:?}");
}

#[test]
fn a_program_hears_what_was_looked_up_whoever_named_the_document() {
    let (home, folder) = home();
    let documents = format!("agents.reader.documents=[\"{folder}/*.md\"]");
    let agent = [&["--agent", "reader"], &set(&[&documents])[..]].concat();
    let tea = format!("{folder}/tea.md");
    for from in [agent, vec!["--document", &tea]] {
        let ran = home.run(&[&["ask", "--json"], &from[..], &[TEA]].concat());
        let told = events(&ran.well());
        let recalled = named(&told, "recalled");
        assert_eq!(recalled.len(), 1, "{from:?}: {told:?}");
        let first = &recalled[0]["citations"][0];
        assert_eq!(first["source"], "tea.md:1-3");
        let excerpt = first["excerpt"].as_str().unwrap();
        assert!(excerpt.contains("75 degrees"), "{excerpt}");
        let why = recalled[0]["without_meaning"].as_str().unwrap();
        assert!(why.contains("all-minilm-l6-v2 is not here"), "{why}");
        assert_eq!(told.last().unwrap()["event"], "finished");
    }
    // Where nothing is looked up, nothing is told of it.
    let told: Vec<Value> = events(&home.run(&["ask", "--json", TEA]).well());
    assert_eq!(named(&told, "recalled"), [&Value::Null; 0]);
}
