//! Who a request is from, by its `Authorization` header. A refusal never says which part of it was wrong.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use bearer::{Grant, Grants};

/// The token that a request came with, if it is valid.
pub(crate) fn bearer_of<'a>(headers: &HeaderMap, grants: &'a Grants) -> Option<&'a Arc<Grant>> {
    let mut all = headers.get_all(AUTHORIZATION).into_iter();
    // Of two, which one counts would be a guess.
    let (one, None) = (all.next()?, all.next()) else {
        return None;
    };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    grants.find(token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use bearer::{Secret, Terms};

    use super::*;

    #[test]
    fn one_header_with_one_valid_token_is_somebody() {
        let (secret, mut grants) = (Secret::of([7; 32]), Grants::default());
        grants.add(&secret, None, Terms::default(), 0).unwrap();
        let token = secret.reveal();
        let wrong = Secret::of([8; 32]);
        for (values, known) in [
            (vec![format!("Bearer {token}")], true),
            (vec![format!("bearer  {token} ")], true),
            (vec![], false),
            (vec![String::new()], false),
            (vec!["Bearer".to_owned()], false),
            (vec!["Bearer ".to_owned()], false),
            (vec![token.to_owned()], false),
            (vec![format!("Basic {token}")], false),
            (vec![format!("Bearer {}", wrong.reveal())], false),
            (vec![format!("Bearer {token}x")], false),
            (
                vec![format!("Bearer {token}"), format!("Bearer {token}")],
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(bearer_of(&headers, &grants).is_some(), known, "{values:?}");
        }
        let mut headers = HeaderMap::new();
        let odd = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
        headers.insert(AUTHORIZATION, odd);
        assert_eq!(bearer_of(&headers, &grants), None);
    }
}
