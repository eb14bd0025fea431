//! The page as a person has it before them: what stands there, what is written and pressed.

use serde_json::{Value, json};

use super::driver::Driver;

const ENTER: &str = "\u{E007}";

/// So long a person would wait for what must come, in milliseconds: the real model on a busy machine.
const PATIENCE_MS: u32 = 90_000;

/// What is there before the page's own script: a name, and who writes down what the page's policy forbade and how an
/// answer grew.
const BEFORE: &str = r"
    localStorage.setItem('paraphym.name', NAME);
    window.forbidden = [];
    window.grown = [];
    window.states = [];
    addEventListener('securitypolicyviolation', (e) => forbidden.push(`${e.violatedDirective}: ${e.blockedURI}`));
    addEventListener('DOMContentLoaded', () => new MutationObserver(() => {
        const live = document.querySelector('#live .live .plain')?.textContent;
        if (live && grown.at(-1) !== live) grown.push(live);
        const state = document.querySelector('#status-words').textContent;
        if (states.at(-1) !== state) states.push(state);
    }).observe(document.body, { subtree: true, childList: true, characterData: true }));
";

/// One message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// An answer, and not what a person said.
    pub(super) agent: bool,
    /// As it was said, before it was rendered.
    pub(super) text: String,
    /// As it stands there.
    pub(super) shown: String,
    /// What stands below: how it ended.
    pub(super) foot: String,
}

impl Message {
    /// What of it is written down: how an answer ended is told to those who are there.
    pub(super) fn kept(&self) -> (bool, &str, &str) {
        (self.agent, &self.text, &self.shown)
    }
}

/// The same of all.
pub(super) fn kept(messages: &[Message]) -> Vec<(bool, &str, &str)> {
    messages.iter().map(Message::kept).collect()
}

pub(super) struct Page {
    pub(super) driver: Driver,
}

impl Page {
    /// Opens that conversation of the server at that address under a name.
    pub(super) fn open(address: &str, conversation: &str, name: &str) -> Self {
        Self::sized(address, conversation, name, (1280, 800))
    }

    pub(super) fn sized(address: &str, conversation: &str, name: &str, size: (u32, u32)) -> Self {
        let driver = Driver::start(size.0, size.1);
        let before = BEFORE.replace("NAME", &json!(name).to_string());
        driver.devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            &json!({"source": before}),
        );
        let page = Self { driver };
        let url = format!("http://{address}/#c={conversation}");
        page.driver.post("url", &json!({"url": url}));
        page.until("/^Connected/.test(document.querySelector('#status-words').textContent)");
        page
    }

    /// Waits in the page until the expression is true; its value.
    #[track_caller]
    pub(super) fn until(&self, expression: &str) -> Value {
        let body = format!(
            "const end = Date.now() + {PATIENCE_MS};
             const look = () => {{
               let value;
               try {{ value = ({expression}); }} catch {{ value = null; }}
               if (value) done(value);
               else if (Date.now() > end) done(null);
               else setTimeout(look, 10);
             }};
             look();"
        );
        let value = self.driver.awaited(&body);
        assert!(
            !value.is_null(),
            "never: {expression}\nstates: {}\nbody: {}\nconsole: {:?}",
            self.driver.value("window.states"),
            self.driver.value("document.body.innerText"),
            self.driver.console(),
        );
        value
    }

    /// Writes it, and sends it with Enter.
    #[track_caller]
    pub(super) fn say(&self, text: &str) {
        self.driver.keys("#text", &format!("{text}{ENTER}"));
    }

    /// Waits until so many characters of an answer stand there.
    #[track_caller]
    pub(super) fn streams(&self, characters: usize) {
        self.until(&format!(
            "document.querySelector('#live .live .plain')?.textContent.length >= {characters}"
        ));
    }

    /// Waits until so many messages are complete, and nothing is on its way; these.
    #[track_caller]
    pub(super) fn complete(&self, messages: usize) -> Vec<Message> {
        self.until(&format!(
            "document.querySelectorAll('#log article').length === {messages}
             && !document.querySelector('#live article') && !document.querySelector('#pending article')"
        ));
        self.log()
    }

    /// What is complete.
    pub(super) fn log(&self) -> Vec<Message> {
        let log = self.driver.value(
            "[...document.querySelectorAll('#log article')].map((one) => [
                one.classList.contains('agent'), one.said.text, one.children[1].innerText, one.children[2].innerText])",
        );
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let messages = log.as_array().unwrap().iter();
        messages
            .map(|one| Message {
                agent: one[0].as_bool().unwrap(),
                text: text(&one[1]),
                shown: text(&one[2]),
                foot: text(&one[3]),
            })
            .collect()
    }

    /// Who types, as it says.
    pub(super) fn typing(&self) -> String {
        let line = "document.querySelector('#typing').textContent";
        self.driver.value(line).as_str().unwrap().to_owned()
    }

    /// How the answers grew, from one look of the page to the next.
    pub(super) fn grown(&self) -> Vec<String> {
        serde_json::from_value(self.driver.value("window.grown")).unwrap()
    }

    /// What the status line said, one after the other.
    pub(super) fn states(&self) -> Vec<String> {
        serde_json::from_value(self.driver.value("window.states")).unwrap()
    }

    /// Nothing went wrong in the browser, and its page wanted nothing that its policy forbids.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        self.assert_clean_but(|_| false);
    }

    /// The same, where the console may say what is expected.
    #[track_caller]
    pub(super) fn assert_clean_but(&self, expected: impl Fn(&str) -> bool) {
        assert_eq!(self.driver.value("window.forbidden"), json!([]));
        let said = self.driver.console().into_iter();
        let wrong: Vec<_> = said
            .filter(|(level, line)| level == "SEVERE" && !expected(line))
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
