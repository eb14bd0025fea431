//! Packed copies on disk: with one, without, or with one that is broken, a model is the same; and no file is left behind.
//!
//! Files are so small here that no system holds them on large pages, so copies on any pages are asked for; `benches/loading.rs`
//! tells whether there are some on large ones.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use std::fs::{self, File, Permissions};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use engine::{LoadError, ModelLoader, ModelSource};
use paraphym_inference::cpu::Kind;
use paraphym_inference::fixture::{Sizes, TinyModel};
use paraphym_inference::format::Format;
use paraphym_inference::{Decoder, GgufLoader, PackedCopies};
use runtime::BlockingHelpers;
use support::{OnDisk, all_models, bits, float_models, input, on_disk, some_tokens};
use tempfile::TempDir;

/// Packed it is some blocks of two megabytes.
const LARGE: Sizes = Sizes {
    width: 512,
    heads: 8,
    kv_heads: 2,
    head_width: 64,
    layers: 3,
    feed_forward: 2048,
    more_tokens: 1501,
};

/// A model whose file was not changed just now: of one that was, no copy is made, for it might be changed once more before the
/// clock of the file system goes on.
fn settled(model: &TinyModel) -> OnDisk {
    let file = on_disk(model);
    settle(&file);
    file
}

fn settle(file: &OnDisk) {
    support::settle(&file.source.path, file.folder.path());
}

/// A folder for copies, and a loader that keeps copies of any model there.
struct Kept {
    folder: TempDir,
    loader: GgufLoader,
}

impl Kept {
    fn new(loader: GgufLoader) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            loader: copying(loader, folder.path()),
            folder,
        }
    }

    fn load(&self, file: &OnDisk) -> Decoder {
        load(&self.loader, file)
    }

    /// Names of what lies there that end so.
    fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut found: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|own| own == end))
            .collect();
        found.sort();
        found
    }

    fn copy(&self) -> PathBuf {
        let copies = self.files("packed");
        assert_eq!(copies.len(), 1, "{copies:?}");
        assert_eq!(self.files("part"), Vec::<PathBuf>::new());
        copies[0].clone()
    }

    /// Puts these bytes in the place of the copy, with its permissions.
    fn replace_copy(&self, bytes: &[u8]) {
        let copy = self.copy();
        fs::remove_file(&copy).unwrap();
        fs::write(&copy, bytes).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o400)).unwrap();
    }

    /// Whether this process has a file of the folder mapped under its name.
    fn is_mapped(&self) -> bool {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let folder = self.folder.path().to_str().unwrap();
        maps.lines()
            .any(|line| line.contains(folder) && line.ends_with(".packed"))
    }
}

fn copying(loader: GgufLoader, folder: &Path) -> GgufLoader {
    let copies = PackedCopies::in_folder(folder);
    loader.with_copies(copies.of_at_least(1).on_any_pages())
}

fn load(loader: &GgufLoader, file: &OnDisk) -> Decoder {
    let parts = loader.load_parts(&file.source, &mut |_| ControlFlow::Continue(()));
    parts.unwrap().1
}

/// Every weight has a part in it.
fn said(mut decoder: Decoder) -> Vec<u32> {
    support::open(&mut decoder, 1);
    let batch = [input(1, &some_tokens(9, 3), true)];
    let logits = decoder.step_logits(&batch).unwrap();
    bits(logits[0].as_ref().unwrap())
}

fn plainly(file: &OnDisk) -> Vec<u32> {
    said(load(&GgufLoader::new(), file))
}

fn helped(threads: usize) -> GgufLoader {
    let threads = NonZeroUsize::new(threads).unwrap();
    let handle = tokio::runtime::Handle::current();
    GgufLoader::new().with_helpers(Arc::new(BlockingHelpers::new(handle, threads)))
}

#[test]
fn with_a_copy_every_model_says_the_same() {
    let formats = [
        "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "Q2_K",
    ];
    let of_format = formats.map(|name| {
        let format = (0..40).filter_map(Format::from_code);
        let format = format.into_iter().find(|f| f.to_string() == name).unwrap();
        (name, TinyModel::llama().weights(format).sized(LARGE))
    });
    let models = all_models()
        .into_iter()
        .chain(float_models())
        .chain(of_format);
    for (name, model) in models {
        let (file, kept) = (settled(&model), Kept::new(GgufLoader::new()));
        let plain = plainly(&file);
        assert!(said(kept.load(&file)) == plain, "{name}: one was made");
        let written = fs::metadata(kept.copy()).unwrap();
        let decoder = kept.load(&file);
        assert!(kept.is_mapped(), "{name}");
        assert!(said(decoder) == plain, "{name}: one was there");
        assert!(!kept.is_mapped(), "{name}: it goes with the model");
        let now = fs::metadata(kept.copy()).unwrap();
        assert_eq!(written.ino(), now.ino(), "{name}: it was not made again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_threads_make_the_same_copy_and_read_it() {
    let file = settled(&TinyModel::llama().sized(LARGE));
    let alone = Kept::new(GgufLoader::new());
    let plain = said(alone.load(&file));
    let bytes = fs::read(alone.copy()).unwrap();
    assert!(bytes.len() > 2 * (2 << 20), "{} bytes", bytes.len());
    for threads in [2, 3, 8] {
        let kept = Kept::new(helped(threads));
        assert!(said(kept.load(&file)) == plain, "{threads} made it");
        assert!(fs::read(kept.copy()).unwrap() == bytes, "{threads} threads");
        assert!(said(kept.load(&file)) == plain, "{threads} read it");
    }
}

#[test]
fn kernels_of_any_kind_read_the_same_copy() {
    let file = settled(&TinyModel::qwen2().sized(LARGE));
    let kept = Kept::new(GgufLoader::with_kind(Kind::Portable));
    let plain = said(kept.load(&file));
    let copy = fs::metadata(kept.copy()).unwrap();
    for kind in [Kind::Portable, Kind::Avx2, Kind::Avx512] {
        let loader = copying(GgufLoader::with_kind(kind), kept.folder.path());
        assert!(said(load(&loader, &file)) == plain, "{kind:?}");
    }
    assert_eq!(copy.ino(), fs::metadata(kept.copy()).unwrap().ino());
}

#[test]
fn a_model_that_was_changed_is_packed_anew() {
    let model = TinyModel::llama().sized(LARGE);
    let (file, kept) = (
        settled(&model.clone().seed(1)),
        Kept::new(GgufLoader::new()),
    );
    let first = said(kept.load(&file));
    let copy = fs::metadata(kept.copy()).unwrap();
    // As long as before, and with the same times of its contents.
    let times = fs::metadata(&file.source.path).unwrap().modified().unwrap();
    model.seed(2).write(&file.source.path).unwrap();
    let opened = File::options().write(true).open(&file.source.path);
    opened.unwrap().set_modified(times).unwrap();
    settle(&file);
    let second = plainly(&file);
    assert!(first != second);
    assert!(said(kept.load(&file)) == second);
    assert_ne!(copy.ino(), fs::metadata(kept.copy()).unwrap().ino());
    assert!(said(kept.load(&file)) == second);
}

#[test]
fn of_a_model_that_was_changed_just_now_no_copy_is_made() {
    // The clock of a file system may have gone on while one was loaded, but not each time.
    let is_left_alone = (0..20).any(|_| {
        let (file, kept) = (on_disk(&TinyModel::llama()), Kept::new(GgufLoader::new()));
        said(kept.load(&file));
        kept.files("packed").is_empty()
    });
    assert!(is_left_alone);
}

#[test]
fn a_broken_copy_changes_nothing_and_is_made_again() {
    let file = settled(&TinyModel::llama().sized(LARGE));
    let kept = Kept::new(GgufLoader::new());
    let plain = said(kept.load(&file));
    let sound = fs::read(kept.copy()).unwrap();
    let length = sound.len();
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let broken = [
        flipped(0),
        flipped((2 << 20) - 1),
        flipped(2 << 20),
        flipped(length - 300),
        flipped(length - 1),
        flipped(length - 5),
        sound[..length - 1].to_vec(),
        sound[..length / 2].to_vec(),
        sound[4096..].to_vec(),
        vec![0; length],
        Vec::new(),
        b"short".to_vec(),
    ];
    for (index, bytes) in broken.iter().enumerate() {
        kept.replace_copy(bytes);
        assert!(said(kept.load(&file)) == plain, "{index}: it was broken");
        // One whose lines were broken was taken away, any other was replaced at once.
        assert!(said(kept.load(&file)) == plain, "{index}: it was mended");
        assert!(fs::read(kept.copy()).unwrap() == sound, "{index}");
    }
}

/// Then the text may be in another thread's hands, and is read once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_copy_is_noticed_by_several_threads() {
    let file = settled(&TinyModel::llama().sized(LARGE));
    let kept = Kept::new(helped(3));
    let plain = said(kept.load(&file));
    let sound = fs::read(kept.copy()).unwrap();
    for round in 0..8 {
        let mut bytes = sound.clone();
        bytes[round] ^= 1;
        kept.replace_copy(&bytes);
        assert!(said(kept.load(&file)) == plain, "round {round}");
        assert!(said(kept.load(&file)) == plain, "round {round}");
        assert!(fs::read(kept.copy()).unwrap() == sound, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_is_stopped_leaves_no_file() {
    let file = settled(&TinyModel::llama().sized(LARGE));
    for threads in [1, 3] {
        let kept = Kept::new(helped(threads));
        for stop_at in [1, 4] {
            let mut calls = 0;
            let stopped = kept.loader.load(&file.source, &mut |_| {
                calls += 1;
                if calls == stop_at {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            assert_eq!(stopped.map(|_| ()), Err(LoadError::Cancelled));
            assert_eq!(kept.files("part"), Vec::<PathBuf>::new());
            assert_eq!(kept.files("packed"), Vec::<PathBuf>::new());
        }
        // Who stopped half way is no hindrance.
        kept.load(&file);
        kept.copy();
    }
}

#[test]
fn a_model_that_changes_while_it_is_read_has_no_copy() {
    let (file, kept) = (settled(&TinyModel::llama()), Kept::new(GgufLoader::new()));
    let model = kept.loader.load(&file.source, &mut |_| {
        let opened = File::options().append(true).open(&file.source.path);
        std::io::Write::write_all(&mut opened.unwrap(), b"more").unwrap();
        ControlFlow::Continue(())
    });
    assert!(model.is_ok());
    assert_eq!(kept.files("packed"), Vec::<PathBuf>::new());
    assert_eq!(kept.files("part"), Vec::<PathBuf>::new());
}

#[test]
fn progress_is_told_with_a_copy_and_while_one_is_made_or_found_broken() {
    let file = settled(&TinyModel::llama().sized(LARGE));
    let kept = Kept::new(GgufLoader::new());
    let told = || {
        let mut told = Vec::new();
        let model = kept.loader.load(&file.source, &mut |share| {
            told.push(share);
            ControlFlow::Continue(())
        });
        assert!(model.is_ok());
        assert!(told.is_sorted(), "{told:?}");
        assert!((told[told.len() - 1] - 1.0).abs() < 1e-6, "{told:?}");
        told.len()
    };
    let (made, there) = (told(), told());
    assert!(made > there && there > 3, "{made} and {there}");
    let mut bytes = fs::read(kept.copy()).unwrap();
    bytes[77] ^= 1;
    kept.replace_copy(&bytes);
    // What was told of the blocks before the broken one, none here, and then all.
    assert_eq!(told(), made);
}

#[test]
fn what_nobody_needs_any_more_is_removed_and_nothing_else() {
    let kept = Kept::new(GgufLoader::new());
    let gone = settled(&TinyModel::llama());
    kept.load(&gone);
    let of_gone = kept.copy();
    fs::remove_file(&gone.source.path).unwrap();
    let put = |name: &str| {
        let path = kept.folder.path().join(name);
        fs::write(&path, b"something").unwrap();
        path
    };
    let hash = "0123456789abcdef0123456789abcdef";
    let left = put(&format!("{hash}.7-0.part"));
    let locked = put(&format!("{hash}.7-1.part"));
    let none = put(&format!("{hash}.packed"));
    let [notes, movie, theirs] = ["notes.txt", "film.mkv.part", "c.packed"].map(put);
    let lock = File::open(&locked).unwrap();
    lock.try_lock().unwrap();
    let file = settled(&TinyModel::qwen2());
    kept.load(&file);
    for (path, stays) in [
        (of_gone, false),
        (left, false),
        (locked, true),
        (notes, true),
        (movie, true),
        (theirs, true),
        (none, false),
    ] {
        assert_eq!(path.exists(), stays, "{}", path.display());
    }
    assert_eq!(kept.files("packed").len(), 2, "one of them is theirs");
}

/// One that is not there now, with all that was around it, may be on a disk that comes back.
#[test]
fn the_copy_of_a_model_whose_folder_is_gone_stays() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::new(GgufLoader::new());
    let (disk, away) = (folder.path().join("disk"), folder.path().join("away"));
    fs::create_dir(&disk).unwrap();
    let file = OnDisk {
        source: ModelSource {
            path: disk.join("tiny.gguf"),
        },
        folder,
    };
    TinyModel::llama().write(&file.source.path).unwrap();
    settle(&file);
    let plain = said(kept.load(&file));
    let copy = kept.copy();
    fs::rename(&disk, &away).unwrap();
    kept.load(&settled(&TinyModel::qwen2()));
    assert!(copy.exists());
    fs::rename(&away, &disk).unwrap();
    assert!(said(kept.load(&file)) == plain);
    fs::remove_file(&file.source.path).unwrap();
    kept.load(&settled(&TinyModel::qwen3()));
    assert!(!copy.exists());
}

#[test]
fn where_no_copy_can_be_written_a_model_is_loaded_all_the_same() {
    let file = settled(&TinyModel::llama());
    let plain = plainly(&file);
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("a file");
    fs::write(&taken, "not a folder").unwrap();
    for place in [
        taken.clone(),
        taken.join("below"),
        PathBuf::from("/proc/packed"),
    ] {
        assert!(said(load(&copying(GgufLoader::new(), &place), &file)) == plain);
        assert!(!place.is_dir());
    }
    assert_eq!(fs::read_to_string(taken).unwrap(), "not a folder");
}

#[test]
fn nobody_else_may_read_or_write_a_copy() {
    let file = settled(&TinyModel::llama());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/here");
    let loader = copying(GgufLoader::new(), &folder);
    load(&loader, &file);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let copies = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let ends = |path: &PathBuf| path.extension().is_some_and(|end| end == "packed");
    let copy = copies.into_iter().find(ends).unwrap();
    assert_eq!(mode(&copy), 0o400);
    // One that others may write is not believed.
    let before = fs::metadata(&copy).unwrap().ino();
    fs::set_permissions(&copy, Permissions::from_mode(0o620)).unwrap();
    load(&loader, &file);
    assert_ne!(fs::metadata(&copy).unwrap().ino(), before);
    assert_eq!(mode(&copy), 0o400);
}

/// Smaller than a large page, it is on none.
#[test]
fn a_copy_on_small_pages_is_read_into_memory_where_these_are_not_wanted() {
    let file = settled(&TinyModel::llama());
    let kept = Kept::new(GgufLoader::new());
    let plain = said(kept.load(&file));
    let copy = fs::metadata(kept.copy()).unwrap();
    let strict = PackedCopies::in_folder(kept.folder.path()).of_at_least(1);
    for loader in [GgufLoader::new(), GgufLoader::with_kind(Kind::Portable)] {
        let decoder = load(&loader.with_copies(strict.clone()), &file);
        assert!(!kept.is_mapped());
        assert!(said(decoder) == plain);
    }
    assert_eq!(copy.ino(), fs::metadata(kept.copy()).unwrap().ino());
}

#[test]
fn why_there_is_none_is_told_each_time() {
    let file = settled(&TinyModel::llama());
    let folder = tempfile::tempdir().unwrap();
    let why = |folder: &Path, file: &OnDisk| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        let copies = PackedCopies::in_folder(folder)
            .of_at_least(1)
            .on_any_pages();
        let copies = copies.heard_by(move |why| {
            let reason = (why.to_string(), why.is_usual());
            hears.lock().unwrap().push(reason);
        });
        load(&GgufLoader::new().with_copies(copies), file);
        let told = told.lock().unwrap();
        told.clone()
    };
    let taken = folder.path().join("a file");
    fs::write(&taken, "not a folder").unwrap();
    let told = why(&taken, &file);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0.contains("a file: ") && !told[0].1, "{told:?}");
    let copies = folder.path().join("copies");
    assert_eq!(why(&copies, &file), []);
    let copy = fs::read_dir(&copies)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let copy = copy
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "packed"));
    let copy = copy.unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    bytes[5] ^= 1;
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, bytes).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o400)).unwrap();
    let told = why(&copies, &file);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].0.ends_with("was damaged, and is removed") && !told[0].1,
        "{told:?}"
    );
    assert_eq!(why(&copies, &file), []);
}

#[test]
fn whether_there_can_be_any_is_tried_out_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("copies");
    let copies = PackedCopies::in_folder(&place).on_any_pages();
    assert!(copies.try_out().is_ok());
    let left = fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["CACHEDIR.TAG"]);
    let nowhere = PackedCopies::in_folder("/proc/none").try_out().unwrap_err();
    assert!(nowhere.to_string().starts_with("/proc/none: "), "{nowhere}");
}

#[test]
fn no_copy_is_made_of_what_is_small_or_not_packed() {
    let file = settled(&TinyModel::llama());
    let folder = tempfile::tempdir().unwrap();
    let copies = || PackedCopies::in_folder(folder.path()).on_any_pages();
    load(&GgufLoader::new().with_copies(copies()), &file);
    let unpacked = GgufLoader::unpacked().with_copies(copies().of_at_least(0));
    load(&unpacked, &file);
    // So small that no large page is filled: on these alone there is none.
    let large = PackedCopies::in_folder(folder.path()).of_at_least(0);
    load(&GgufLoader::new().with_copies(large), &file);
    let packed = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path());
    let packed: Vec<_> = packed
        .filter(|path| !path.ends_with("CACHEDIR.TAG"))
        .collect();
    assert_eq!(packed, Vec::<PathBuf>::new());
}

#[test]
fn the_card_knows_what_making_one_takes() {
    let file = settled(&TinyModel::llama());
    let kept = Kept::new(GgufLoader::new());
    let plain = GgufLoader::new().inspect(&file.source).unwrap();
    let card = kept.loader.inspect(&file.source).unwrap();
    // Two blocks a thread, but no more than all weights.
    let most = plain.weights_bytes.0;
    assert!(most < 4 << 20);
    assert_eq!(card.load_bytes.0, plain.load_bytes.0 + most);
    assert_eq!(card.resident_bytes(), plain.resident_bytes());
}
