//! A page in a browser on this machine can reach loopback, too, and must not be able to speak to us. A page that made
//! its own name lead here (DNS rebinding) is known by the `Host` it names; one that posts a form is known by its
//! `Origin`, and by its content type: a page may send anything but JSON to a foreign server without asking first.
//!
//! Where no token is needed, everything but `/healthz` is behind this. Nothing here waits.

use std::net::IpAddr;

use axum::http::header::{AsHeaderName, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use crate::error::ApiError;

/// Whether this request may come from where it says: this machine, or a page of one of `origins`.
///
/// # Errors
/// 403, naming the header.
pub(crate) fn admit(uri: &Uri, headers: &HeaderMap, origins: &[String]) -> Result<(), ApiError> {
    // Of an absolute address the authority counts, of a header each occurrence.
    let mut hosts = texts(headers, HOST).chain(uri.authority().map(Authority::as_str));
    let named = headers.contains_key(HOST);
    if !named || !hosts.all(is_loopback_host) {
        return Err(ApiError::foreign("Host", "localhost"));
    }
    let known =
        |origin: &str| is_loopback_origin(origin) || origins.iter().any(|one| one == origin);
    if !texts(headers, ORIGIN).all(known) {
        return Err(ApiError::foreign("Origin", "http://localhost"));
    }
    Ok(())
}

/// Whether an upgrade comes from a page of this server, or of one of `origins`, where `*` is any; from no page it may come. By
/// whichever name this server was reached: off this machine there is no list of them.
///
/// # Errors
/// 403.
pub(crate) fn admit_upgrade(headers: &HeaderMap, origins: &[String]) -> Result<(), ApiError> {
    let mut hosts = texts(headers, HOST);
    // Of two, which one counts would be a guess.
    let host = hosts.next().filter(|_| hosts.next().is_none());
    let known = |origin: &str| {
        let page = origin.split_once("://").map(|(_, host)| host);
        let same = page
            .zip(host)
            .is_some_and(|(page, host)| page.eq_ignore_ascii_case(host));
        same || origins.iter().any(|one| one == origin || one == "*")
    };
    if texts(headers, ORIGIN).all(known) {
        return Ok(());
    }
    Err(ApiError::foreign_page())
}

/// Whether the body says that it is JSON.
///
/// # Errors
/// 415.
pub(crate) fn must_be_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut kinds = texts(headers, CONTENT_TYPE);
    let essence = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    };
    if kinds.next().is_some_and(essence) && kinds.all(essence) {
        return Ok(());
    }
    Err(ApiError::not_json())
}

/// All values of a header; one that is no text is the empty one, which nobody accepts.
fn texts(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.map(|value| value.to_str().unwrap_or_default())
}

/// `localhost`, 127.0.0.0/8 or `[::1]`, with any port or none.
fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are inside its brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let bracketed = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: Option<IpAddr> = match bracketed {
        Some(v6) => v6.parse().ok().filter(IpAddr::is_ipv6),
        None => name.parse().ok().filter(IpAddr::is_ipv4),
    };
    name.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.to_canonical().is_loopback())
}

fn is_loopback_origin(origin: &str) -> bool {
    let host = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    host.is_some_and(is_loopback_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for (host, loopback) in [
            ("localhost", true),
            ("LocalHost:7007", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("[::1]", true),
            ("[::1]:65535", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("", false),
            (":80", false),
            ("::1", false),
            ("[::1", false),
            ("[127.0.0.1]", false),
            ("[::2]", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("localhost:", false),
            ("localhost:65536", false),
            ("localhost:80:80", false),
            ("localhost.example", false),
            ("x.localhost", false),
            ("127.0.0.1.example", false),
            ("user@localhost", false),
            ("localhost,evil.example", false),
        ] {
            assert_eq!(is_loopback_host(host), loopback, "{host:?}");
            let origin = format!("http://{host}");
            assert_eq!(is_loopback_origin(&origin), loopback, "{origin}");
        }
        for origin in ["localhost", "null", "file://localhost", "https://a.example"] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }

    #[test]
    fn an_absolute_address_must_be_ours_as_well() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, axum::http::HeaderValue::from_static("localhost"));
        for (uri, admitted) in [
            ("/metrics", true),
            ("http://127.0.0.1:1/metrics", true),
            ("http://evil.example/metrics", false),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(admit(&uri, &headers, &[]).is_ok(), admitted, "{uri}");
        }
    }

    #[test]
    fn an_upgrade_comes_from_the_own_page_a_named_one_or_none() {
        let named = ["https://app.example".to_owned()];
        let any = ["*".to_owned()];
        for (hosts, origin, origins, admitted) in [
            (
                vec!["chat.example:7007"],
                Some("http://chat.example:7007"),
                &[][..],
                true,
            ),
            (
                vec!["Chat.example"],
                Some("https://chat.example"),
                &[],
                true,
            ),
            (vec!["chat.example"], None, &[], true),
            (
                vec!["chat.example"],
                Some("https://evil.example"),
                &[],
                false,
            ),
            (
                vec!["chat.example"],
                Some("https://chat.example:444"),
                &[],
                false,
            ),
            (vec!["chat.example"], Some("null"), &[], false),
            (vec!["chat.example"], Some(""), &[], false),
            (vec!["chat.example"], Some("chat.example"), &[], false),
            (vec![], Some("http://chat.example"), &[], false),
            (
                vec!["chat.example", "evil.example"],
                Some("http://evil.example"),
                &[],
                false,
            ),
            (
                vec!["chat.example"],
                Some("https://app.example"),
                &named,
                true,
            ),
            (
                vec!["chat.example"],
                Some("http://app.example"),
                &named,
                false,
            ),
            (
                vec!["chat.example"],
                Some("https://evil.example"),
                &any,
                true,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for host in &hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            let found = admit_upgrade(&headers, origins);
            assert_eq!(found.is_ok(), admitted, "{hosts:?} {origin:?}");
        }
    }

    #[test]
    fn pages_that_were_named_may_ask_and_any_stands_for_none() {
        let origins = ["https://app.example".to_owned(), "*".to_owned()];
        let uri = Uri::from_static("/v1/models");
        for (origin, admitted) in [
            ("https://app.example", true),
            ("http://localhost:1", true),
            ("http://app.example", false),
            ("https://app.example:444", false),
            ("https://app.example.evil", false),
            ("null", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, axum::http::HeaderValue::from_static("localhost"));
            headers.insert(ORIGIN, origin.parse().unwrap());
            let found = admit(&uri, &headers, &origins).is_ok();
            assert_eq!(found, admitted, "{origin}");
        }
    }
}
