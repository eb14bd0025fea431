//! Why: a rule about code must not stumble over comments, strings or tests. Here a file becomes tokens that know their
//! line and whether they belong to a test.
//!
//! Tokens and not a syntax tree, because macro bodies (`select!`, `json!`) are code too and no parser looks into them.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, LexError, TokenStream, TokenTree};

/// A word, a literal, a lifetime, a delimiter, or punctuation. Of the latter only `::` is more than one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
    /// Inside a `#[cfg(test)]` item or a `#[test]` function.
    pub(crate) test: bool,
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// From its `fn` to its last brace.
    pub(crate) lines: RangeInclusive<usize>,
    pub(crate) test: bool,
}

/// What stands between `#[` and `]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) line: usize,
    pub(crate) words: Vec<String>,
}

/// A file as the rules see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub(crate) tokens: Vec<Token>,
    pub(crate) functions: Vec<Function>,
    pub(crate) attributes: Vec<Attribute>,
    /// The lines of the outermost items that exist only for tests.
    pub(crate) test_items: Vec<RangeInclusive<usize>>,
}

impl Code {
    /// Splits `text` into tokens.
    ///
    /// # Errors
    /// The line, from 1, and the reason where `text` has unbalanced delimiters or an unknown character.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, LexError)> {
        let stream: TokenStream = text
            .parse()
            .map_err(|error: LexError| (error.span().start().line.max(1), error))?;
        let mut code = Self::default();
        code.read(stream, false);
        Ok(code)
    }

    /// Whether the line, from 1, belongs to a test.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.test_items.iter().any(|lines| lines.contains(&line))
    }

    /// The places where these tokens stand one after the other, tests left out.
    pub(crate) fn find<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = &'a Token> {
        self.tokens
            .windows(words.len())
            .filter(move |found| found.iter().map(|token| &token.text).eq(words.iter()))
            .filter_map(|found| found.first())
            .filter(|token| !token.test)
    }

    fn push(&mut self, word: impl Into<String>, line: usize, test: bool) {
        self.tokens.push(Token {
            text: word.into(),
            line,
            test,
        });
    }

    fn read(&mut self, stream: TokenStream, test: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut test_until = 0;
        for (at, tree) in trees.iter().enumerate() {
            let rest = trees.get(at..).unwrap_or_default();
            if let Some(attribute) = attribute(rest) {
                if !test && at >= test_until && attribute.is_for_tests() {
                    test_until = at + item_length(rest);
                    let last = trees
                        .get(..test_until)
                        .and_then(<[TokenTree]>::last)
                        .unwrap_or(tree);
                    self.test_items
                        .push(attribute.line..=last.span().end().line);
                }
                self.attributes.push(attribute);
            }
            let test = test || at < test_until;
            if let Some((name, body)) = function(rest) {
                let lines = tree.span().start().line..=body.span().end().line;
                self.functions.push(Function { name, lines, test });
            }
            self.read_tree(tree, test);
        }
    }

    fn read_tree(&mut self, tree: &TokenTree, test: bool) {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                self.push(open, line, test);
                self.read(group.stream(), test);
                self.push(close, group.span_close().start().line, test);
            }
            TokenTree::Punct(punct) => match (punct.as_char(), self.tokens.last_mut()) {
                // Two colons in a row are a path's; `a: :: b` is nothing anyone writes.
                (':', Some(last)) if last.text == ":" => last.text.push(':'),
                (character, _) => self.push(character, line, test),
            },
            TokenTree::Ident(ident) => match self.tokens.last_mut() {
                Some(last) if last.text == "'" => last.text = format!("'{ident}"),
                _ => self.push(ident.to_string(), line, test),
            },
            TokenTree::Literal(literal) => self.push(literal.to_string(), line, test),
        }
    }
}

impl Attribute {
    fn is_for_tests(&self) -> bool {
        let says = |word: &str| self.words.iter().any(|found| found == word);
        let first = self.words.first().map(String::as_str);
        match first {
            Some("cfg") => says("test") && !says("not"),
            _ => {
                self.words == ["test"]
                    || self
                        .words
                        .starts_with(&["tokio".into(), "::".into(), "test".into()])
            }
        }
    }
}

/// The attribute that begins here, outer or inner.
fn attribute(rest: &[TokenTree]) -> Option<Attribute> {
    let [TokenTree::Punct(hash), after @ ..] = rest else {
        return None;
    };
    let group = match after {
        [TokenTree::Group(group), ..] => group,
        [TokenTree::Punct(bang), TokenTree::Group(group), ..] if bang.as_char() == '!' => group,
        _ => return None,
    };
    if hash.as_char() != '#' || group.delimiter() != Delimiter::Bracket {
        return None;
    }
    let mut inside = Code::default();
    inside.read(group.stream(), false);
    let words = inside.tokens.into_iter().map(|token| token.text).collect();
    Some(Attribute {
        line: hash.span().start().line,
        words,
    })
}

/// How many trees the item takes that begins here: up to its braces or its semicolon.
fn item_length(rest: &[TokenTree]) -> usize {
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    rest.iter()
        .position(ends)
        .map_or(rest.len(), |last| last + 1)
}

/// The function that begins here, if it has a body.
fn function(rest: &[TokenTree]) -> Option<(String, &Group)> {
    let [TokenTree::Ident(keyword), TokenTree::Ident(name), ..] = rest else {
        return None;
    };
    match rest.get(..item_length(rest))?.last()? {
        TokenTree::Group(body) if *keyword == "fn" && body.delimiter() == Delimiter::Brace => {
            Some((name.to_string(), body))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"//! await in a comment
const A: &'static str = "await in a string";
fn long(a: fn(u8) -> u8) -> u8
{
    select! { b = c.await => d::e(b) }
}
trait T { fn open(&self); }
#[cfg(not(test))]
fn two() {}
#[cfg(test)]
mod tests {
    fn helper() { x.await }
    #[test]
    fn three() {}
}
#[tokio::test(start_paused = true)]
async fn four() {
    x.await
}
"#;

    #[test]
    fn comments_strings_and_tests_are_told_apart_from_code() {
        let code = Code::parse(EXAMPLE).unwrap();
        let lines: Vec<usize> = code.find(&["await"]).map(|token| token.line).collect();
        assert_eq!(lines, [5], "in a macro, and nowhere else");
        assert_eq!(code.find(&["d", "::", "e"]).count(), 1);
        assert_eq!(code.find(&["'static"]).count(), 1);
        assert_eq!(code.test_items, [10..=15, 16..=19]);
        assert!(code.is_test_line(12) && !code.is_test_line(9));
    }

    #[test]
    fn functions_know_their_lines() {
        let code = Code::parse(EXAMPLE).unwrap();
        let found: Vec<_> = code
            .functions
            .iter()
            .map(|f| (f.name.as_str(), f.lines.clone(), f.test))
            .collect();
        assert_eq!(
            found,
            [
                ("long", 3..=6, false),
                ("two", 9..=9, false),
                ("helper", 12..=12, true),
                ("three", 14..=14, true),
                ("four", 17..=19, true),
            ]
        );
    }

    #[test]
    fn what_is_not_rust_names_its_line() {
        assert_eq!(Code::parse("fn a() {\n  (\n}").unwrap_err().0, 3);
    }
}
