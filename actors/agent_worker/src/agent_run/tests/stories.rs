//! Random stories, in which the shell, the tools, the model and the people do what they want and the worker and the process
//! crash whenever they want.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::work::State;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Carry,
    Say,
    Call(u8),
    Finish,
    Fail,
    ToolEnds(u8),
    Answer(u8, bool),
    Wait(u8),
    Crash,
    Die,
    Stop,
    Steer,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        20 => Just(Deed::Carry),
        3 => Just(Deed::Say),
        4 => (0u8..5).prop_map(Deed::Call),
        3 => Just(Deed::Finish),
        1 => Just(Deed::Fail),
        5 => any::<u8>().prop_map(Deed::ToolEnds),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(which, granted)| Deed::Answer(which, granted)),
        1 => any::<u8>().prop_map(Deed::Wait),
        1 => Just(Deed::Crash),
        1 => Just(Deed::Die),
        1 => Just(Deed::Stop),
        3 => Just(Deed::Steer),
    ];
    prop::collection::vec(deed, 0..200)
}

const NAMES: [&str; 5] = ["a", "b", "ro", "idem", "none"];

/// The world around a turn in a random story.
struct World {
    settings: TurnSettings,
    shell: Shell,
    /// Tools that run in this life.
    running: Vec<ToolCallId>,
    /// How often each was started, and which were granted.
    started: BTreeMap<ToolCallId, u32>,
    granted: BTreeSet<ToolCallId>,
    names: BTreeMap<ToolCallId, String>,
    /// Whether the model is answering.
    answering: bool,
    /// What it has said in this answer, and will say again.
    script: String,
    at: usize,
    called: BTreeSet<u32>,
    ends: u32,
    /// What the person said and the turn accepted; how much of it the model was shown with its last call, and how much the
    /// listener heard of that in this process.
    steers: Vec<String>,
    shown: usize,
    told: usize,
}

impl World {
    fn new(settings: TurnSettings) -> Self {
        Self {
            shell: Shell::new(settings.clone()),
            settings,
            running: Vec::new(),
            started: BTreeMap::new(),
            granted: BTreeSet::new(),
            names: BTreeMap::new(),
            answering: false,
            script: String::new(),
            at: 0,
            called: BTreeSet::new(),
            ends: 0,
            steers: Vec::new(),
            shown: 0,
            told: 0,
        }
    }

    fn carry(&mut self) -> bool {
        let order = self.shell.run.order().cloned();
        let stopped = self.ends > 0;
        match &order {
            Some(Order::StartTool(id)) => {
                assert!(!stopped);
                let call = self.shell.run.call(id).cloned().unwrap();
                let twice = assess(&call).idempotent;
                let times = self.started.entry(id.clone()).or_default();
                *times += 1;
                assert!(*times == 1 || twice, "{call:?} started {times} times");
                let rule = self
                    .settings
                    .approvals
                    .of(&call.name, assess(&call).read_only);
                assert!(rule != Approval::Deny && assess(&call).refused.is_none());
                assert!(
                    rule == Approval::Auto || self.granted.contains(id),
                    "{call:?} was not allowed"
                );
                assert!(self.shell.log.iter().any(
                    |step| matches!(step, StepRecord::ToolStarted { call_id, .. } if call_id == id)
                ));
                self.names.insert(id.clone(), call.name);
                self.running.push(id.clone());
                assert!(self.running.len() <= self.settings.limits.tools_at_once);
            }
            Some(Order::CallModel(call)) => {
                assert!(!stopped);
                assert!(call.number <= self.settings.limits.max_turns);
                if self.called.insert(call.number) {
                    self.script.clear();
                }
                self.answering = true;
                self.at = 0;
                let mut owed: VecDeque<&ToolCallId> = VecDeque::new();
                for message in &call.messages {
                    match &message.answers {
                        Some(id) => assert_eq!(owed.pop_front(), Some(id)),
                        None => assert!(owed.is_empty()),
                    }
                    owed.extend(message.tool_calls.iter().map(|call| &call.id));
                }
                assert!(owed.is_empty());
                let users = call.messages.iter().filter(|m| m.role == Role::User);
                // Behind the history's and the turn's own.
                let texts = users.flat_map(|m| m.content.split("\n\n"));
                let shown: Vec<&str> = texts.skip(2).collect();
                assert!(shown.len() >= self.shown);
                self.shown = shown.len();
                assert_eq!(shown, self.steers[..self.shown]);
                assert_eq!(self.told, self.shown, "it is told what the model reads");
            }
            Some(Order::Say(TurnEvent::Steered { number, text })) => {
                let number = *number as usize;
                assert!(number > self.told);
                assert_eq!(&self.steers[number - 1], text);
                self.told = number;
            }
            Some(Order::End(ending)) => {
                self.ends += 1;
                let all = self.shown == self.steers.len();
                assert!(all || !matches!(ending, Ending::Finished { .. }));
            }
            Some(Order::Recall) => self.shell.input(Input::Recalled(Recollection::default())),
            _ => {}
        }
        self.shell.step()
    }

    fn deed(&mut self, deed: Deed) {
        match deed {
            Deed::Carry => {
                self.carry();
            }
            Deed::Say if self.answering => {
                // What was said before is said again, then something new.
                if self.at >= self.script.len() {
                    self.script.push_str("word ");
                }
                let piece = self.script[self.at..].to_owned();
                self.at = self.script.len();
                self.shell.input(text(&piece));
            }
            Deed::Call(which) if self.answering => {
                self.shell
                    .input(Input::Called(call(NAMES[usize::from(which) % NAMES.len()])));
            }
            Deed::Finish if self.answering => {
                if self.at < self.script.len() {
                    self.deed(Deed::Say);
                }
                self.answering = false;
                self.shell.input(finished(1));
            }
            Deed::Fail if self.answering => {
                self.answering = false;
                self.shell.input(Input::Model(GenerationEvent::Failed(
                    GenerationError::Cancelled,
                )));
            }
            Deed::ToolEnds(which) if !self.running.is_empty() => {
                let id = self.running.remove(usize::from(which) % self.running.len());
                let outcome = ok("x");
                self.shell.input(Input::ToolEnded { id, outcome });
            }
            Deed::Answer(which, granted) => {
                let waiting: Vec<ToolCallId> = self
                    .shell
                    .run
                    .works()
                    .iter()
                    .filter(|work| matches!(work.state, State::Waiting { .. }))
                    .map(|work| work.id().clone())
                    .collect();
                if let Some(id) = waiting
                    .get(usize::from(which) % waiting.len().max(1))
                    .cloned()
                {
                    if granted {
                        self.granted.insert(id.clone());
                    }
                    self.shell.input(Input::Answered { id, granted });
                }
            }
            Deed::Wait(seconds) => {
                self.shell.now += Duration::from_secs(seconds.into());
                self.shell.input(Input::Time);
            }
            Deed::Crash => self.crash(),
            // Nobody takes up what has ended.
            Deed::Die if self.ends == 0 => self.die(),
            Deed::Stop => self.shell.input(Input::Stop),
            Deed::Steer => self.steer(),
            _ => {}
        }
    }

    fn die(&mut self) {
        self.lose();
        let log = self.shell.log.clone();
        self.script.clear();
        let steered = |step: &&StepRecord| matches!(step, StepRecord::Steered { .. });
        self.steers.truncate(log.iter().filter(steered).count());
        let told = |step: &StepRecord| match step {
            StepRecord::ModelCalled { steered, .. } => *steered as usize,
            _ => 0,
        };
        // What a finished call was shown is not told again.
        self.told = log.iter().map(told).max().unwrap_or(0);
        self.shown = self.told;
        let beginning = beginning(self.settings.clone());
        self.shell.run = AgentRun::resumed(beginning, &log, assess, self.shell.now);
    }

    fn steer(&mut self) {
        let text = format!("and {}", self.steers.len());
        let told = self.shell.run.steer(text.clone());
        let may = !self.shell.run.is_over()
            && self.called.len() < self.settings.limits.max_turns as usize;
        assert!(told.is_err() || may);
        if let Ok(number) = told {
            self.steers.push(text);
            assert_eq!(number as usize, self.steers.len());
        }
    }

    fn crash(&mut self) {
        self.lose();
        self.shell.run.reborn(self.shell.now);
    }

    fn lose(&mut self) {
        self.running.clear();
        self.answering = false;
        if self.ends > 0 {
            // The report of the end was lost with the worker; the next life ends it again, to the same listener.
            self.ends = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens in whatever order: it ends exactly once, within its limits, no tool runs without permission or
    /// twice, and every result is read behind its call.
    #[test]
    fn every_story_ends_once_within_its_limits(deeds in deeds(), max_turns in 1u32..4, tool_calls in 0u32..8,
                                               rule in 0usize..3, wish in 0usize..3, at_once in 1usize..3) {
        let rules = [Approval::Auto, Approval::Ask, Approval::Deny];
        let mut settings = settings();
        settings.limits = TurnLimits { max_turns, tool_calls, tools_at_once: at_once, ..TurnLimits::default() };
        (settings.approvals.rule, settings.approvals.wish) = (rules[rule], rules[wish]);
        let mut world = World::new(settings);
        for deed in deeds {
            world.deed(deed);
        }
        // Then everybody does what is expected of them.
        for _ in 0..1000 {
            while world.carry() {}
            if world.ends > 0 {
                break;
            }
            world.deed(Deed::ToolEnds(0));
            world.deed(Deed::Answer(0, true));
            world.deed(Deed::Finish);
        }
        prop_assert_eq!(world.ends, 1);
        prop_assert!(world.shell.run.is_over() && world.shell.run.order().is_none());
        prop_assert!(world.called.len() as u32 <= max_turns);
        let begun: BTreeSet<&ToolCallId> = world.started.keys().collect();
        prop_assert!(begun.len() as u32 <= tool_calls);
        let remembered = world.shell.run.messages();
        prop_assert!(remembered.last().is_none_or(|m| m.role != Role::User));
    }
}
