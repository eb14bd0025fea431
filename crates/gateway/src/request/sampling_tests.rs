//! Sampling by table: what is said is heard, what is not said stays, and what is refused is named as it was written.

use super::*;

fn read(fields: &str) -> Result<Sampling, ApiError> {
    let defaults = Sampling {
        seed: 77,
        presence_penalty: 0.5,
        ..Sampling::default()
    };
    sampling(&Fields::of_body(fields.as_bytes())?, defaults)
}

#[test]
fn what_is_not_said_stays() {
    let said = read(r#"{"frequency_penalty":-2,"stop":[]}"#).unwrap();
    let expected = Sampling {
        seed: 77,
        presence_penalty: 0.5,
        frequency_penalty: -2.0,
        ..Sampling::default()
    };
    assert_eq!(said, expected);
    let nulls = r#"{"frequency_penalty":-2,"presence_penalty":null,"max_completion_tokens":null}"#;
    assert_eq!(read(nulls), Ok(expected));
    let said = read(r#"{"presence_penalty":2}"#).unwrap();
    assert!((said.presence_penalty - 2.0).abs() < f32::EPSILON);
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    for (fields, message) in [
        (
            r#"{"presence_penalty":2.5}"#,
            "presence_penalty = 2.5 is not accepted: use a number from -2 to 2",
        ),
        (
            r#"{"frequency_penalty":-2.01}"#,
            "frequency_penalty = -2.01 is not accepted: use a number from -2 to 2",
        ),
        (
            r#"{"frequency_penalty":"1"}"#,
            "frequency_penalty = 1 is not accepted: use a number",
        ),
        (
            r#"{"top_p":1.5}"#,
            "top_p = 1.5 is not accepted: use a number above 0, at most 1",
        ),
        (
            r#"{"stop":["a",""]}"#,
            "stop = \"\" is not accepted: use texts that are not empty",
        ),
    ] {
        let error = read(fields).expect_err(fields);
        assert_eq!((error.status, error.message.as_str()), (400, message));
        assert_eq!(
            error.param.as_deref(),
            message.split(' ').next(),
            "{fields}"
        );
    }
}
