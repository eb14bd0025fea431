//! The web page: a table of the files of `page/`, compiled in, and how browsers get them. No name leads to the disk.
//!
//! Nothing here waits. The page itself says nothing, so nobody needs a token for it; what it shows comes over `/ws`, and that
//! asks for one.

use std::hash::{DefaultHasher, Hasher};

use axum::body::Bytes;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::http::Refused;

/// Where the page is.
pub(crate) const ROOT: &str = "/";
/// Where its parts are, as axum reads it.
pub(crate) const PART: &str = "/page/{file}";
/// What their paths begin with.
const PARTS: &str = "/page/";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file of the page.
struct Part {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! parts {
    ($($name:literal: $kind:expr),* $(,)?) => {
        [$(Part { name: $name, kind: $kind, bytes: include_bytes!(concat!("../page/", $name)) }),*]
    };
}

const INDEX: Part = Part {
    name: "index.html",
    kind: HTML,
    bytes: include_bytes!("../page/index.html"),
};

/// All but the page itself.
const ALL: [Part; 20] = parts! {
    "desk.js": SCRIPT,
    "dialogs.js": SCRIPT,
    "dom.js": SCRIPT,
    "main.js": SCRIPT,
    "panels.js": SCRIPT,
    "policy.js": SCRIPT,
    "prefs.js": SCRIPT,
    "room.js": SCRIPT,
    "socket.js": SCRIPT,
    "style.css": STYLE,
    "tree.js": SCRIPT,
    "typing.js": SCRIPT,
    "view_chat.js": SCRIPT,
    "view_composer.js": SCRIPT,
    "view_list.js": SCRIPT,
    "view_message.js": SCRIPT,
    "view_status.js": SCRIPT,
    "view_tree.js": SCRIPT,
    "wire.js": SCRIPT,
    "words.js": SCRIPT,
};

/// Nothing from elsewhere, nothing within the page's own text; `'self'` of `connect-src` is the own `/ws`, too.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/// What goes with every file.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    // A browser may keep it, and asks each time whether it is still the one: a new server has a new page.
    (CACHE_CONTROL, "no-cache"),
];

/// Whether the path is the page's, or would be one of its parts.
pub(crate) fn is_part(path: &str) -> bool {
    path == ROOT || path.starts_with(PARTS)
}

pub(crate) async fn root(headers: HeaderMap) -> Response {
    answer(&INDEX, &headers)
}

pub(crate) async fn part(uri: Uri, headers: HeaderMap) -> Result<Response, Refused> {
    let file = uri.path().strip_prefix(PARTS);
    let found = ALL.iter().find(|part| Some(part.name) == file);
    found
        .map(|part| answer(part, &headers))
        .ok_or_else(|| ApiError::no_such_path(uri.path()).into())
}

fn answer(part: &Part, asked: &HeaderMap) -> Response {
    let tag = tag(part.bytes);
    let known = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| names(value, &tag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = [(CONTENT_TYPE, part.kind)];
        (kind, Bytes::from_static(part.bytes)).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The same for the same bytes, and for no others of this page: a hash of 64 bits and the length.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}-{:x}\"", hasher.finish(), bytes.len())
}

/// Whether a header that lists tags has this one (RFC 9110, 13.1.2: a weak one will do).
fn names(listed: &str, tag: &str) -> bool {
    let mut each = listed.split(',').map(str::trim);
    each.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_table_and_no_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let files = std::fs::read_dir(folder).unwrap();
        let files: BTreeSet<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let table = ALL.iter().chain([&INDEX]).map(|part| part.name.to_owned());
        assert_eq!(files, table.collect());
    }

    #[test]
    fn each_kind_is_that_of_the_name() {
        for part in ALL.iter().chain([&INDEX]) {
            let kind = match part.name.rsplit_once('.').unwrap().1 {
                "html" => HTML,
                "js" => SCRIPT,
                "css" => STYLE,
                other => unreachable!("{other}"),
            };
            assert_eq!(part.kind, kind, "{}", part.name);
        }
    }

    #[test]
    fn tags_differ_and_are_found_in_what_a_browser_lists() {
        let tags: BTreeSet<String> = ALL.iter().map(|part| tag(part.bytes)).collect();
        assert_eq!(tags.len(), ALL.len());
        for (listed, known) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\" , W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(names(listed, "\"a\""), known, "{listed}");
        }
    }
}
