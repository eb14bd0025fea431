//! The file on a real disk: who may read it, what is refused, and that nothing bad is written over.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn scene() -> (tempfile::TempDir, TokenFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::at(folder.path().join("deep").join(FILE));
    (folder, file)
}

fn add(file: &TokenFile, n: u8) -> Result<Arc<Grant>, TokenError> {
    file.add(
        &Secret::of([n; 32]),
        Some(format!("t{n}")),
        Terms::default(),
        5,
    )
}

#[test]
fn what_was_made_is_there_until_it_is_revoked() {
    let (_folder, file) = scene();
    assert!(file.read().unwrap().is_empty());
    add(&file, 1).unwrap();
    add(&file, 2).unwrap();
    assert!(
        file.read()
            .unwrap()
            .find(Secret::of([1; 32]).reveal())
            .is_some()
    );
    file.revoke("t1").unwrap();
    let left = file.read().unwrap();
    let names: Vec<_> = left.iter().map(|grant| grant.name.as_deref()).collect();
    assert_eq!(names, [Some("t2")]);
}

#[test]
fn only_its_owner_may_read_it_and_nothing_is_left_beside_it() {
    let (_folder, file) = scene();
    add(&file, 1).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    add(&file, 2).unwrap();
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let beside = fs::read_dir(file.path().parent().unwrap()).unwrap();
    let mut names: Vec<_> = beside.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["tokens.json", "tokens.json.lock"]);
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (_folder, file) = scene();
    add(&file, 1).unwrap();
    for bad in [
        &b"{\"version\": 1"[..],
        b"\xff\xfe",
        &vec![b' '; (1 << 20) + 1],
    ] {
        fs::write(file.path(), bad).unwrap();
        for refused in [
            file.read().unwrap_err(),
            add(&file, 2).unwrap_err(),
            file.revoke("t1").unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(
                text.contains("tokens.json is damaged") && text.contains("move it away"),
                "{text}"
            );
        }
        assert_eq!(fs::read(file.path()).unwrap(), bad);
    }
}

#[test]
fn one_writes_at_a_time() {
    let (_folder, file) = scene();
    let lock = file.lock().unwrap();
    assert!(matches!(add(&file, 1), Err(TokenError::Locked { .. })));
    drop(lock);
    add(&file, 1).unwrap();
}

#[test]
fn it_lies_in_the_data_folder() {
    for (xdg, home, expected) in [
        (Some("/x"), Some("/h"), Some("/x/paraphym/tokens.json")),
        (
            Some("x"),
            Some("/h"),
            Some("/h/.local/share/paraphym/tokens.json"),
        ),
        (None, None, None),
    ] {
        let env = |name: &str| match name {
            "XDG_DATA_HOME" => xdg.map(OsString::from),
            "HOME" => home.map(OsString::from),
            _ => None,
        };
        let file = TokenFile::in_data_folder(env).ok();
        let path = file.as_ref().map(TokenFile::path);
        assert_eq!(path, expected.map(Path::new));
    }
}
