//! What must hold of memories at rest, on a file of their own, without an actor.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use proptest::prelude::*;

use super::*;
use crate::archive::Archive;
use crate::config::StoreConfig;
use crate::conversations::at_most;
use crate::error::StoreError;
use crate::work::Work;

/// An open file, in memory.
fn open() -> Archive {
    Archive::open(&StoreConfig::in_memory(), 0).unwrap()
}

/// As the actor does it.
fn tried<W: Work>(archive: &Archive, work: &W) -> Result<W::Answer, StoreError> {
    work.check()?;
    work.carry_out(archive)
        .map_err(|failure| archive.explain(failure))
}

fn done<W: Work>(archive: &Archive, work: &W) -> W::Answer {
    tried(archive, work).unwrap()
}

/// Stands in for a sha256: texts of these tests differ in their first 32 bytes.
fn hash(text: &str) -> ContentHash {
    let mut hash = [0; 32];
    for (slot, byte) in hash.iter_mut().zip(text.bytes()) {
        *slot = byte;
    }
    hash
}

fn wish(text: &str) -> Remember {
    Remember {
        space: "default".to_owned(),
        text: text.to_owned(),
        hash: hash(text),
        kind: MemoryKind::Semantic,
        importance: 0.5,
        vector: None,
        now_ms: 1000,
    }
}

fn keep(db: &Archive, wish: &Remember) -> Remembered {
    done(db, wish)
}

fn vector(model: &str, values: &[f32]) -> Vector {
    Vector {
        model: model.to_owned(),
        values: values.to_vec(),
    }
}

fn look(db: &Archive, text: &str, vector: Option<Vector>) -> Recalled {
    let scope = Scope::space("default");
    let wish = Recall {
        scope,
        text: text.to_owned(),
        vector,
        candidates: 10,
    };
    done(db, &wish)
}

fn texts(db: &Archive) -> Vec<String> {
    let wish = ListMemories {
        space: "default".to_owned(),
        limit: 1000,
        before: None,
    };
    let memories = done(db, &wish);
    memories.into_iter().map(|memory| memory.text).collect()
}

fn words_in_index(db: &Archive, word: &str) -> i64 {
    db.connection
        .query_row(
            "SELECT count(*) FROM memories_fts WHERE memories_fts MATCH ?1",
            [word],
            |row| row.get(0),
        )
        .unwrap()
}

#[test]
fn what_is_remembered_is_found_by_a_word_in_another_form() {
    let db = open();
    let cat = keep(&db, &wish("The cat is called Münchhausen."));
    keep(&db, &wish("Bread is baked on Fridays."));
    let found = look(&db, "what are my cats called?", None);
    assert_eq!(found.by_words, [cat.id]);
    assert_eq!(found.memories.len(), 1);
    let memory = &found.memories[0];
    assert_eq!(memory.text, "The cat is called Münchhausen.");
    assert_eq!(memory.origin, Origin::Space("default".to_owned()));
    assert_eq!(
        (memory.made_ms, memory.used_ms, memory.times),
        (1000, 1000, 1)
    );
    assert_eq!(look(&db, "munchhausen", None).by_words, [cat.id]);
    assert_eq!(
        look(&db, "giraffe", None),
        Recalled {
            not_compared: 2,
            ..Recalled::default()
        }
    );
}

#[test]
fn the_same_content_again_refreshes_its_age_and_makes_no_second_row() {
    let db = open();
    let first = keep(&db, &wish("tea, no milk"));
    let again = Remember {
        now_ms: 9000,
        importance: 0.9,
        ..wish("tea, no milk")
    };
    assert_eq!(
        keep(&db, &again),
        Remembered {
            id: first.id,
            is_new: false
        }
    );
    // An older stamp, as of a clock that was set back, makes nothing older; a lower importance nothing less important.
    keep(
        &db,
        &Remember {
            now_ms: 10,
            importance: 0.1,
            ..again
        },
    );
    let found = look(&db, "tea", None).memories;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].made_ms, found[0].used_ms, found[0].times),
        (1000, 9000, 2)
    );
    assert!((found[0].importance - 0.9).abs() < 1e-6);
    assert_eq!(texts(&db).len(), 1);
}

#[test]
fn reading_writes_nothing_however_often() {
    let db = open();
    keep(
        &db,
        &Remember {
            vector: Some(vector("m", &[1.0, 0.0])),
            ..wish("tea, no milk")
        },
    );
    let before = db.connection.total_changes();
    let first = look(&db, "tea", Some(vector("m", &[1.0, 0.5])));
    for _ in 0..50 {
        assert_eq!(look(&db, "tea", Some(vector("m", &[1.0, 0.5]))), first);
    }
    assert_eq!(db.connection.total_changes(), before);
}

#[test]
fn use_is_a_stamp_and_no_importance() {
    let db = open();
    let id = keep(&db, &wish("tea, no milk")).id;
    done(
        &db,
        &Used {
            ids: vec![id, MemoryId(77)],
            now_ms: 5000,
        },
    );
    done(
        &db,
        &Used {
            ids: vec![id],
            now_ms: 4000,
        },
    );
    let memory = &look(&db, "tea", None).memories[0];
    assert_eq!(
        (memory.made_ms, memory.used_ms, memory.times),
        (1000, 5000, 1)
    );
    assert!((memory.importance - 0.5).abs() < 1e-6);
}

#[test]
fn spaces_do_not_see_each_other() {
    let db = open();
    let mine = keep(&db, &wish("my tea"));
    let theirs = keep(
        &db,
        &Remember {
            space: "cook".to_owned(),
            ..wish("my tea")
        },
    );
    assert!(theirs.is_new && theirs.id != mine.id);
    assert_eq!(look(&db, "tea", None).by_words, [mine.id]);
    let nowhere = Recall {
        scope: Scope::space("nobody"),
        text: "tea".to_owned(),
        vector: None,
        candidates: 10,
    };
    assert_eq!(done(&db, &nowhere), Recalled::default());
}

#[test]
fn the_nearest_meaning_is_first_and_ties_go_to_the_younger() {
    let db = open();
    let put = |text: &str, values: &[f32]| {
        let vector = Some(vector("m", values));
        keep(
            &db,
            &Remember {
                vector,
                ..wish(text)
            },
        )
        .id
    };
    let (far, near, twin) = (
        put("a1", &[0.0, 1.0]),
        put("b1", &[2.0, 0.1]),
        put("c1", &[4.0, 0.2]),
    );
    let found = look(&db, "", Some(vector("m", &[1.0, 0.0])));
    let order: Vec<_> = found.by_meaning.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [twin, near, far]);
    assert!(found.by_meaning[0].1 > 0.99 && found.by_meaning[2].1.abs() < 1e-6);
    assert_eq!(found.not_compared, 0);
    assert!(found.by_words.is_empty());
}

#[test]
fn vectors_of_another_model_or_length_are_never_compared() {
    let db = open();
    let put = |text: &str, vector: Option<Vector>| {
        keep(
            &db,
            &Remember {
                vector,
                ..wish(text)
            },
        )
        .id
    };
    let same = put("a1", Some(vector("m", &[1.0, 0.0])));
    put("b1", Some(vector("other", &[1.0, 0.0])));
    put("c1", Some(vector("m", &[1.0, 0.0, 0.0])));
    let bare = put("d1", None);
    let found = look(&db, "", Some(vector("m", &[1.0, 0.0])));
    assert_eq!(
        found
            .by_meaning
            .iter()
            .map(|(id, _)| *id)
            .collect::<Vec<_>>(),
        [same]
    );
    assert_eq!(found.not_compared, 3);

    // What the new model has not seen is listed, and its vector takes the old one's place.
    let missing = ListUnembedded {
        scope: Scope::space("default"),
        model: "other".to_owned(),
        limit: 10,
    };
    let listed = done(&db, &missing);
    assert_eq!(
        listed
            .iter()
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>(),
        ["a1", "c1", "d1"]
    );
    let vectors = listed
        .iter()
        .map(|(id, _)| (*id, vector("other", &[0.0, 1.0])))
        .collect();
    assert_eq!(done(&db, &PutVectors { vectors }), 3);
    assert_eq!(done(&db, &missing), []);
    assert_eq!(
        look(&db, "", Some(vector("other", &[0.0, 1.0])))
            .by_meaning
            .len(),
        4
    );
    let old = look(&db, "", Some(vector("m", &[1.0, 0.0])));
    assert_eq!((old.by_meaning.len(), old.not_compared), (0, 4));

    // A vector that comes too late finds nobody, and lands on nobody else.
    done(&db, &Forget::Memory(bare));
    let late = PutVectors {
        vectors: vec![(bare, vector("other", &[1.0, 1.0]))],
    };
    assert_eq!(done(&db, &late), 0);
    assert!(keep(&db, &wish("e1")).id > bare);
}

#[test]
fn what_is_forgotten_leaves_no_word_and_no_vector() {
    let db = open();
    let with = |text: &str| Remember {
        vector: Some(vector("m", &[1.0, 0.0])),
        ..wish(text)
    };
    let one = keep(&db, &with("red house"));
    keep(&db, &with("red boat"));
    keep(
        &db,
        &Remember {
            space: "cook".to_owned(),
            ..with("red cabbage")
        },
    );
    assert_eq!(done(&db, &Forget::Memory(one.id)), 1);
    assert_eq!(done(&db, &Forget::Memory(one.id)), 0);
    assert_eq!(
        (words_in_index(&db, "red"), words_in_index(&db, "house")),
        (2, 0)
    );
    assert_eq!(done(&db, &Forget::Space("default".to_owned())), 1);
    assert_eq!(words_in_index(&db, "red"), 1);
    let vectors: i64 = db
        .connection
        .query_row("SELECT count(*) FROM vectors", [], |row| row.get(0))
        .unwrap();
    assert_eq!(vectors, 1);
    db.connection
        .execute_batch("INSERT INTO memories_fts (memories_fts) VALUES ('integrity-check')")
        .unwrap();
}

#[test]
fn what_is_wrong_is_named_by_field() {
    let db = open();
    let long = "x".repeat(TEXT_BYTES + 1);
    let zero = Some(vector("m", &[0.0, 0.0]));
    let nan = Some(vector("m", &[f32::NAN]));
    for (field, wrong) in [
        ("text", wish(" \n")),
        ("text", wish(&long)),
        (
            "space",
            Remember {
                space: String::new(),
                ..wish("a")
            },
        ),
        (
            "importance",
            Remember {
                importance: 1.1,
                ..wish("a")
            },
        ),
        (
            "importance",
            Remember {
                importance: f32::NAN,
                ..wish("a")
            },
        ),
        (
            "vector",
            Remember {
                vector: zero,
                ..wish("a")
            },
        ),
        (
            "vector",
            Remember {
                vector: nan,
                ..wish("a")
            },
        ),
        (
            "vector",
            Remember {
                vector: Some(vector("m", &[])),
                ..wish("a")
            },
        ),
        (
            "vector.model",
            Remember {
                vector: Some(vector("", &[1.0])),
                ..wish("a")
            },
        ),
    ] {
        match tried(&db, &wrong) {
            Err(StoreError::Invalid(refused)) => assert_eq!(refused.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    // Nothing of what was refused is there, not even its space.
    assert_eq!(texts(&db).len(), 0);
    let sources: i64 = db
        .connection
        .query_row("SELECT count(*) FROM sources", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sources, 0);
}

#[test]
fn a_file_that_fails_is_an_error_and_no_empty_result() {
    let db = open();
    keep(&db, &wish("tea, no milk"));
    db.connection
        .execute_batch("DROP TABLE memories_fts")
        .unwrap();
    let wish = Recall {
        scope: Scope::space("default"),
        text: "tea".to_owned(),
        vector: None,
        candidates: 10,
    };
    assert!(matches!(tried(&db, &wish), Err(StoreError::Fault { .. })));
}

fn document(path: &str, digest: u8, pieces: &[&str]) -> PutDocument {
    let piece = |(line, text): (u32, &&str)| Piece {
        text: (*text).to_owned(),
        hash: hash(text),
        lines: (line, line),
        bytes: u64::from(line) * 100..u64::from(line) * 100 + text.len() as u64,
    };
    PutDocument {
        path: path.to_owned(),
        digest: [digest; 32],
        pieces: (1..).zip(pieces).map(piece).collect(),
        now_ms: 2000,
    }
}

#[test]
fn a_piece_of_a_document_is_found_with_its_place_and_only_where_it_is_attached() {
    let db = open();
    keep(&db, &wish("tea at five"));
    let put = done(
        &db,
        &document(
            "/a/tea.md",
            1,
            &["Tea grows on hills.", "Milk comes later."],
        ),
    );
    assert!(put.is_changed && put.dropped.is_empty() && put.document.pieces == 2);
    assert_eq!(look(&db, "tea", None).by_words.len(), 1);

    let scope = Scope::default().with_documents([put.document.id]);
    let wish = Recall {
        scope,
        text: "milk".to_owned(),
        vector: None,
        candidates: 10,
    };
    let found = done(&db, &wish).memories;
    let place = Place {
        document: put.document.id,
        path: "/a/tea.md".to_owned(),
        lines: (2, 2),
        bytes: 200..217,
    };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].origin, Origin::Document(place));

    let both = Scope::space("default").with_documents([put.document.id]);
    let wish = Recall {
        scope: both,
        text: "tea".to_owned(),
        vector: None,
        candidates: 10,
    };
    assert_eq!(done(&db, &wish).memories.len(), 2);
}

#[test]
fn an_unchanged_document_stays_and_a_changed_one_takes_its_own_place() {
    let db = open();
    let first = done(
        &db,
        &document("/a", 1, &["one fish", "two fish", "one fish"]),
    );
    assert_eq!(first.document.pieces, 2);
    let same = done(
        &db,
        &PutDocument {
            now_ms: 3000,
            ..document("/a", 1, &[])
        },
    );
    assert!(!same.is_changed);
    assert_eq!(
        (
            same.document.id,
            same.document.pieces,
            same.document.used_ms
        ),
        (first.document.id, 2, 3000)
    );
    let changed = done(
        &db,
        &PutDocument {
            now_ms: 4000,
            ..document("/a", 2, &["red fish"])
        },
    );
    assert!(changed.is_changed && changed.document.id != first.document.id);
    assert_eq!(
        (changed.document.pieces, changed.document.made_ms),
        (1, 2000)
    );
    assert_eq!(
        (words_in_index(&db, "two"), words_in_index(&db, "fish")),
        (0, 1)
    );
    let listed = done(&db, &ListDocuments { limit: 10 });
    assert_eq!(listed, std::slice::from_ref(&changed.document));
    assert_eq!(
        done(
            &db,
            &FindDocument {
                path: "/a".to_owned()
            }
        ),
        Some(changed.document)
    );
    assert_eq!(done(&db, &Forget::Document("/a".to_owned())), 1);
    assert_eq!(
        done(
            &db,
            &FindDocument {
                path: "/a".to_owned()
            }
        ),
        None
    );
}

#[test]
fn the_document_unused_for_longest_makes_room() {
    let db = open();
    let many: Vec<String> = (0..DOCUMENT_PIECES).map(|n| format!("{n} piece")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let fitting = PIECES / DOCUMENT_PIECES;
    for (now_ms, number) in (1000..).zip(0..fitting) {
        let put = done(
            &db,
            &PutDocument {
                now_ms,
                ..document(&format!("/{number}"), 1, &many)
            },
        );
        assert_eq!(put.dropped.len(), 0);
    }
    // The first was used since, so it is the second that goes.
    done(
        &db,
        &PutDocument {
            now_ms: 9000,
            ..document("/0", 1, &[])
        },
    );
    let put = done(
        &db,
        &PutDocument {
            now_ms: 9001,
            ..document("/more", 1, &["one"])
        },
    );
    assert_eq!(put.dropped, ["/1"]);
    let too_many: Vec<&str> = many.iter().copied().chain(["one more"]).collect();
    let refused = tried(&db, &document("/book", 1, &too_many));
    assert!(matches!(
        refused,
        Err(StoreError::NoRoom {
            limit: DOCUMENT_PIECES,
            ..
        })
    ));
}

#[test]
fn a_full_memory_refuses_what_is_new_and_refreshes_what_is_known() {
    let db = open();
    let known = keep(&db, &wish("tea, no milk"));
    // As if the others were there; the triggers count on from here.
    let fill = "UPDATE sources SET memories = ?1 WHERE is_file = 0";
    db.connection.execute(fill, [at_most(MEMORIES)]).unwrap();
    let refused = tried(&db, &wish("coffee")).unwrap_err();
    assert!(matches!(
        refused,
        StoreError::NoRoom {
            limit: MEMORIES,
            ..
        }
    ));
    assert!(refused.to_string().contains("forget a memory"));
    assert!(!keep(&db, &wish("tea, no milk")).is_new);
    done(&db, &Forget::Memory(known.id));
    assert!(keep(&db, &wish("coffee")).is_new);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No text of a user's is syntax: whatever it is, it is remembered, and found by itself if it has a word.
    #[test]
    fn any_text_is_remembered_and_looked_for(text in "\\PC{1,60}", other in any::<String>()) {
        let db = open();
        prop_assume!(!text.trim().is_empty());
        let id = keep(&db, &wish(&text)).id;
        look(&db, &other, None);
        let found = look(&db, &text, None).by_words;
        if text.chars().any(|letter| letter.is_ascii_alphanumeric()) {
            prop_assert_eq!(found, vec![id]);
        }
    }

    /// Any order of remembering and forgetting leaves words and rows in step.
    #[test]
    fn words_and_rows_stay_in_step(steps in prop::collection::vec((0..6_u8, any::<bool>()), 1..40)) {
        let db = open();
        let mut there = std::collections::BTreeMap::new();
        for (now_ms, (number, forgets)) in (1..).zip(steps) {
            let text = format!("fish number{number}");
            if forgets {
                if let Some(id) = there.remove(&number) {
                    prop_assert_eq!(done(&db, &Forget::Memory(id)), 1);
                }
            } else {
                let kept = keep(&db, &Remember { now_ms, ..wish(&text) });
                prop_assert_eq!(kept.is_new, there.insert(number, kept.id).is_none());
            }
            prop_assert_eq!(words_in_index(&db, "fish"), at_most(there.len()));
        }
        prop_assert_eq!(texts(&db).len(), there.len());
        prop_assert_eq!(look(&db, "", None).not_compared, there.len());
    }
}
