//! Character in words: what the sections chat, personality and behaviour come to as the instructions a model is given.
//!
//! What is as it is by default is not said, so that a model without settings hears nothing.

use crate::settings::{Expertise, Flow, FollowUp, Settings, Tone, Verbosity};

/// A share up to this is told as little of it.
const LITTLE: f64 = 0.2;
/// A share from this on is told as much of it.
const MUCH: f64 = 0.8;

/// The standing instructions of these settings; none if there is nothing to say.
pub fn instructions(settings: &Settings) -> Option<String> {
    let (personality, behaviour) = (&settings.personality, &settings.behaviour);
    let style = [
        tone(personality.tone),
        expertise(personality.expertise),
        verbosity(personality.verbosity),
        share(
            personality.creativity,
            "Stay with what is known and usual.",
            "Be inventive.",
        ),
        share(
            personality.formality,
            "Write as people talk.",
            "Write with all formality.",
        ),
        share(personality.humour, "Make no jokes.", "Be humorous."),
        share(
            personality.empathy,
            "Keep to the matter.",
            "Show that you understand how the user feels.",
        ),
        share(
            behaviour.proactivity,
            "Answer what was asked and bring up nothing else.",
            "Bring up what may help, also unasked.",
        ),
        share(
            behaviour.question_frequency,
            "Do not ask questions back.",
            "Ask back whenever something is unclear.",
        ),
        flow(behaviour.flow),
        follow_up(behaviour.follow_up),
    ];
    let mut style = style.join(" ");
    if !personality.traits.is_empty() {
        style = format!("{style} Your traits: {}.", personality.traits.join(", "));
    }
    let style: Vec<&str> = style.split_whitespace().collect();
    let texts = [
        settings.chat.system.clone().unwrap_or_default(),
        style.join(" "),
        personality.custom_instructions.clone().unwrap_or_default(),
    ];
    let texts: Vec<&str> = texts
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

fn share(share: f64, little: &'static str, much: &'static str) -> &'static str {
    if share <= LITTLE {
        little
    } else if share >= MUCH {
        much
    } else {
        ""
    }
}

const fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Formal => "Use a formal tone.",
        Tone::Casual => "Use a casual tone.",
        Tone::Friendly => "Use a friendly tone.",
        Tone::Professional => "Use a professional tone.",
        Tone::Neutral => "",
    }
}

const fn expertise(expertise: Expertise) -> &'static str {
    match expertise {
        Expertise::Beginner => "Explain everything: the user is a beginner.",
        Expertise::Intermediate => "",
        Expertise::Advanced => "The user knows the subject well.",
        Expertise::Expert => "The user is an expert: leave out what experts know.",
    }
}

const fn verbosity(verbosity: Verbosity) -> &'static str {
    match verbosity {
        Verbosity::Concise => "Answer as briefly as possible.",
        Verbosity::Balanced => "",
        Verbosity::Detailed => "Answer in detail.",
    }
}

const fn flow(flow: Flow) -> &'static str {
    match flow {
        Flow::Natural => "",
        Flow::Structured => "Answer point by point.",
        Flow::Adaptive => "Lead the conversation as the user does.",
        Flow::Guided => "Lead the user through the conversation step by step.",
    }
}

const fn follow_up(follow_up: FollowUp) -> &'static str {
    match follow_up {
        FollowUp::Contextual => "",
        FollowUp::Consistent => "End each answer with what could come next.",
        FollowUp::Adaptive => "Suggest what could come next if the user likes that.",
        FollowUp::Minimal => "Do not suggest what could come next.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::check::check;
    use crate::refusal::Origin;

    fn said(values: &[(&str, serde_json::Value)]) -> Option<String> {
        let given = values.iter().map(|(path, value)| {
            let origin = Origin::Flag((*path).to_owned());
            ((*path).to_owned(), (value.clone(), origin))
        });
        let settings = check(&Catalogue::new(), &given.collect()).unwrap();
        instructions(&settings)
    }

    #[test]
    fn defaults_say_nothing_and_everything_else_is_said() {
        assert_eq!(said(&[]), None);
        let all = said(&[
            ("chat.system", "You are Ada.".into()),
            ("personality.tone", "casual".into()),
            ("personality.humour", 0.2.into()),
            ("personality.traits", serde_json::json!(["calm", "exact"])),
            ("personality.custom_instructions", " Say du. ".into()),
            ("behaviour.follow_up", "minimal".into()),
        ]);
        assert_eq!(
            all.unwrap(),
            "You are Ada.\n\nUse a casual tone. Make no jokes. Do not suggest what could come next. Your traits: calm, \
             exact.\n\nSay du."
        );
    }

    /// So that none of these settings is a decoration: each value but the default says something of its own.
    #[test]
    fn each_setting_of_character_is_heard() {
        let catalogue = Catalogue::new();
        let mut heard = std::collections::BTreeSet::new();
        let sections = ["personality", "behaviour"];
        for path in sections.iter().flat_map(|name| catalogue.in_section(name)) {
            let entry = catalogue.get(path).unwrap();
            let values: Vec<serde_json::Value> =
                if let Some(words) = entry.allowed.strip_prefix("one of ") {
                    words.split(", ").map(Into::into).collect()
                } else if entry.default.is_number() {
                    vec![0.into(), 1.into()]
                } else if entry.default.is_array() {
                    vec![serde_json::json!(["calm"])]
                } else {
                    vec!["Say du.".into()]
                };
            for value in values.into_iter().filter(|value| *value != entry.default) {
                let said = said(&[(path, value.clone())]);
                let said = said.unwrap_or_else(|| panic!("{path} = {value} says nothing"));
                assert!(
                    heard.insert(said),
                    "{path} = {value} says what another says"
                );
            }
        }
        assert!(heard.len() > 20, "{heard:?}");
    }
}
