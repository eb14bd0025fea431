//! The file on a real folder, with a disk that fails at any step.

use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::*;

/// Fails every step from the `n`th on, as after a power cut: the first to fail has done half its work.
#[derive(Default)]
struct Failing {
    left: AtomicU32,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| io::Error::other("no power"))
    }
}

impl Disk for Failing {
    fn read(&self, path: &Path, most: u64) -> io::Result<String> {
        RealDisk.read(path, most)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        RealDisk.lock(path)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        self.step()
            .inspect_err(|_| fs::write(path, &text[..text.len() / 2]).unwrap())?;
        RealDisk.write(path, text)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)
    }

    fn sync(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.sync(folder)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.make_folder(folder)
    }
}

fn file(folder: &TempDir, disk: impl Disk) -> SettingsFile {
    SettingsFile::new(folder.path().join("config.toml"), Arc::new(disk))
}

#[test]
fn five_former_forms_are_kept() {
    let folder = TempDir::new().unwrap();
    let file = file(&folder, RealDisk);
    assert_eq!(file.read(), Ok(None));
    let mut known = None;
    for n in 0..9 {
        let text = format!("n = {n}");
        file.replace(known.as_deref(), &text).unwrap();
        known = Some(text);
    }
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let expected = ["", ".1", ".2", ".3", ".4", ".5"].map(|end| format!("config.toml{end}"));
    assert_eq!(names, expected);
    for (name, n) in names.iter().zip((3..=8).rev()) {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text, format!("n = {n}"));
    }
}

#[test]
fn a_write_that_ends_at_any_step_leaves_the_old_or_the_new() {
    // Write, four shifts, link, rename, sync: the ninth step does not exist.
    for steps in 0..=8 {
        let folder = TempDir::new().unwrap();
        let whole = file(&folder, RealDisk);
        whole.replace(None, "former").unwrap();
        whole.replace(Some("former"), "old").unwrap();
        let cut = file(
            &folder,
            Failing {
                left: AtomicU32::new(steps),
            },
        );
        let written = cut.replace(Some("old"), "new");
        assert_eq!(written.is_ok(), steps == 8, "{steps}");
        let found = whole.read().unwrap().unwrap();
        assert_eq!(found, if steps >= 7 { "new" } else { "old" }, "{steps}");
        // The next start is not in the way of the next write.
        whole.replace(Some(&found), "next").unwrap();
        assert_eq!(whole.read().unwrap().as_deref(), Some("next"));
        let backup = fs::read_to_string(folder.path().join("config.toml.1")).unwrap();
        assert_eq!(backup, found);
    }
}

#[test]
fn what_was_edited_by_hand_is_not_written_over() {
    let folder = TempDir::new().unwrap();
    let file = file(&folder, RealDisk);
    file.replace(None, "a = 1").unwrap();
    fs::write(file.path(), "a = 2").unwrap();
    for known in [Some("a = 1"), None] {
        let refused = file.replace(known, "a = 3");
        assert!(matches!(refused, Err(FileError::Edited { .. })));
    }
    assert_eq!(file.read().unwrap().as_deref(), Some("a = 2"));
    fs::remove_file(file.path()).unwrap();
    assert!(file.replace(Some("a = 2"), "a = 3").is_err());
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it_and_a_link_stays_one() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = TempDir::new().unwrap();
    let real = folder.path().join("dotfiles").join("settings");
    fs::create_dir(real.parent().unwrap()).unwrap();
    fs::write(&real, "a = 1").unwrap();
    let file = file(&folder, RealDisk);
    symlink(&real, file.path()).unwrap();
    file.replace(Some("a = 1"), "a = 2").unwrap();
    assert!(file.path().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "a = 2");
    let mode = fs::metadata(&real).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_a_settings_file_is_not_read() {
    let folder = TempDir::new().unwrap();
    let file = file(&folder, RealDisk);
    fs::write(file.path(), vec![b' '; (1 << 20) + 1]).unwrap();
    let error = file.read().unwrap_err().to_string();
    assert!(error.contains("larger than 1 MiB"), "{error}");
    fs::write(file.path(), [0xff, 0xfe]).unwrap();
    assert!(file.read().is_err());
}

#[test]
fn one_process_writes_at_a_time() {
    let folder = TempDir::new().unwrap();
    let one = file(&folder, RealDisk);
    let other = file(&folder, RealDisk);
    let lock = one.lock().unwrap();
    assert!(matches!(other.lock(), Err(FileError::Locked { .. })));
    drop(lock);
    assert!(other.lock().is_ok());
}
