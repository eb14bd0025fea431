//! From what was typed to what a turn is run with: on top of the settings, checked by field.

use domain::{FieldError, ModelName, Sampling};
use paraphym_candle::{NoAgent, Paraphym, TurnSettings};

use crate::args::Choices;

/// The sampling that was asked for, on top of what the settings say.
///
/// # Errors
/// The first field out of its range.
pub(crate) fn sampling(usual: &Sampling, choices: &Choices) -> Result<Sampling, FieldError> {
    let mut sampling = usual.clone();
    if choices.greedy {
        sampling = Sampling {
            seed: usual.seed,
            max_tokens: usual.max_tokens,
            stop: usual.stop.clone(),
            ..Sampling::greedy()
        };
    }
    let set = |field: &mut f32, value: Option<f32>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut sampling.temperature, choices.temperature);
    set(&mut sampling.top_p, choices.top_p);
    set(&mut sampling.min_p, choices.min_p);
    set(&mut sampling.repetition_penalty, choices.repetition_penalty);
    sampling.top_k = choices.top_k.unwrap_or(sampling.top_k);
    sampling.seed = choices.seed.unwrap_or(sampling.seed);
    sampling.max_tokens = choices.max_tokens.unwrap_or(sampling.max_tokens);
    if !choices.stop.is_empty() {
        sampling.stop.clone_from(&choices.stop);
    }
    sampling.validate()?;
    Ok(sampling)
}

/// What a turn of the chosen agent is run with, where nothing else was chosen.
///
/// # Errors
/// No such agent.
pub(crate) fn usual(host: &Paraphym, choices: &Choices) -> Result<TurnSettings, NoAgent> {
    match &choices.agent {
        Some(agent) => host.agent_settings(agent),
        None => Ok(host.turn_settings()),
    }
}

/// What was chosen, on top of that.
///
/// # Errors
/// The first field out of its range.
pub(crate) fn turn(
    usual: TurnSettings,
    choices: &Choices,
    model: ModelName,
) -> Result<TurnSettings, FieldError> {
    Ok(TurnSettings {
        model,
        system: choices.system.clone().or(usual.system),
        sampling: sampling(&usual.sampling, choices)?,
        ..usual
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(choices: &Choices) -> Result<Sampling, FieldError> {
        sampling(&Sampling::default(), choices)
    }

    #[test]
    fn the_default_is_the_same_each_time_and_does_not_go_in_circles() {
        let chosen = usual(&Choices::default()).unwrap();
        assert_eq!((chosen.temperature, chosen.seed), (0.2, 0));
        let zero = Choices {
            temperature: Some(0.0),
            ..Choices::default()
        };
        let chosen = usual(&zero).unwrap();
        assert_eq!((chosen.temperature, chosen.repetition_penalty), (0.0, 1.1));
    }

    #[test]
    fn choices_are_taken_over() {
        let choices = Choices {
            temperature: Some(0.9),
            top_k: Some(5),
            top_p: Some(0.5),
            min_p: Some(0.2),
            repetition_penalty: Some(1.3),
            seed: Some(11),
            max_tokens: Some(7),
            stop: vec!["x".into()],
            ..Choices::default()
        };
        let expected = Sampling {
            temperature: 0.9,
            top_k: 5,
            top_p: 0.5,
            min_p: 0.2,
            repetition_penalty: 1.3,
            seed: 11,
            max_tokens: 7,
            stop: vec!["x".into()],
            ..Sampling::default()
        };
        assert_eq!(usual(&choices), Ok(expected));
        let greedy = Choices {
            greedy: true,
            ..Choices::default()
        };
        assert_eq!(usual(&greedy), Ok(Sampling::greedy()));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_field() {
        type Spoil = fn(&mut Choices);
        let cases: [(&str, Spoil); 6] = [
            ("temperature", |c| c.temperature = Some(5.0)),
            ("temperature", |c| c.temperature = Some(f32::NAN)),
            ("top_p", |c| c.top_p = Some(0.0)),
            ("repetition_penalty", |c| c.repetition_penalty = Some(9.0)),
            ("max_tokens", |c| c.max_tokens = Some(0)),
            ("stop", |c| c.stop = vec![String::new()]),
        ];
        for (field, spoil) in cases {
            let mut choices = Choices::default();
            spoil(&mut choices);
            assert_eq!(usual(&choices).map_err(|e| e.field), Err(field));
        }
    }

    #[test]
    fn what_is_not_chosen_is_as_the_settings_say() {
        let usual = Sampling {
            temperature: 1.5,
            seed: 3,
            max_tokens: 9,
            stop: vec!["x".into()],
            ..Sampling::default()
        };
        assert_eq!(sampling(&usual, &Choices::default()), Ok(usual.clone()));
        let greedy = Choices {
            greedy: true,
            ..Choices::default()
        };
        let chosen = sampling(&usual, &greedy).unwrap();
        assert_eq!(
            (chosen.temperature, chosen.seed, chosen.max_tokens),
            (0.0, 3, 9)
        );
    }
}
