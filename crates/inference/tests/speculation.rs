//! Guessing tokens ahead saves passes and changes nothing: no token, no likelihood, no byte that is held, no error.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::{Constraint, Sampling};
use engine::{Beginning, Engine, PrefixId, SequenceId, StepInput, TextCodec, TokenId};
use paraphym_inference::constraint::Grammars;
use paraphym_inference::file::GgufFile;
use paraphym_inference::fixture::{Field, TinyModel};
use paraphym_inference::vocabulary::Vocabulary;
use paraphym_inference::{Decoder, GgufLoader, Precision};
use proptest::prelude::*;
use proptest::sample::Index;
use support::{all_models, bits, input, load, on_disk, plan, some_tokens};

const KEPT: PrefixId = PrefixId(70);

/// The same model twice: one guesses, one does not.
struct Pair {
    guessing: Decoder,
    plain: Decoder,
}

impl Pair {
    fn of(model: &TinyModel) -> Self {
        Self::keeping(Precision::Fast, model)
    }

    /// As [`Pair::of`], with activations kept so.
    fn keeping(precision: Precision, model: &TinyModel) -> Self {
        let file = on_disk(model);
        let load = || {
            let loader = GgufLoader::new().with_precision(precision);
            let parts = loader.load_parts(&file.source, &mut |_| ControlFlow::Continue(()));
            parts.unwrap().1
        };
        Self {
            guessing: load().with_speculation(),
            plain: load().without_speculation(),
        }
    }

    /// Both do it, and it comes to the same.
    fn both<T: PartialEq + std::fmt::Debug>(&mut self, act: impl Fn(&mut Decoder) -> T) -> T {
        let (guessed, plain) = (act(&mut self.guessing), act(&mut self.plain));
        assert_eq!(guessed, plain);
        assert_eq!(self.guessing.kv_bytes(), self.plain.kv_bytes());
        guessed
    }

    fn open(&mut self, id: u64, prompt: u32, capacity: u32, sampling: &Sampling) {
        let plan = plan(capacity, prompt, sampling.clone());
        self.both(|decoder| decoder.open(SequenceId(id), plan.clone()))
            .unwrap();
    }

    /// Generates `n` tokens.
    fn generate(&mut self, id: u64, prompt: &[TokenId], n: usize) -> Vec<TokenId> {
        let (mut made, mut next) = (Vec::new(), prompt.to_vec());
        for _ in 0..n {
            let outputs = self.both(|decoder| decoder.step(&[input(id, &next, true)]));
            next = vec![outputs.unwrap()[0].token.unwrap()];
            made.push(next[0]);
        }
        made
    }

    /// Passes and rows of the one that guesses, and of the other.
    fn work(&self) -> [(u64, u64); 2] {
        [&self.guessing, &self.plain].map(|decoder| (decoder.passes(), decoder.rows()))
    }
}

/// Whether the second half of a text goes in a circle of at most 30 tokens.
fn goes_in_circles(text: &[TokenId]) -> bool {
    let half = &text[text.len() / 2..];
    (1..=30).any(|period| half.iter().zip(&half[period..]).all(|(a, b)| a == b))
}

#[test]
fn a_text_that_repeats_itself_takes_fewer_passes() {
    let mut circles = 0;
    for (name, model) in all_models() {
        for seed in 0..6 {
            let mut pair = Pair::of(&model.clone().seed(seed));
            pair.open(1, 40, 512, &Sampling::greedy());
            // A random model that takes the likeliest token often goes in circles soon.
            let text = pair.generate(1, &some_tokens(40, 1), 300);
            let [(guessing, rows), (plain, _)] = pair.work();
            assert_eq!(plain, 300, "{name}");
            if goes_in_circles(&text) {
                circles += 1;
                let seen = format!("{name}, seed {seed}: {guessing} passes, {rows} rows");
                assert!(guessing < 200, "{seen}");
                assert!(rows < 40 + 400, "{seen}");
            }
        }
    }
    assert!(circles >= 5, "{circles} texts went in circles");
}

#[test]
fn a_pass_is_as_large_as_pays_where_all_guesses_come_true() {
    for (precision, most) in [(Precision::Fast, 7), (Precision::Exact, 3)] {
        let mut widest = 0;
        for seed in 0..6 {
            let mut pair = Pair::keeping(precision, &TinyModel::llama().seed(seed));
            pair.open(1, 40, 512, &Sampling::greedy());
            let mut next = some_tokens(40, 1);
            for _ in 0..200 {
                let [(_, before), _] = pair.work();
                next = pair.generate(1, &next, 1);
                let [(_, after), _] = pair.work();
                if after - before < 40 {
                    widest = widest.max(after - before);
                }
            }
        }
        assert_eq!(widest, most, "{precision}");
    }
}

#[test]
fn a_text_that_does_not_takes_a_few_rows_more() {
    let mut pair = Pair::of(&TinyModel::llama().seed(7));
    let sampling = Sampling {
        temperature: 2.0,
        seed: 5,
        ..Sampling::greedy()
    };
    pair.open(1, 100, 512, &sampling);
    pair.generate(1, &some_tokens(100, 1), 400);
    let [(guessing, rows), (plain, plain_rows)] = pair.work();
    assert!(guessing <= plain);
    // One in ten of the 400.
    assert!(rows <= plain_rows + 40, "{rows} rows, {plain_rows} without");
}

#[test]
fn guesses_fill_a_pass_and_leave_large_ones_alone() {
    let model = TinyModel::llama().seed(7);
    let (fast, exact) = (Precision::Fast, Precision::Exact);
    let cases = [
        (fast, 1u64, 7),
        (fast, 3, 7),
        (fast, 7, 7),
        (fast, 9, 9),
        // Each row is two to the kernels.
        (exact, 1, 3),
        (exact, 2, 3),
        (exact, 3, 3),
        (exact, 4, 4),
    ];
    for (precision, sequences, most) in cases {
        let mut pair = Pair::keeping(precision, &model);
        let circle: Vec<TokenId> = some_tokens(6, 2).repeat(4);
        for id in 0..sequences {
            pair.open(id, 24, 512, &Sampling::greedy());
            pair.both(|decoder| decoder.step(&[input(id, &circle, false)]))
                .unwrap();
        }
        for turn in 0..12 {
            let batch: Vec<StepInput> = (0..sequences)
                .map(|id| input(id, &[circle[turn % 6]], true))
                .collect();
            let [(passes, rows), _] = pair.work();
            pair.both(|decoder| decoder.step(&batch)).unwrap();
            let [(passes_after, rows_after), _] = pair.work();
            assert!(passes_after - passes <= 1);
            assert!(rows_after - rows <= most, "{sequences} sequences");
        }
    }
    // Beside a chunk of a prompt nothing is guessed.
    let mut pair = Pair::of(&model);
    let circle: Vec<TokenId> = some_tokens(6, 2).repeat(4);
    pair.open(1, 24, 512, &Sampling::greedy());
    pair.open(2, 50, 512, &Sampling::greedy());
    pair.both(|decoder| decoder.step(&[input(1, &circle, false)]))
        .unwrap();
    let batch = [
        input(1, &circle[..1], true),
        input(2, &some_tokens(7, 3), false),
    ];
    pair.both(|decoder| decoder.step(&batch)).unwrap();
    let [(_, guessing), (_, plain)] = pair.work();
    assert_eq!(guessing, plain);
}

#[test]
fn what_is_foreseen_is_answered_without_a_pass_and_forgotten_when_another_token_comes() {
    let mut pair = Pair::of(&TinyModel::qwen3().seed(9));
    pair.open(1, 10, 512, &Sampling::greedy());
    let made = pair.generate(1, &some_tokens(10, 1), 200);
    let mut next = *made.last().unwrap();
    let mut free = 0;
    for turn in 0..60 {
        let before = pair.guessing.passes();
        let outputs = pair.both(|decoder| decoder.step(&[input(1, &[next], true)]));
        free += u32::from(pair.guessing.passes() == before);
        next = outputs.unwrap()[0].token.unwrap();
        if turn % 20 == 19 {
            // It was about to be foreseen.
            next = (next + 1) % 200;
        }
    }
    assert!(free > 10, "{free} of 60 steps took no pass");
    // Raw logits are computed, whatever was foreseen.
    let logits = pair.both(|decoder| {
        let all = decoder.step_logits(&[input(1, &[next], true)]).unwrap();
        bits(all[0].as_ref().unwrap())
    });
    assert!(!logits.is_empty());
}

#[test]
fn guesses_end_where_the_plan_ends() {
    let mut pair = Pair::of(&TinyModel::llama().seed(7));
    for capacity in 101..110 {
        let id = u64::from(capacity);
        pair.open(id, 40, capacity, &Sampling::greedy());
        let made = pair.generate(id, &some_tokens(40, 1), capacity as usize - 39);
        let last = [input(id, &made[made.len() - 1..], true)];
        let over = pair.both(|decoder| decoder.step(&last));
        assert!(over.is_err(), "{over:?}");
        pair.both(|decoder| decoder.close(SequenceId(id)));
    }
    let [(guessing, _), (plain, _)] = pair.work();
    assert!(guessing < plain);
}

#[test]
fn a_form_follows_another_token_than_was_foreseen() {
    let model = TinyModel::llama().seed(1);
    let (mut pair, (_, _, text)) = (Pair::of(&model), load(&model));
    let letters = text.encode_text("abc").unwrap();
    let sampling = Sampling {
        // The second letter of each pair depends on the first.
        constraint: Some(Constraint::Lark("start: /(ab|ba|cc){1,400}/".into())),
        ..Sampling::greedy()
    };
    pair.open(1, 10, 512, &sampling);
    let made = pair.generate(1, &some_tokens(10, 1), 80);
    let mut next = made[made.len() - 1];
    for turn in 0..80 {
        let outputs = pair.both(|decoder| decoder.step(&[input(1, &[next], true)]));
        next = outputs.unwrap()[0].token.unwrap();
        if turn % 10 == 8 {
            next = *letters.iter().find(|letter| **letter != next).unwrap();
        }
    }
    let [(guessing, _), (plain, _)] = pair.work();
    assert!(guessing < plain, "{guessing} passes, {plain} without");
}

/// Forms of a vocabulary in which no answer could end: none of them can begin.
fn no_grammars(model: &TinyModel) -> Arc<Grammars> {
    let tokens = load(model).0.vocabulary as usize;
    let endless = model
        .clone()
        .without("tokenizer.ggml.eos_token_id")
        .field("tokenizer.ggml.token_type", Field::Ints(vec![1; tokens]));
    let file = GgufFile::open(&on_disk(&endless).source.path).unwrap();
    Arc::new(Grammars::new(Arc::new(Vocabulary::read(&file).unwrap())))
}

#[test]
fn a_form_that_cannot_begin_again_ends_its_own_sequence() {
    let model = TinyModel::llama().seed(1);
    let letters = load(&model).2.encode_text("abc").unwrap();
    let none = no_grammars(&model);
    let formed = Sampling {
        constraint: Some(Constraint::Lark("start: /(ab|ba|cc){1,400}/".into())),
        ..Sampling::greedy()
    };
    let mut stuck = 0;
    for steps in 40..60 {
        let mut pair = Pair::of(&model);
        pair.open(1, 10, 512, &formed);
        pair.open(2, 10, 512, &Sampling::greedy());
        let made = pair.generate(1, &some_tokens(10, 1), steps);
        let beside = pair.generate(2, &some_tokens(10, 2), 5);
        let other = letters.iter().find(|token| *token != &made[steps - 1]);
        pair.guessing = pair.guessing.with_grammars(Arc::clone(&none));
        let batch = [
            input(1, &[*other.unwrap()], true),
            input(2, &beside[4..], true),
        ];
        let ended = pair.guessing.step(&batch).unwrap();
        let plain = pair.plain.step(&batch).unwrap();
        assert_eq!(ended[1], plain[1], "who speaks beside it");
        // Where nothing was foreseen the form goes on, for it need not begin anew.
        if ended[0] != plain[0] {
            stuck += 1;
            assert_eq!(ended[0].token, None);
            assert!(ended[0].stuck.as_ref().unwrap().contains("ends its turn"));
            // It stays so, and the other goes on.
            let again = [input(1, &letters[..1], true), input(2, &letters[..1], true)];
            let ended = pair.guessing.step(&again).unwrap();
            assert!(ended[0].stuck.is_some() && ended[1].token.is_some());
        }
    }
    assert!(stuck > 0, "nothing was ever foreseen");
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Act {
    /// Each sequence whose bit is set goes on: with what it said last, or with something else.
    Step(u8, Vec<Fed>),
    Logits(u8),
    /// Closed, and opened again with the same plan and tokens.
    Reopen(usize),
    /// Kept, and opened behind a part of what it held.
    Keep(usize, Index),
}

#[derive(Clone, Debug)]
enum Fed {
    Said,
    /// The same without asking for the next.
    Silent,
    Forced(TokenId),
    More(Vec<TokenId>),
}

fn act() -> impl Strategy<Value = Act> {
    let fed = prop_oneof![
        12 => Just(Fed::Said),
        1 => Just(Fed::Silent),
        1 => (3u32..200).prop_map(Fed::Forced),
        1 => prop::collection::vec(3u32..200, 1..12).prop_map(Fed::More),
    ];
    prop_oneof![
        30 => (any::<u8>(), prop::collection::vec(fed, 3)).prop_map(|(who, fed)| Act::Step(who, fed)),
        1 => any::<u8>().prop_map(Act::Logits),
        1 => (0usize..3).prop_map(Act::Reopen),
        1 => (0usize..3, any::<Index>()).prop_map(|(which, at)| Act::Keep(which, at)),
    ]
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let greedy_or_not = prop_oneof![3 => Just(0.0f32), 2 => 0.05f32..1.0, 1 => 1.0f32..2.0];
    let penalties = prop_oneof![2 => Just((1.0f32, 0.0f32, 0.0f32)), 1 => (0.6f32..1.3, -0.5f32..0.5, -0.5f32..0.5)];
    let cuts = prop_oneof![
        Just((0u32, 1.0f32, 0.0f32)),
        (0u32..20, 0.5f32..=1.0, 0.0f32..0.3)
    ];
    let asked = prop_oneof![3 => Just(None), 1 => (0u32..5).prop_map(Some)];
    (any::<u64>(), greedy_or_not, penalties, cuts, asked).prop_map(
        |(
            seed,
            temperature,
            (repetition_penalty, frequency_penalty, presence_penalty),
            cuts,
            logprobs,
        )| Sampling {
            seed,
            temperature,
            repetition_penalty,
            frequency_penalty,
            presence_penalty,
            top_k: cuts.0,
            top_p: cuts.1,
            min_p: cuts.2,
            logprobs,
            ..Sampling::default()
        },
    )
}

/// One sequence as its caller knows it.
struct Told {
    sampling: Sampling,
    prompt: u32,
    capacity: u32,
    held: Vec<TokenId>,
    /// What it said last; before that its prompt.
    next: Vec<TokenId>,
    is_stuck: bool,
}

impl Told {
    fn feed(&self, fed: &Fed) -> (Vec<TokenId>, bool) {
        let (mut tokens, sample) = match fed {
            Fed::Silent => (self.next.clone(), false),
            // A form that has been left leads nowhere; let it be followed.
            Fed::Forced(token) if self.sampling.constraint.is_none() => (vec![*token], true),
            Fed::More(tokens) if self.sampling.constraint.is_none() => (tokens.clone(), true),
            _ => (self.next.clone(), true),
        };
        if tokens.is_empty() {
            tokens.push(9);
        }
        (tokens, sample)
    }

    fn fits(&self, tokens: &[TokenId]) -> bool {
        self.held.len() + tokens.len() <= self.capacity as usize
    }
}

fn step(pair: &mut Pair, all: &mut [Told], who: u8, fed: &[Fed]) {
    let mut batch = Vec::new();
    for (id, told) in all.iter_mut().enumerate() {
        let (tokens, sample) = told.feed(&fed[id]);
        if who >> id & 1 == 1 && told.fits(&tokens) && !told.is_stuck {
            batch.push(input(id as u64, &tokens, sample));
            told.held.extend(tokens);
            told.next.clear();
        }
    }
    let outputs = pair.both(|decoder| decoder.step(&batch)).unwrap();
    for output in outputs {
        let told = &mut all[output.sequence.0 as usize];
        told.next.extend(output.token);
        told.is_stuck |= output.stuck.is_some();
    }
}

fn happen(pair: &mut Pair, all: &mut [Told], act: &Act) {
    match act {
        Act::Step(who, fed) => step(pair, all, *who, fed),
        Act::Logits(who) => {
            let mut batch = Vec::new();
            for (id, told) in all.iter_mut().enumerate() {
                let (tokens, _) = told.feed(&Fed::Said);
                if who >> id & 1 == 1 && told.fits(&tokens) && !told.is_stuck {
                    batch.push(input(id as u64, &tokens, true));
                    told.held.extend(tokens);
                    told.next.clear();
                }
            }
            pair.both(|decoder| {
                let all = decoder.step_logits(&batch).unwrap();
                let all = all.iter().map(|logits| bits(logits.as_ref().unwrap()));
                all.collect::<Vec<_>>()
            });
        }
        Act::Reopen(which) => {
            let (id, told) = (*which as u64, &all[*which]);
            pair.both(|decoder| decoder.close(SequenceId(id)));
            pair.open(id, told.prompt, told.capacity, &told.sampling);
            if !told.held.is_empty() {
                let again = input(id, &told.held, false);
                pair.both(|decoder| decoder.step(std::slice::from_ref(&again)))
                    .unwrap();
            }
        }
        Act::Keep(which, at) => {
            let (id, told) = (SequenceId(*which as u64), &mut all[*which]);
            if told.held.is_empty() {
                return;
            }
            let tokens = at.index(told.held.len()) as u32 + 1;
            let kept = pair.both(|decoder| decoder.keep(id, KEPT, tokens));
            assert_eq!(kept, tokens);
            let plan = plan(told.capacity, told.prompt, told.sampling.clone());
            let prefix = KEPT;
            pair.both(|decoder| decoder.open_from(id, plan.clone(), Beginning { prefix, tokens }))
                .unwrap();
            let next = told.held.split_off(tokens as usize);
            if !next.is_empty() {
                told.next = next;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever happens to three sequences of any plans, nobody outside can tell whether tokens were guessed.
    #[test]
    fn nobody_can_tell(
        seed in 0u64..4,
        samplings in prop::collection::vec(sampling(), 3),
        formed: bool,
        lengths in prop::collection::vec(1u32..90, 3),
        capacities in prop::collection::vec(90u32..400, 3),
        circle in 1u32..30,
        acts in prop::collection::vec(act(), 20..160),
    ) {
        let mut pair = Pair::of(&TinyModel::llama().seed(seed));
        let mut all = Vec::new();
        for (id, mut sampling) in samplings.into_iter().enumerate() {
            if formed && id == 2 {
                sampling.constraint = Some(Constraint::Lark("start: /[a-c]{1,300}/".into()));
            }
            let (prompt, capacity) = (lengths[id], capacities[id]);
            pair.open(id as u64, prompt, capacity, &sampling);
            let next = some_tokens(circle, 3).into_iter().cycle().take(prompt as usize).collect();
            all.push(Told { sampling, prompt, capacity, held: Vec::new(), next, is_stuck: false });
        }
        for act in &acts {
            happen(&mut pair, &mut all, act);
        }
        for id in 0..3 {
            pair.both(|decoder| decoder.close(SequenceId(id)));
        }
        pair.both(|decoder| decoder.forget(KEPT));
        prop_assert_eq!(pair.guessing.kv_bytes().0, 0);
        let [(guessing, _), (plain, _)] = pair.work();
        prop_assert!(guessing <= plain);
    }
}
