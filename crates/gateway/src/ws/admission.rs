//! Who somebody is by their first frame: a page in a browser cannot send a header with an upgrade. Pure.

use std::sync::Arc;

use bearer::{Grant, Grants};
use connection::Refused;
use domain::UserId;

/// Whoever has a token is its owner; without one, where none is needed, they are who they say, or a guest. Their token comes
/// with it.
///
/// # Errors
/// A token is needed, and there is none, or none that is valid. Which it is stays unsaid.
pub(crate) fn admit(
    grants: &Grants,
    needs_token: bool,
    token: Option<&str>,
    user: Option<&str>,
    guest: impl FnOnce() -> String,
) -> Result<(UserId, Option<Arc<Grant>>), Refused> {
    let grant = token.and_then(|token| grants.find(token.trim()));
    match (grant, user) {
        (Some(grant), _) => Ok((UserId::new(owner(grant)), Some(Arc::clone(grant)))),
        (None, _) if needs_token => Err(Refused(
            "a valid token is needed, as identify.token: `paraphym token new` makes one where this server runs"
                .to_owned(),
        )),
        // The decoder has looked at the name. A token that says nothing here is not looked at, as on the other paths.
        (None, user) => Ok((user.map_or_else(|| UserId::new(guest()), UserId::new), None)),
    }
}

/// Its name; one that has none is called by its id.
fn owner(grant: &Grant) -> &str {
    grant.name.as_deref().unwrap_or(&grant.id)
}

#[cfg(test)]
mod tests {
    use bearer::{Secret, Terms};

    use super::*;

    #[test]
    fn a_token_says_who_somebody_is_and_a_name_only_where_none_is_needed() {
        let (ann, nameless, wrong) = (
            Secret::of([1; 32]),
            Secret::of([2; 32]),
            Secret::of([3; 32]),
        );
        let mut grants = Grants::default();
        let name = Some("ann".to_owned());
        grants.add(&ann, name, Terms::default(), 0).unwrap();
        let id = grants.add(&nameless, None, Terms::default(), 0).unwrap();
        let id = id.id.to_string();
        let [ann, nameless, wrong] = [&ann, &nameless, &wrong].map(|secret| Some(secret.reveal()));
        for (needs, token, user, expected) in [
            (true, ann, None, Some(("ann", true))),
            (true, ann, Some("bob"), Some(("ann", true))),
            (true, nameless, Some("bob"), Some((id.as_str(), true))),
            (true, None, Some("ann"), None),
            (true, wrong, Some("ann"), None),
            (true, Some(""), None, None),
            (false, ann, Some("bob"), Some(("ann", true))),
            (false, wrong, Some("bob"), Some(("bob", false))),
            (false, None, Some("bob"), Some(("bob", false))),
            (false, None, None, Some(("guest-7", false))),
        ] {
            let admitted = admit(&grants, needs, token, user, || "guest-7".to_owned());
            let found = admitted.as_ref().ok();
            let found = found.map(|(user, grant)| (user.as_str(), grant.is_some()));
            assert_eq!(found, expected, "{needs} {user:?}");
            if let Err(Refused(why)) = admitted {
                assert!(why.contains("paraphym token new"), "{why}");
            }
        }
    }
}
