//! Everything that is needed, looked at and said in words or JSON.

use anstyle::AnsiColor;
use domain::{Bytes, ModelName};
use model_store::Verdict as FileVerdict;
use paraphym_candle::{Check, DoctorReport, Verdict, kept_copies, packed_copies};
use serde_json::{Value, json};

use crate::args::Doctor;
use crate::failure::Failure;
use crate::model::verdict_words;
use crate::stage::{Kept, Stage};

/// Looks at everything; fails if something does.
pub(crate) async fn run(stage: &mut Stage, args: &Doctor) -> Result<(), Failure> {
    let model = stage.named(args.model.as_ref());
    let builder = stage.builder(&model, Kept::Nothing);
    let host = builder.without_servers_of_settings().start().await?;
    let report = stage.unless_signalled(host.doctor()).await;
    let report = match report {
        Ok(mut report) => {
            report.checks.extend(checksum(stage, &model).await);
            report.checks.extend(copies(stage).await);
            Ok(report)
        }
        Err(signal) => Err(signal),
    };
    stage.drain(&host, None).await;
    let report = report?;
    if args.json {
        stage.out.json(&as_json(&report)).await?;
    } else {
        let text = as_text(&report, &|verdict| word(stage, verdict));
        stage.out.text(&text).await?;
    }
    if report.verdict() == Verdict::Fail {
        return Err(Failure::failed(
            "something does not work",
            "do what stands beside it, then look again",
        ));
    }
    Ok(())
}

/// The model's file compared with what it should be; nothing where there is none.
async fn checksum(stage: &mut Stage, model: &ModelName) -> Option<Check> {
    let store = stage.store().ok()?;
    store.resolve(model).ok()?;
    let verdict = stage.unless_signalled(store.verify(model)).await.ok()?;
    let (found, verdict, advice) = match &verdict {
        Ok(found @ FileVerdict::Damaged { .. }) => (
            verdict_words(found),
            Verdict::Fail,
            format!("run `paraphym model rm {model}`, then `paraphym model pull {model}`"),
        ),
        Ok(found) => (verdict_words(found), Verdict::Ok, String::new()),
        Err(error) => (error.to_string(), Verdict::Fail, error.hint()),
    };
    Some(Check {
        name: "checksum",
        verdict,
        found,
        advice,
    })
}

/// What is kept of models so that they are loaded sooner; nothing where none is wanted and there is none.
async fn copies(stage: &mut Stage) -> Option<Check> {
    let settings = stage.first();
    let kept = kept_copies(&settings)?;
    let wanted = packed_copies(&settings).is_some();
    let looked = tokio::task::spawn_blocking(move || {
        let tried = if wanted { kept.try_out() } else { Ok(()) };
        (kept.folder().display().to_string(), kept.total(), tried)
    });
    let (folder, (count, bytes), tried) = stage.unless_signalled(looked).await.ok()?.ok()?;
    if !wanted && count == 0 {
        return None;
    }
    let there = format!("{count} of models, {}, in {folder}", Bytes(bytes));
    let (found, verdict, advice) = match tried {
        Ok(()) if wanted => (there, Verdict::Ok, ""),
        Ok(()) => (
            format!("{there}, and none is wanted"),
            Verdict::Ok,
            "what is there may be deleted",
        ),
        Err(why) if why.is_usual() => {
            (format!("{there}; no more are made: {why}"), Verdict::Ok, "")
        }
        Err(why) => (
            format!("{there}; no more are made: {why}"),
            Verdict::Warn,
            "name another folder, --set model.copies_dir=DIR, or want none, --set model.packed_copies=false",
        ),
    };
    Some(Check {
        name: "copies",
        verdict,
        found,
        advice: advice.to_owned(),
    })
}

fn word(stage: &Stage, verdict: Verdict) -> String {
    let colour = match verdict {
        Verdict::Ok => AnsiColor::Green,
        Verdict::Warn => AnsiColor::Yellow,
        Verdict::Fail => AnsiColor::Red,
    };
    // Padded before it is coloured, so that columns stay aligned.
    stage
        .out
        .coloured(colour, &format!("{:4}", verdict.as_str()))
}

/// One line a check; what to do stands below.
fn as_text(report: &DoctorReport, word: &dyn Fn(Verdict) -> String) -> String {
    let width = report
        .checks
        .iter()
        .map(|c| c.name.len())
        .max()
        .unwrap_or_default();
    let lines = report.checks.iter().map(|check| {
        let advice = if check.advice.is_empty() {
            String::new()
        } else {
            format!("{:indent$}-> {}\n", "", check.advice, indent = width + 8)
        };
        format!(
            "{}  {:width$}  {}\n{advice}",
            word(check.verdict),
            check.name,
            check.found
        )
    });
    lines.collect()
}

fn as_json(report: &DoctorReport) -> Value {
    let checks: Vec<Value> = report
        .checks
        .iter()
        .map(|c| {
            json!({"name": c.name, "verdict": c.verdict.as_str(), "found": c.found, "advice": c.advice})
        })
        .collect();
    json!({"verdict": report.verdict().as_str(), "checks": checks})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DoctorReport {
        let check = |name, verdict, found: &str, advice: &str| Check {
            name,
            verdict,
            found: found.into(),
            advice: advice.into(),
        };
        DoctorReport {
            checks: vec![
                check("runtime", Verdict::Ok, "one", ""),
                check("model", Verdict::Warn, "none", "pull it"),
            ],
        }
    }

    #[test]
    fn a_report_is_lines_with_advice_below() {
        let text = as_text(&report(), &|v| format!("{:4}", v.as_str()));
        let expected = "ok    runtime  one\nwarn  model    none\n               -> pull it\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_report_is_json() {
        let value = as_json(&report());
        assert_eq!(value["verdict"], "warn");
        assert_eq!(value["checks"][1]["advice"], "pull it");
    }
}
