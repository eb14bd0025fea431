//! What the scripted model's tokens mean, and how a test reads in its prompt what was asked.

use domain::{Constraint, Message, Tools};
use engine::{Pieces, TextCodec, TextError, TokenId, ToolSyntax};

use super::{Answer, BYTE, Control, END, NUMBER, NUMBERS, WORD};

pub(super) struct ScriptedText {
    words: Vec<String>,
    numbers: Vec<String>,
    bytes: Vec<u8>,
    control: Control,
}

impl ScriptedText {
    pub(super) fn new(answer: &Answer, control: Control) -> Self {
        Self {
            words: answer.words(),
            numbers: (0..NUMBERS).map(|n| format!("{n} ")).collect(),
            bytes: (0..=u8::MAX).collect(),
            control,
        }
    }

    fn encode_piece(&self, text: &str, known: &mut dyn Pieces, tokens: &mut Vec<TokenId>) {
        if known.look(text, tokens) {
            return;
        }
        self.control.count(|counts| counts.pieces += 1);
        let made: Vec<TokenId> = bytes(text).collect();
        known.keep(text, &made);
        tokens.extend(made);
    }
}

fn bytes(text: &str) -> impl Iterator<Item = TokenId> {
    text.bytes().map(|b| BYTE + u32::from(b))
}

impl TextCodec for ScriptedText {
    /// One token per byte of "role: content\n", with "calls name arguments\n" behind a message that calls, and
    /// "tools: name name\n" before all if there are any to be called; each message is a piece, and so are the tools. A
    /// message that says "refuse me" is refused, as a template would.
    fn encode_chat_with(
        &self,
        messages: &[Message],
        tools: &Tools,
        known: &mut dyn Pieces,
    ) -> Result<Vec<TokenId>, TextError> {
        tracing::debug!("a scripted encoding");
        if messages.iter().any(|m| m.content == "refuse me") {
            return Err(TextError::Template("it was told to refuse".to_owned()));
        }
        self.control.count(|counts| counts.encoded += 1);
        let mut tokens = Vec::new();
        if tools.is_usable() {
            let names: Vec<&str> = tools.specs.iter().map(|s| s.name.as_str()).collect();
            let shown = format!("tools: {}\n", names.join(" "));
            self.encode_piece(&shown, known, &mut tokens);
        }
        for message in messages {
            let mut text = String::new();
            text.extend([message.role.as_str(), ": ", &message.content, "\n"]);
            for call in &message.tool_calls {
                text.extend(["calls ", &call.name, " ", &call.arguments, "\n"]);
            }
            self.encode_piece(&text, known, &mut tokens);
        }
        Ok(tokens)
    }

    fn tool_syntax(&self) -> ToolSyntax {
        ToolSyntax::Tagged
    }

    /// A script keeps to no form; one that says "refuse me" is refused, as a bad schema would.
    fn check(&self, constraint: &Constraint) -> Result<(), TextError> {
        match constraint {
            Constraint::JsonSchema(text) | Constraint::Lark(text) if text.contains("refuse me") => {
                Err(TextError::Constraint("it was told to refuse".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        self.control.count(|counts| counts.encoded += 1);
        Ok(bytes(text).collect())
    }

    fn bytes_of(&self, token: TokenId) -> &[u8] {
        let at = |from: TokenId| token.checked_sub(from).map(|i| i as usize);
        let number = at(NUMBER).and_then(|i| self.numbers.get(i));
        let word = at(WORD).and_then(|i| self.words.get(i));
        if let Some(text) = number.or(word) {
            return text.as_bytes();
        }
        at(BYTE)
            .and_then(|i| self.bytes.get(i..=i))
            .unwrap_or_default()
    }

    fn ends_turn(&self, token: TokenId) -> bool {
        token == END
    }
}
