//! Why: "it does not work here" has a few usual causes, and each can be looked up. The report is data; whoever shows
//! it chooses the words around it.

use domain::{Bytes, ModelName};
use engine::{Device, ModelCard};
use memory_governor::{LedgerStatus, Level};
use runtime::{Census, Role, Runtime};

use crate::Paraphym;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `runtime`, `threads`, `memory`, `model`, `processor`, `libraries`.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty when nothing is to be done.
    pub advice: String,
}

impl Check {
    fn ok(name: &'static str, found: String) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            found,
            advice: String::new(),
        }
    }

    fn bad(name: &'static str, verdict: Verdict, found: String, advice: &str) -> Self {
        Self {
            name,
            verdict,
            found,
            advice: advice.to_owned(),
        }
    }
}

/// Everything that was looked at, in display order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorReport {
    /// The checks.
    pub checks: Vec<Check>,
}

impl DoctorReport {
    /// The worst verdict.
    pub fn verdict(&self) -> Verdict {
        self.checks
            .iter()
            .map(|c| c.verdict)
            .max()
            .unwrap_or(Verdict::Ok)
    }
}

/// Looks at everything. The model is read up to its header only.
pub(crate) async fn examine(host: &Paraphym) -> DoctorReport {
    let memory = match host.memory().await {
        Ok(status) => memory(&status),
        Err(error) => Check::bad(
            "memory",
            Verdict::Fail,
            error.to_string(),
            "start again; if it stays, run with --log debug",
        ),
    };
    let model = model(host).await;
    let checks = vec![
        runtime(host.runtime()),
        threads(&host.runtime().census(), host.runtime().workers()),
        libraries(host.runtime()),
        memory,
        model,
        processor(),
    ];
    DoctorReport { checks }
}

fn runtime(runtime: &Runtime) -> Check {
    let whose = if runtime.is_owned() {
        "own"
    } else {
        "the app's"
    };
    Check::ok(
        "runtime",
        format!("one tokio runtime ({whose}), {} workers", runtime.workers()),
    )
}

fn threads(census: &Census, workers: usize) -> Check {
    let counts: Vec<String> = Role::ALL
        .into_iter()
        .filter(|role| census.count(*role) > 0)
        .map(|role| format!("{} {}", census.count(role), role.as_str()))
        .collect();
    let found = format!("{} in all: {}", census.threads.len(), counts.join(", "));
    let foreign: Vec<&str> = census
        .threads
        .iter()
        .filter(|t| t.role == Role::Foreign)
        .map(|t| t.name.as_str())
        .collect();
    if !foreign.is_empty() {
        let found = format!("{found} (foreign: {})", foreign.join(", "));
        return Check::bad(
            "threads",
            Verdict::Fail,
            found,
            "report it: a library started a thread of its own",
        );
    }
    let ours = census.threads.len() - census.count(Role::Host);
    let most = runtime::threads_max(workers);
    if ours > most {
        return Check::bad(
            "threads",
            Verdict::Warn,
            found,
            &format!("more than {most}: report what was running"),
        );
    }
    Check::ok("threads", found)
}

fn libraries(runtime: &Runtime) -> Check {
    let confinement = runtime.confinement();
    if confinement.is_complete() {
        return Check::ok(
            "libraries",
            "candle, rayon and tokenizers stay on our threads".to_owned(),
        );
    }
    let mut found: Vec<String> = confinement
        .overridden
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    found.extend(
        confinement
            .missing
            .iter()
            .map(|name| format!("{name} is not set")),
    );
    Check::bad(
        "libraries",
        Verdict::Warn,
        found.join(", "),
        "call `confine` first in `main`, and set these variables to nothing else: libraries may start threads",
    )
}

fn memory(status: &LedgerStatus) -> Check {
    let show = |bytes: Option<Bytes>| bytes.map_or_else(|| "none".to_owned(), |b| b.to_string());
    let found = format!(
        "budget {} ({} leased, {} available); pressure {} ({}, noticed by {}); host {}, cgroup {}, configured {}",
        status.limit,
        status.leased,
        status.available,
        status.pressure,
        status.standing.as_str(),
        status.looks.as_str(),
        show(status.host),
        show(status.cgroup),
        show(status.configured),
    );
    if status.limit < Bytes::mib(256) {
        return Check::bad(
            "memory",
            Verdict::Warn,
            found,
            "the smallest model needs about 256 MiB: raise the limit",
        );
    }
    if status.pressure.level >= Level::High {
        return Check::bad(
            "memory",
            Verdict::Warn,
            found,
            "close what takes memory, or give this process more: models and caches are let go, and requests refused",
        );
    }
    Check::ok("memory", found)
}

async fn model(host: &Paraphym) -> Check {
    let name: &ModelName = host.default_model();
    match host.inspect(name).await {
        Ok((path, card)) => Check::ok(
            "model",
            format!(
                "{name}: {} ({}, {}, {}), window {} tokens, weights {}, computed by {}",
                path.display(),
                card.name,
                card.architecture,
                card.quantisation,
                card.context_tokens,
                card.weights_bytes,
                device(&card),
            ),
        ),
        Err(reason) => Check::bad(
            "model",
            Verdict::Warn,
            format!("{name}: {reason}"),
            "run `paraphym model pull`, name a GGUF with --model PATH, or take what it says is supported",
        ),
    }
}

/// What computes it, and how much of it lies there.
fn device(card: &ModelCard) -> String {
    match card.device {
        Device::Cpu => card.device.to_string(),
        Device::Cuda | Device::Metal => format!("{} ({} there)", card.device, card.device_bytes),
    }
}

#[cfg(target_arch = "x86_64")]
fn processor() -> Check {
    let has = [
        (
            "avx2",
            std::arch::is_x86_feature_detected!("avx2"),
            cfg!(target_feature = "avx2"),
        ),
        (
            "fma",
            std::arch::is_x86_feature_detected!("fma"),
            cfg!(target_feature = "fma"),
        ),
        (
            "f16c",
            std::arch::is_x86_feature_detected!("f16c"),
            cfg!(target_feature = "f16c"),
        ),
        (
            "avx512f",
            std::arch::is_x86_feature_detected!("avx512f"),
            cfg!(target_feature = "avx512f"),
        ),
        (
            "avx512vnni",
            std::arch::is_x86_feature_detected!("avx512vnni"),
            cfg!(target_feature = "avx512vnni"),
        ),
    ];
    let list = |pick: fn(&(&str, bool, bool)) -> bool| {
        has.iter()
            .filter(|f| pick(f))
            .map(|f| f.0)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (present, built) = (list(|f| f.1), list(|f| f.2));
    let found = format!("has {present}; built for {built}");
    if present == built {
        return Check::ok("processor", found);
    }
    Check::bad(
        "processor",
        Verdict::Warn,
        found,
        "build from source on this machine: the kernels are chosen then",
    )
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Check {
    Check::ok("processor", std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use memory_governor::pressure::{Pressure, Share, Source};

    use super::*;

    fn ledger(limit: Bytes, level: Level) -> LedgerStatus {
        LedgerStatus {
            limit,
            leased: Bytes::mib(96),
            available: limit.saturating_sub(Bytes::mib(96)),
            over: Bytes::ZERO,
            host: Some(Bytes::mib(4096)),
            cgroup: Some(Bytes::mib(1024)),
            configured: None,
            pressure: Pressure {
                level,
                share: Share(875),
                source: Source::Cgroup,
            },
            leases: Vec::new(),
            waiters: Vec::new(),
            standing: memory_governor::Standing::Calm,
            looks: memory_governor::Looks::Psi,
            poll: memory_governor::DEFAULT_POLL,
            targets: Vec::new(),
        }
    }

    #[test]
    fn memory_is_said_with_its_pressure_and_where_that_comes_from() {
        for (limit, level, verdict) in [
            (Bytes::mib(896), Level::Normal, Verdict::Ok),
            (Bytes::mib(896), Level::High, Verdict::Warn),
            (Bytes::mib(896), Level::Critical, Verdict::Warn),
            (Bytes::mib(255), Level::Low, Verdict::Warn),
        ] {
            let check = memory(&ledger(limit, level));
            assert_eq!(check.verdict, verdict, "{}", check.found);
            assert_eq!(check.advice.is_empty(), verdict == Verdict::Ok);
        }
        let found = memory(&ledger(Bytes::mib(896), Level::Normal)).found;
        assert_eq!(
            found,
            "budget 896.0 MiB (96.0 MiB leased, 800.0 MiB available); \
             pressure normal: 87.5% of the cgroup's limit is in use (calm, noticed by psi); \
             host 4.0 GiB, cgroup 1.0 GiB, configured none"
        );
    }
}
