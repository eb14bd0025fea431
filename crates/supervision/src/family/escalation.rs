//! What the end of one child leads to: a restart, a quiet end, or the end of its supervisor. Tables from OTP, without
//! state.

use crate::exit::{DownReason, Exit};
use crate::policy::{AutoShutdown, Kind, Restart};

/// What follows an end that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again, if the intensity allows.
    Restart,
    /// It takes no more messages.
    Retire(DownReason),
}

/// OTP's table of restart types: permanent always, transient after an abnormal end, temporary never.
pub(super) fn verdict(restart: Restart, kind: Kind, exit: &Exit) -> Verdict {
    let again = match restart {
        Restart::Permanent => true,
        Restart::Transient => !exit.is_normal(),
        Restart::Temporary => false,
    };
    if again {
        return Verdict::Restart;
    }
    Verdict::Retire(why_down(exit, kind))
}

/// What those are told who wait for a child that has ended by itself and for good.
pub(super) fn why_down(exit: &Exit, kind: Kind) -> DownReason {
    match exit {
        Exit::StartFailed(_) => DownReason::StartFailed(start_failure(exit, kind)),
        exit if exit.is_normal() => DownReason::Finished,
        other => DownReason::Crashed(other.to_string()),
    }
}

/// Whether the end of a child, by itself and for good, ends its supervisor too. `others`: whether another significant
/// child is still to be expected.
pub(super) fn shuts_down(
    auto_shutdown: AutoShutdown,
    significant: bool,
    others: impl FnOnce() -> bool,
) -> bool {
    significant
        && match auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !others(),
        }
}

/// A worker's reason without its path, which the event and the error carry themselves; a supervisor's names the child.
pub(super) fn start_failure(exit: &Exit, kind: Kind) -> String {
    match exit {
        Exit::StartFailed(failure) if kind == Kind::Worker => failure.reason.clone(),
        Exit::Normal => "it ended before it was ready".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ChildId, ChildPath};

    #[test]
    fn which_ends_are_answered_by_a_restart() {
        let crash = || Exit::Crashed("boom".to_owned());
        let auto = || Exit::AutoShutdown(ChildPath::root(&ChildId::new("s/c")));
        let finished = Verdict::Retire(DownReason::Finished);
        let crashed = Verdict::Retire(DownReason::Crashed("boom".to_owned()));
        let killed = Verdict::Retire(DownReason::Crashed("was killed".to_owned()));
        let table = [
            (Restart::Permanent, Exit::Normal, Verdict::Restart),
            (Restart::Permanent, auto(), Verdict::Restart),
            (Restart::Permanent, crash(), Verdict::Restart),
            (Restart::Transient, Exit::Normal, finished.clone()),
            (Restart::Transient, auto(), finished.clone()),
            (Restart::Transient, crash(), Verdict::Restart),
            (Restart::Transient, Exit::Killed, Verdict::Restart),
            (Restart::Transient, Exit::Aborted, Verdict::Restart),
            (Restart::Temporary, Exit::Normal, finished),
            (Restart::Temporary, crash(), crashed),
            (Restart::Temporary, Exit::Killed, killed),
        ];
        for (restart, exit, expected) in table {
            let got = verdict(restart, Kind::Worker, &exit);
            assert_eq!(got, expected, "{restart:?} after {exit:?}");
        }
    }

    #[test]
    fn which_ends_of_significant_children_end_the_supervisor() {
        use AutoShutdown::{AllSignificant, AnySignificant, Never};
        let table = [
            (Never, true, false, false),
            (AnySignificant, false, false, false),
            (AnySignificant, true, true, true),
            (AllSignificant, true, true, false),
            (AllSignificant, true, false, true),
            (AllSignificant, false, false, false),
        ];
        for (auto, significant, others, expected) in table {
            let got = shuts_down(auto, significant, || others);
            assert_eq!(
                got, expected,
                "{auto:?}, significant {significant}, others {others}"
            );
        }
    }
}
