//! What it saves to keep the tokens of what was said: the way of a request from its acceptance to its first token, with
//! the tokens kept and without, alternately, for histories of 1 000, 4 000 and 16 000 tokens. The tokenizer, the template
//! and the model host are the real ones; the engine computes nothing, so that what is left is all but the model.
//!
//! ```sh
//! cargo bench --package paraphym_benches --bench tokenised_prompts
//! ```
//!
//! Reads the default model, or the GGUF that `PARAPHYM_TEST_MODEL` names; without either one of the fixture's, and says
//! so. Each round is a conversation that nobody had before: its first turn, and its next. It either fits into the window
//! or has to be cut to half of it, which is tried for many beginnings. Exits with 1 if both sides do not make the same
//! number of tokens, never for a time.

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cache_janitor::CacheJanitor;
use domain::{
    Bytes, ContextPolicy, GenerationEvent, KeepAlive, Message, ModelName, Prompt, RequestId,
    Sampling, Tools,
};
use engine::{
    Engine, LoadError, LoadedModel, ModelCard, ModelLoader, ModelSource, NoPieces, Pieces,
    SequenceId, SequencePlan, StepError, StepInput, StepOutput, TextCodec, TextError, TokenId,
    ToolSyntax,
};
use inference::GgufLoader;
use inference::fixture::TinyModel;
use memory_governor::MemoryGovernor;
use model_host::{HostConfig, ModelHost, ModelHostDeps, Request, ResolveModel};
use paraphym_benches::median;
use paraphym_candle::{RuntimeOptions, Store, StoreConfig, run};
use supervision::{Events, Handle, SupervisorSpec, start_root};
use tokio::time::Instant;

/// Alternations; an odd number, so that the median is one of them.
const ROUNDS: usize = 9;
const HISTORIES: [u32; 3] = [1_000, 4_000, 16_000];
/// The prompt is read at once: steps are not what is measured.
const CHUNK: usize = 1 << 20;
const MEMORY: Bytes = Bytes::mib(512);

type Failure = Box<dyn Error + Send + Sync>;

/// The real text side, and whether what was encoded may be used again.
struct Text {
    real: Arc<dyn TextCodec>,
    keeps: bool,
}

impl TextCodec for Text {
    fn encode_chat_with(
        &self,
        messages: &[Message],
        tools: &Tools,
        known: &mut dyn Pieces,
    ) -> Result<Vec<TokenId>, TextError> {
        let mut nothing = NoPieces;
        let known = if self.keeps { known } else { &mut nothing };
        self.real.encode_chat_with(messages, tools, known)
    }

    fn tool_syntax(&self) -> ToolSyntax {
        self.real.tool_syntax()
    }

    fn check(&self, constraint: &domain::Constraint) -> Result<(), TextError> {
        self.real.check(constraint)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        self.real.encode_text(text)
    }

    fn bytes_of(&self, token: TokenId) -> &[u8] {
        self.real.bytes_of(token)
    }

    fn ends_turn(&self, token: TokenId) -> bool {
        self.real.ends_turn(token)
    }
}

/// Says the end of the turn whatever it is asked.
struct Silent {
    end: TokenId,
}

impl Engine for Silent {
    fn open(&mut self, _: SequenceId, _: SequencePlan) -> Result<(), StepError> {
        Ok(())
    }

    fn close(&mut self, _: SequenceId) {}

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        let output = |input: &StepInput| StepOutput {
            sequence: input.sequence,
            token: input.sample.then_some(self.end),
            likelihood: None,
            stuck: None,
        };
        Ok(batch.iter().map(output).collect())
    }
}

/// A model for each window, with and without keeping: its path is `keeps/<window>` or `forgets/<window>`.
struct Windows {
    text: Arc<dyn TextCodec>,
    end: TokenId,
}

impl ModelLoader for Windows {
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError> {
        let name = source.path.file_name().unwrap_or_default();
        let window = name.to_string_lossy().parse();
        Ok(ModelCard {
            name: source.path.to_string_lossy().into_owned(),
            architecture: "none".to_owned(),
            parameters: 1,
            quantisation: String::new(),
            context_tokens: window.unwrap_or(1 << 16),
            vocabulary: self.end + 1,
            weights_bytes: Bytes::mib(1),
            work_bytes: Bytes::ZERO,
            load_bytes: Bytes::mib(1),
            kv_bytes_per_token: Bytes(1),
            kv_page_tokens: 64,
            device: engine::Device::Cpu,
            device_bytes: Bytes::ZERO,
        })
    }

    fn load(
        &self,
        source: &ModelSource,
        _: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError> {
        let text = Text {
            real: Arc::clone(&self.text),
            keeps: source.path.starts_with("keeps"),
        };
        Ok(LoadedModel {
            card: self.inspect(source)?,
            engine: Box::new(Silent { end: self.end }),
            text: Arc::new(text),
        })
    }
}

impl ResolveModel for Windows {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = format!("paraphym-tokenised-prompts-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder)?;
    let path = model_path(&folder);
    let report = run(&RuntimeOptions::default(), |_| async {
        measure(path?).await
    });
    std::fs::remove_dir_all(&folder)?;
    report?.map_err(|failure: Failure| -> Box<dyn Error> { failure })
}

fn model_path(folder: &Path) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("PARAPHYM_TEST_MODEL") {
        return Ok(path.into());
    }
    let store = Store::open(StoreConfig::at(None))?;
    match store.resolve(&ModelName::new(paraphym_candle::DEFAULT_MODEL)) {
        Ok(path) => Ok(path),
        Err(error) => {
            writeln!(
                std::io::stderr(),
                "{error}; a tiny tokenizer stands in, so only the ratios mean anything"
            )?;
            let path = folder.join("fixture.gguf");
            TinyModel::llama().write(&path)?;
            Ok(path)
        }
    }
}

async fn measure(path: PathBuf) -> Result<(), Failure> {
    let source = ModelSource { path };
    let load = move || GgufLoader::new().load(&source, &mut |_| ControlFlow::Continue(()));
    let real = tokio::task::spawn_blocking(load).await??;
    let mut tokens = 0..real.card.vocabulary;
    let end = tokens.find(|token| real.text.ends_turn(*token));
    let windows = Arc::new(Windows {
        end: end.ok_or("no token ends a turn")?,
        text: real.text,
    });
    let (memory, governor) =
        memory_governor::child(Some(MEMORY), Arc::new(memory_governor::FileProbe));
    let (sweeping, janitor) = cache_janitor::child(governor.clone());
    let ([lanes, embedding, host], handle) = host(&windows, governor, janitor);
    let spec = [memory, sweeping, lanes, embedding, host]
        .into_iter()
        .fold(SupervisorSpec::new("root"), SupervisorSpec::child);
    let root = start_root(spec, Events::default()).await?;
    let outcome = compare(&handle, &*windows.text).await;
    root.stop(std::time::Duration::from_secs(10)).await;
    outcome
}

fn host(
    windows: &Arc<Windows>,
    governor: Handle<MemoryGovernor>,
    janitor: Handle<CacheJanitor>,
) -> ([supervision::ChildSpec; 3], Handle<ModelHost>) {
    let deps = ModelHostDeps {
        loader: Arc::clone(windows) as Arc<dyn ModelLoader>,
        resolve: Arc::clone(windows) as Arc<dyn ResolveModel>,
        governor,
        janitor,
    };
    let config = HostConfig {
        prefill_chunk: CHUNK,
        keep_alive: KeepAlive::Forever,
        ..HostConfig::default()
    };
    model_host::children(config, deps)
}

/// Milliseconds of the two turns of a round.
type Turns = [f64; 2];

async fn compare(host: &Handle<ModelHost>, text: &dyn TextCodec) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    for tokens in HISTORIES {
        let pairs = pairs_of(tokens, text)?;
        for (what, window) in [("fits", 1 << 16), ("cut to half", tokens / 2)] {
            let (mut without, mut with) = (Vec::new(), Vec::new());
            for round in 0..=ROUNDS {
                let name = format!("{tokens} {window} {round}");
                let (forgets, one) = turns(host, "forgets", window, &name, pairs).await?;
                let (keeps, other) = turns(host, "keeps", window, &name, pairs).await?;
                if one != other {
                    return Err(format!("{one:?} tokens without, {other:?} with").into());
                }
                // The first round loads the models.
                if round > 0 {
                    without.push(forgets);
                    with.push(keeps);
                }
            }
            for (turn, called) in [(0, "first turn"), (1, "next turn ")] {
                let line = line(&without, &with, turn);
                writeln!(out, "{tokens:6} tokens, {what:11}, {called}: {line}")?;
            }
        }
    }
    Ok(())
}

fn line(without: &[Turns], with: &[Turns], turn: usize) -> String {
    let of = |turns: &Turns| turns.get(turn).copied().unwrap_or(f64::NAN);
    let middle = |values: Vec<f64>| median(&values).unwrap_or(f64::NAN);
    let ratios = without.iter().zip(with).map(|(a, b)| of(a) / of(b));
    format!(
        "{:7.2} ms without, {:6.2} ms with, ratio {:5.1}",
        middle(without.iter().map(of).collect()),
        middle(with.iter().map(of).collect()),
        middle(ratios.collect()),
    )
}

/// So many questions with their answers are about that many tokens.
fn pairs_of(tokens: u32, text: &dyn TextCodec) -> Result<usize, Failure> {
    let count = |pairs| text.encode_chat(&history("measure", pairs), &Tools::default());
    let (few, more) = (count(10)?.len(), count(20)?.len());
    let each = more.saturating_sub(few).max(10);
    Ok((tokens as usize * 10).div_ceil(each))
}

fn history(name: &str, pairs: usize) -> Vec<Message> {
    let mut messages = vec![Message::system("You are a helpful assistant.")];
    for n in 0..pairs {
        messages.push(Message::user(format!(
            "{name}, question {n}: why did the river rise in the night, and what became of the old mill beside it?"
        )));
        messages.push(Message::assistant(format!(
            "{name}, answer {n}: it had rained for days in the hills. The mill stood in water up to its windows, and the \
             miller carried the flour to the loft; nobody was hurt, though the wheel was torn away and found a mile \
             down the valley."
        )));
    }
    messages
}

/// The first and the next turn of a conversation, and what tokens their prompts had.
async fn turns(
    host: &Handle<ModelHost>,
    side: &str,
    window: u32,
    name: &str,
    pairs: usize,
) -> Result<(Turns, [u32; 2]), Failure> {
    let model = ModelName::new(format!("{side}/{window}"));
    let mut messages = history(name, pairs);
    messages.push(Message::user("And what follows from that?"));
    let (first, one) = ask(host, &model, &messages).await?;
    messages.push(Message::assistant("That mills are better built on hills."));
    messages.push(Message::user("And from that?"));
    let (next, two) = ask(host, &model, &messages).await?;
    Ok(([first, next], [one, two]))
}

async fn ask(
    host: &Handle<ModelHost>,
    model: &ModelName,
    messages: &[Message],
) -> Result<(f64, u32), Failure> {
    let request = Request {
        id: RequestId::new("bench"),
        model: model.clone(),
        prompt: Prompt::Chat(messages.to_vec()),
        sampling: Sampling {
            max_tokens: 16,
            ..Sampling::greedy()
        },
        context: ContextPolicy::DropOldest,
        keep_alive: None,
        tools: Tools::default(),
    };
    let asked = Instant::now();
    let mut stream = model_host::generate(host, request).await?;
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Finished { usage, .. } => {
                return Ok((asked.elapsed().as_secs_f64() * 1e3, usage.prompt_tokens));
            }
            GenerationEvent::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the stream ended without an end".into())
}
