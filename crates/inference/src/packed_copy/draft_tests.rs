//! A draft that cannot be written is lost, says so once, and leaves nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::sync::{Arc, Mutex};

use super::*;

/// Lines of two blocks and a bit.
const BYTES: usize = 2 * BLOCK + 128;

fn begun(folder: &Path) -> (Draft, Arc<Mutex<Vec<String>>>) {
    let (model, copies) = (folder.join("a.gguf"), folder.join("copies"));
    std::fs::write(&model, "not read").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let copies = PackedCopies::in_folder(&copies)
        .on_any_pages()
        .heard_by(move |why| hears.lock().unwrap().push(why.to_string()));
    loop {
        let wanted = Wanted {
            path: &model,
            stamp: Stamp::of(&model.metadata().unwrap()).unwrap(),
            plan: [0; 32],
            bytes: BYTES,
        };
        match Draft::begin(&Folder::of(&copies.folder), &wanted, &copies) {
            Ok(draft) => return (draft, told),
            // The clock of the file system goes on.
            Err(NoCopy::Unsettled { .. }) => {}
            Err(other) => assert_eq!(other.to_string(), ""),
        }
    }
}

fn files(folder: &Path) -> usize {
    let there = std::fs::read_dir(folder.join("copies")).unwrap().flatten();
    there
        .filter(|file| file.file_name() != "CACHEDIR.TAG")
        .count()
}

#[test]
fn one_that_cannot_be_written_is_lost_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut draft, told) = begun(folder.path());
    draft.file.file = File::open(&draft.file.path).unwrap();
    for at in 0..3 {
        let lines = if at < 2 { BLOCK } else { 128 };
        assert!(draft.put(at * BLOCK, &vec![7; lines]));
    }
    assert!(draft.is_lost());
    let stamp = Some(draft.stamp);
    assert!(draft.finish(stamp).is_none());
    assert_eq!(told.lock().unwrap().len(), 1, "{told:?}");
    drop(draft);
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn one_that_lacks_a_line_becomes_none() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, _) = begun(folder.path());
    assert!(draft.put(64, &vec![7; BYTES - 64]));
    let stamp = Some(draft.stamp);
    assert!(draft.finish(stamp).is_none());
    assert!(draft.put(0, &[7; 64]));
    let copy = draft.finish(stamp).unwrap();
    assert!((0..3).all(|block| copy.is_sound(block)));
    assert!(copy.view().iter().all(|byte| *byte == 7));
    drop(draft);
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn one_whose_folder_is_gone_is_used_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, told) = begun(folder.path());
    std::fs::remove_dir_all(folder.path().join("copies")).unwrap();
    assert!(draft.put(0, &vec![7; BYTES]));
    let copy = draft.finish(Some(draft.stamp)).unwrap();
    assert!((0..3).all(|block| copy.is_sound(block)));
    assert_eq!(told.lock().unwrap().len(), 1, "{told:?}");
}
