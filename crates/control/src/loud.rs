//! What is logged louder or quieter for a while, and when that is over. Pure; it outlives the lives of control.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Which lines: those of one target, or all others.
pub(crate) type Target = Option<&'static str>;

/// What is overridden for a time.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    until: BTreeMap<Target, Instant>,
}

impl Overrides {
    /// This target is overridden until then; without a time it is no longer this one's business.
    pub(crate) fn set(&mut self, target: Target, until: Option<Instant>) {
        match until {
            Some(until) => drop(self.until.insert(target, until)),
            None => drop(self.until.remove(&target)),
        }
    }

    /// When the next one is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.until.values().min().copied()
    }

    /// Those that are over; they are forgotten.
    pub(crate) fn over(&mut self, now: Instant) -> Vec<Target> {
        let over = self.until.extract_if(.., |_, until| *until <= now);
        over.map(|(target, _)| target).collect()
    }
}

/// Whose lines an actor's are: a line of the log knows the code it was written by. `None` for an actor that this program's
/// tree does not have.
pub(crate) fn target(path: &str) -> Option<&'static str> {
    let mut names = path.split('/');
    let child = names.nth(1).unwrap_or_default();
    let target = match child {
        "" => "paraphym_supervision",
        "chat_config" => "paraphym_chat_config",
        "memory_governor" => "paraphym_memory_governor",
        "cache_janitor" => "paraphym_cache_janitor",
        "conversation_store" => "paraphym_conversation_store",
        "lane_supervisor" | "embedding_lane" | "model_host" => "paraphym_model_host",
        "mcp_supervisor" => "paraphym_mcp_client",
        "agent_supervisor" | "conversation_shelf" => "paraphym_agent_worker",
        "settings_applier" | "telemetry" | "model_listing" => "paraphym_candle",
        "gateway" => "paraphym_gateway",
        "control" => "paraphym_control",
        _ => return None,
    };
    Some(target)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_over_in_its_time_and_once() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut overrides = Overrides::default();
        assert_eq!(overrides.deadline(), None);
        overrides.set(Some("a"), Some(after(5)));
        overrides.set(None, Some(after(3)));
        overrides.set(Some("b"), Some(after(4)));
        overrides.set(Some("b"), None);
        assert_eq!(overrides.deadline(), Some(after(3)));
        assert_eq!(overrides.over(after(2)), []);
        assert_eq!(overrides.over(after(3)), [None]);
        overrides.set(Some("a"), Some(after(9)));
        assert_eq!(overrides.over(after(8)), []);
        assert_eq!(overrides.over(after(9)), [Some("a")]);
        assert_eq!(overrides.deadline(), None);
    }

    #[test]
    fn an_actors_lines_are_its_codes() {
        for (path, expected) in [
            ("root", Some("paraphym_supervision")),
            ("root/model_host", Some("paraphym_model_host")),
            ("root/lane_supervisor/lane-x", Some("paraphym_model_host")),
            (
                "root/agent_supervisor/agent_worker-a",
                Some("paraphym_agent_worker"),
            ),
            ("root/somebody", None),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
