//! Tokens per second of the engine alone: no tree, no actor, one sequence. The measure everything above is held to.
//!
//! `cargo run --release -p paraphym_inference --example bare_loop -- MODEL.gguf [TOKENS] [PROMPT]`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use domain::{Message, Sampling};
use engine::{ModelLoader, ModelSource, Said, SequenceId, SequencePlan, Speech, StepInput};
use inference::GgufLoader;
use paraphym_inference as inference;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("the path of a GGUF file is needed")?;
    let most: u32 = arguments.next().map_or(Ok(128), |text| text.parse())?;
    let prompt = arguments
        .next()
        .unwrap_or_else(|| "Give me three tips for staying healthy.".to_owned());
    let source = ModelSource {
        path: PathBuf::from(path),
    };
    let begin = Instant::now();
    let mut model = GgufLoader::new().load(&source, &mut |_| ControlFlow::Continue(()))?;
    println!("{:?}", model.card);
    println!("loaded in {:.2} s", begin.elapsed().as_secs_f64());

    let mut tokens = model
        .text
        .encode_chat(&[Message::user(prompt)], &domain::Tools::default())?;
    let prompt_tokens = u32::try_from(tokens.len())?;
    let id = SequenceId(1);
    let plan = SequencePlan {
        capacity_tokens: prompt_tokens + most,
        sampling: Sampling::greedy(),
        prompt_tokens,
    };
    model.engine.open(id, plan)?;
    let mut speech = Speech::new(&[]);
    let mut answer = String::new();
    let mut prefill = 0.0;
    let mut made = 0u32;
    let mut begin = Instant::now();
    while made < most {
        let input = StepInput {
            sequence: id,
            tokens: std::mem::take(&mut tokens),
            sample: true,
        };
        let outputs = model.engine.step(&[input])?;
        let token = outputs
            .first()
            .and_then(|output| output.token)
            .ok_or("the engine gave no token")?;
        if made == 0 {
            prefill = begin.elapsed().as_secs_f64();
            begin = Instant::now();
        }
        made += 1;
        if model.text.ends_turn(token) {
            break;
        }
        if let Said::Text(text) = speech.push(model.text.bytes_of(token)) {
            answer.push_str(&text);
        }
        tokens = vec![token];
    }
    let decode = begin.elapsed().as_secs_f64();
    answer.push_str(&speech.finish());
    println!("{answer}");
    println!(
        "prefill {prompt_tokens} tokens: {:.1} tokens/s; decode {} tokens: {:.1} tokens/s",
        f64::from(prompt_tokens) / prefill,
        made.saturating_sub(1),
        f64::from(made.saturating_sub(1)) / decode
    );
    Ok(())
}
