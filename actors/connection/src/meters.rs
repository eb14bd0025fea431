//! What connections count, under the names telemetry gives.

use metrics::{counter, gauge};
use telemetry::names::{REALTIME_CLOSES, REALTIME_CONNECTIONS, REALTIME_MERGED, REALTIME_RESUMES};

use crate::session::{Over, State};
use crate::wire::CloseCode;

/// A session that is over is none.
pub(crate) fn turned(from: Option<State>, to: Option<State>) {
    let counted = |state: Option<State>| state.filter(|state| !state.is_over());
    if let Some(from) = counted(from) {
        gauge!(REALTIME_CONNECTIONS, "state" => from.label()).decrement(1.0);
    }
    if let Some(to) = counted(to) {
        gauge!(REALTIME_CONNECTIONS, "state" => to.label()).increment(1.0);
    }
}

/// Counts a close with this code. Whoever carries frames counts what it says by itself; all else is counted here.
pub fn closed(code: CloseCode) {
    counter!(REALTIME_CLOSES, "reason" => code.label()).increment(1);
}

pub(crate) fn resumed() {
    counter!(REALTIME_RESUMES, "outcome" => "resumed").increment(1);
}

pub(crate) fn over(over: Over) {
    if over == Over::NotResumable {
        not_resumable();
    }
}

pub(crate) fn not_resumable() {
    counter!(REALTIME_RESUMES, "outcome" => "not_resumable").increment(1);
}

pub(crate) fn merged(frames: u64) {
    if frames > 0 {
        counter!(REALTIME_MERGED).increment(frames);
    }
}
