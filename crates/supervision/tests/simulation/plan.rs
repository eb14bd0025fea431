//! A random tree, as data: to be printed when it fails, and to be made into specs.

use std::fmt::{self, Write as _};
use std::time::Duration;

use supervision::{AutoShutdown, Backoff, ChildSpec, Restart, Shutdown, Strategy};

use crate::dice::Dice;
use crate::ms;

#[derive(Clone, Debug)]
pub enum Role {
    Actor { capacity: usize },
    Task,
    Supervisor(Group),
}

/// What a supervisor is told about its children.
#[derive(Clone, Debug)]
pub struct Group {
    pub strategy: Strategy,
    pub auto_shutdown: AutoShutdown,
    pub max_restarts: u32,
    pub period: Duration,
    pub children: Vec<Seat>,
}

/// One place in the tree.
#[derive(Clone, Debug)]
pub struct Seat {
    pub path: String,
    pub role: Role,
    pub restart: Restart,
    pub shutdown: Shutdown,
    pub backoff: Backoff,
    pub start_timeout: Option<Duration>,
    pub significant: bool,
}

impl Seat {
    pub fn id(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub fn adjust(&self, spec: ChildSpec) -> ChildSpec {
        let mut spec = spec
            .restart(self.restart)
            .shutdown(self.shutdown)
            .backoff(self.backoff);
        if let Some(limit) = self.start_timeout {
            spec = spec.start_timeout(limit);
        }
        if self.significant {
            spec.significant()
        } else {
            spec
        }
    }
}

pub fn root(dice: &mut Dice) -> Group {
    group(dice, "root", 0)
}

const STRATEGIES: [Strategy; 4] = [
    Strategy::OneForOne,
    Strategy::OneForAll,
    Strategy::RestForOne,
    Strategy::SimpleOneForOne,
];

fn group(dice: &mut Dice, path: &str, depth: u64) -> Group {
    // A root that has only a template is a tree of nothing.
    let strategy = dice.pick(if depth == 0 {
        &STRATEGIES[..3]
    } else {
        &STRATEGIES
    });
    let auto = [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];
    let auto_shutdown = if depth > 0 && dice.percent(25) {
        dice.pick(&auto)
    } else {
        AutoShutdown::Never
    };
    let patience = if depth == 0 { 3 } else { 0 };
    let size = if strategy == Strategy::SimpleOneForOne {
        0
    } else {
        1 + dice.below(4)
    };
    let children = (0..size)
        .map(|n| {
            let nested = depth < 2 && dice.percent(if depth == 0 { 45 } else { 25 });
            let name = if nested {
                format!("{path}/s{n}")
            } else {
                format!("{path}/w{n}")
            };
            let role = if nested {
                Role::Supervisor(group(dice, &name, depth + 1))
            } else if dice.percent(25) {
                Role::Task
            } else {
                Role::Actor {
                    capacity: dice.pick(&[1, 2, 8]),
                }
            };
            seat(dice, name, role, auto_shutdown)
        })
        .collect();
    Group {
        strategy,
        auto_shutdown,
        max_restarts: patience + dice.below(4) as u32,
        period: dice.pick(&[ms(200), ms(1000), ms(5000)]),
        children,
    }
}

/// A place of that role with everything else drawn.
pub fn seat(dice: &mut Dice, path: String, role: Role, auto: AutoShutdown) -> Seat {
    let restart = dice.pick(&[
        Restart::Permanent,
        Restart::Permanent,
        Restart::Permanent,
        Restart::Transient,
        Restart::Temporary,
    ]);
    let nested = matches!(role, Role::Supervisor(_));
    let hard = [
        Shutdown::BrutalKill,
        Shutdown::Timeout(ms(50)),
        Shutdown::Timeout(ms(700)),
    ];
    let patient = if nested { 70 } else { 10 };
    Seat {
        path,
        role,
        restart,
        shutdown: if dice.percent(patient) {
            Shutdown::Infinity
        } else {
            dice.pick(&hard)
        },
        backoff: dice.pick(&[
            Backoff::none(),
            Backoff::none(),
            Backoff {
                base: ms(20),
                cap: ms(400),
                healthy_after: ms(900),
            },
            Backoff::default(),
        ]),
        start_timeout: dice.percent(40).then(|| dice.pick(&[ms(100), ms(1000)])),
        significant: auto != AutoShutdown::Never
            && restart != Restart::Permanent
            && dice.percent(60),
    }
}

/// The tree, one line for each place, for the reader of a failure.
pub fn describe(told: &mut String, path: &str, group: &Group, depth: usize) -> fmt::Result {
    let Group {
        strategy,
        auto_shutdown,
        max_restarts,
        period,
        ..
    } = group;
    let pad = "  ".repeat(depth);
    writeln!(
        told,
        "{pad}{path}: {strategy:?}, {auto_shutdown:?}, {max_restarts} in {period:?}"
    )?;
    for seat in &group.children {
        let kind = match &seat.role {
            Role::Actor { capacity } => format!("actor of {capacity}"),
            Role::Task => "task".to_owned(),
            Role::Supervisor(_) => "supervisor".to_owned(),
        };
        let (path, restart, shutdown) = (&seat.path, seat.restart, seat.shutdown);
        let (base, limit) = (seat.backoff.base, seat.start_timeout);
        write!(told, "{pad}  {path}: {kind}, {restart:?}, {shutdown:?}, ")?;
        write!(told, "rests from {base:?}, starts within {limit:?}")?;
        writeln!(
            told,
            "{}",
            if seat.significant {
                ", significant"
            } else {
                ""
            }
        )?;
        if let Role::Supervisor(group) = &seat.role {
            describe(told, path, group, depth + 2)?;
        }
    }
    Ok(())
}
