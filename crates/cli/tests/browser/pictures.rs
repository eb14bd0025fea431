//! The page as it looks, for the documents: at a desk, in the dark, on a phone, and the tree after a crash. Whether nothing
//! sticks out at the side is looked at every time; the pictures are written when they are asked for.

use std::path::Path;

use serde_json::json;

use super::driver::Driver;
use super::page::Page;
use crate::common::Home;
use crate::server::Server;

/// No picture is larger, in bytes.
const LARGEST: usize = 150_000;

#[test]
fn a_real_browser_shows_an_answer_of_the_real_model_in_light_dark_and_phone_width() {
    let home = Home::new().with("PARAPHYM_MAX_TOKENS", "90");
    let server = Server::real(home, &["--allow-chaos"]);
    let page = Page::open(&server.address, "tips", "Ann");
    let other = Page::open(&server.address, "tips", "Ben");
    page.say("Give me three tips for staying healthy.");
    other.complete(2);
    page.complete(2);
    // The list hears of it a moment later.
    page.until(
        "(() => {
           const line = document.querySelector('#list-items [aria-current]');
           return line.querySelector('.title').textContent.startsWith('Give me three tips')
             && line.querySelector('.meta').textContent.endsWith('2 messages');
         })()",
    );
    other.driver.keys("#text", "And one for");
    page.until("document.querySelector('#typing').textContent === 'Ben is typing…'");
    taken(&page.driver, "page_light");

    colours(&page.driver, "dark");
    page.until("matchMedia('(prefers-color-scheme: dark)').matches");
    taken(&page.driver, "page_dark");

    colours(&page.driver, "light");
    server.say(&["kill", "cache_janitor"]);
    page.until("document.querySelector('.node.flash')");
    taken(&page.driver, "page_tree");

    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true});
    page.driver
        .devtools("Emulation.setDeviceMetricsOverride", &phone);
    page.until("innerWidth === 390");
    taken(&page.driver, "page_phone");
    page.assert_clean();
    server.end();
}

fn colours(driver: &Driver, scheme: &str) {
    let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
    driver.devtools("Emulation.setEmulatedMedia", &json!({"features": features}));
}

/// Nothing sticks out at the side; the picture lies in `docs/img` if it was asked for.
#[track_caller]
fn taken(driver: &Driver, name: &str) {
    let wide = driver.value("[document.documentElement.scrollWidth, innerWidth]");
    assert!(wide[0].as_u64() <= wide[1].as_u64(), "{name}: {wide}");
    let picture = driver.screenshot();
    assert!(picture.len() < LARGEST, "{name}: {} bytes", picture.len());
    assert_eq!(&picture[1..4], b"PNG", "{name}");
    if std::env::var_os("PARAPHYM_WRITE_DOCS").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/img");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name).with_extension("png"), picture).unwrap();
    }
}
