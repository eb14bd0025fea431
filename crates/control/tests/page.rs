//! The page is made from the wire types; this is where, and where it is noticed that it was not.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

#[test]
fn the_page_is_what_is_spoken() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/control.md");
    let made = paraphym_control::protocol::page::page();
    if std::env::var_os("PARAPHYM_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/protocol/control.md is not what the code says; `cargo xtask docs` writes it anew"
    );
}
