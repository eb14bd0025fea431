//! From what was typed to what a turn is run with: the command line's own defaults, checked by field.

use domain::{FieldError, Sampling};

use crate::args::Choices;

/// What small instruct models are told to use (SmolLM2's model card). The seed is fixed unless one is chosen, so the
/// same question still gets the same answer; without any chance a model of this size goes in circles.
const TEMPERATURE: f32 = 0.2;

/// Sampling at a temperature, with the limits that suit it. At zero only the penalty keeps a small model from
/// repeating itself.
fn at(temperature: f32) -> Sampling {
    if temperature == 0.0 {
        return Sampling {
            repetition_penalty: 1.1,
            ..Sampling::greedy()
        };
    }
    Sampling {
        temperature,
        ..Sampling::default()
    }
}

/// The sampling that was asked for.
///
/// # Errors
/// The first field out of its range.
pub(crate) fn sampling(choices: &Choices) -> Result<Sampling, FieldError> {
    let mut sampling = if choices.greedy {
        Sampling::greedy()
    } else {
        at(choices.temperature.unwrap_or(TEMPERATURE))
    };
    let set = |field: &mut f32, value: Option<f32>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut sampling.top_p, choices.top_p);
    set(&mut sampling.min_p, choices.min_p);
    set(&mut sampling.repetition_penalty, choices.repetition_penalty);
    sampling.top_k = choices.top_k.unwrap_or(sampling.top_k);
    sampling.seed = choices.seed.unwrap_or(sampling.seed);
    sampling.max_tokens = choices.max_tokens.unwrap_or(sampling.max_tokens);
    sampling.stop.clone_from(&choices.stop);
    sampling.validate()?;
    Ok(sampling)
}

/// `sampling` with another temperature, as `/temperature` sets it.
///
/// # Errors
/// A temperature out of its range.
pub(crate) fn with_temperature(
    sampling: &Sampling,
    temperature: f32,
) -> Result<Sampling, FieldError> {
    let changed = Sampling {
        seed: sampling.seed,
        max_tokens: sampling.max_tokens,
        stop: sampling.stop.clone(),
        ..at(temperature)
    };
    changed.validate()?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_same_each_time_and_does_not_go_in_circles() {
        let chosen = sampling(&Choices::default()).unwrap();
        assert_eq!((chosen.temperature, chosen.seed), (0.2, 0));
        let zero = Choices {
            temperature: Some(0.0),
            ..Choices::default()
        };
        let chosen = sampling(&zero).unwrap();
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
        assert_eq!(sampling(&choices), Ok(expected));
        let greedy = Choices {
            greedy: true,
            ..Choices::default()
        };
        assert_eq!(sampling(&greedy), Ok(Sampling::greedy()));
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
            assert_eq!(sampling(&choices).map_err(|e| e.field), Err(field));
        }
    }

    #[test]
    fn a_new_temperature_keeps_what_was_chosen_beside_it() {
        let before = Sampling {
            seed: 3,
            max_tokens: 9,
            ..Sampling::default()
        };
        let after = with_temperature(&before, 0.0).unwrap();
        assert_eq!(
            (after.temperature, after.seed, after.max_tokens),
            (0.0, 3, 9)
        );
        assert!(with_temperature(&before, 2.5).is_err());
    }
}
