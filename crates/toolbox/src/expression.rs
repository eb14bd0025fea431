//! What `calculate` computes: a total evaluator of arithmetic. It reads each character once and computes as it reads.
//!
//! Written here because no library fits: of those that are kept up, one is under a licence we cannot ship, and the others
//! know floating point only, or name no position in their errors.
//!
//! ```text
//!  sum     = product (("+" | "-") product)*
//!  product = sign (("*" | "/" | "%") sign)*
//!  sign    = ("-" | "+") sign | power
//!  power   = postfix ("^" sign)?                    so -2^2 = -4, 2^-1 = 0.5, 2^3^2 = 2^9
//!  postfix = value "!"*
//!  value   = number | constant | name "(" sum ("," sum)* ")" | "(" sum ")"
//! ```

use std::fmt;

use crate::functions::{self, NAMES};
use crate::number::{Number, Undefined};

/// How long an expression may be, in bytes: far more than a person could check.
pub const MAX_LENGTH: usize = 4096;
/// How deep it may be nested: each level takes some stack.
pub const MAX_DEPTH: usize = 64;

/// Why an expression has no value, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// In characters, from 1.
    pub(crate) position: usize,
    pub(crate) what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.position, self.what)
    }
}

/// The value as text: whole numbers exactly, others to 15 significant digits.
///
/// # Errors
/// What is wrong and at which character, with the way out.
pub fn evaluate(text: &str) -> Result<String, String> {
    value_of(text)
        .map(|number| number.to_string())
        .map_err(|wrong| wrong.to_string())
}

pub(crate) fn value_of(text: &str) -> Result<Number, Wrong> {
    if text.len() > MAX_LENGTH {
        return Err(Wrong {
            position: text.floor_char_boundary(MAX_LENGTH) + 1,
            what: format!(
                "the expression has {} bytes, and {MAX_LENGTH} are allowed: compute it in parts",
                text.len()
            ),
        });
    }
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    let value = reader.sum()?;
    match reader.peek() {
        None => Ok(value),
        Some(found) => Err(reader.wrong(unexpected(found))),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// In bytes, always at a character.
    at: usize,
    depth: usize,
}

type Read = Result<Number, Wrong>;

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    /// Takes one of `signs`, if it comes next. `**` is `^`, as in many languages.
    /// Also says where it was.
    fn take(&mut self, signs: &[char]) -> Option<(char, usize)> {
        let next = self.peek()?;
        let is_power = self.rest().starts_with("**");
        let sign = if is_power { '^' } else { plain(next) };
        if !signs.contains(&sign) {
            return None;
        }
        let at = self.at;
        self.at += if is_power { 2 } else { next.len_utf8() };
        Some((sign, at))
    }

    fn wrong_at(&self, at: usize, what: impl Into<String>) -> Wrong {
        let before = self.text.get(..at).unwrap_or(self.text);
        Wrong {
            position: before.chars().count() + 1,
            what: what.into(),
        }
    }

    fn wrong(&self, what: impl Into<String>) -> Wrong {
        self.wrong_at(self.at, what)
    }

    fn undefined(&self, at: usize, name: &str, why: Undefined) -> Wrong {
        self.wrong_at(at, format!("`{name}` {why}"))
    }

    fn sum(&mut self) -> Read {
        let mut value = self.product()?;
        while let Some((sign, at)) = self.take(&['+', '-']) {
            let other = self.product()?;
            let result = if sign == '+' {
                value.plus(other)
            } else {
                value.minus(other)
            };
            value = result.map_err(|why| self.undefined(at, &sign.to_string(), why))?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Read {
        let mut value = self.sign()?;
        while let Some((sign, at)) = self.take(&['*', '/', '%']) {
            let other = self.sign()?;
            let result = match sign {
                '*' => value.times(other),
                '/' => value.over(other),
                _ => value.modulo(other),
            };
            value = result.map_err(|why| self.undefined(at, &sign.to_string(), why))?;
        }
        Ok(value)
    }

    fn sign(&mut self) -> Read {
        let Some((sign, at)) = self.take(&['-', '+']) else {
            return self.power();
        };
        let value = self.deeper(Self::sign)?;
        if sign == '+' {
            return Ok(value);
        }
        value.negated().map_err(|why| self.undefined(at, "-", why))
    }

    fn power(&mut self) -> Read {
        let base = self.postfix()?;
        let Some((_, at)) = self.take(&['^']) else {
            return Ok(base);
        };
        let exponent = self.deeper(Self::sign)?;
        base.power(exponent)
            .map_err(|why| self.undefined(at, "^", why))
    }

    fn postfix(&mut self) -> Read {
        let mut value = self.value()?;
        while let Some((_, at)) = self.take(&['!']) {
            value = value
                .factorial()
                .map_err(|why| self.undefined(at, "!", why))?;
        }
        Ok(value)
    }

    fn value(&mut self) -> Read {
        match self.peek() {
            None => Err(self.wrong("a number is missing")),
            Some('(') => {
                self.at += 1;
                let value = self.deeper(Self::sum)?;
                self.close()?;
                Ok(value)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() => self.named(),
            Some(c) => Err(self.wrong(format!("a number is missing before {c:?}"))),
        }
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Read) -> Read {
        if self.depth >= MAX_DEPTH {
            return Err(self.wrong(format!(
                "it is nested deeper than {MAX_DEPTH}: compute it in parts"
            )));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn close(&mut self) -> Result<(), Wrong> {
        match self.peek() {
            Some(')') => {
                self.at += 1;
                Ok(())
            }
            None => Err(self.wrong("a ) is missing")),
            Some(found) => Err(self.wrong(unexpected(found))),
        }
    }

    fn number(&mut self) -> Read {
        let begin = self.at;
        let digits = |from: &str| from.bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits(self.rest());
        let mut is_whole = true;
        if self.rest().starts_with('.') {
            is_whole = false;
            self.at += 1;
            self.at += digits(self.rest());
        }
        // `2e` is a number and the constant e only if no digits follow: then it is refused below, as `2 e` is.
        let exponent = self.rest().strip_prefix(['e', 'E']);
        if let Some(rest) = exponent {
            let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            let count = digits(unsigned);
            if count > 0 {
                is_whole = false;
                self.at += 1 + (rest.len() - unsigned.len()) + count;
            }
        }
        let text = self.text.get(begin..self.at).unwrap_or_default();
        let whole = is_whole.then(|| text.parse().ok()).flatten();
        if let Some(whole) = whole {
            return Ok(Number::Whole(whole));
        }
        let value: f64 = text
            .parse()
            .map_err(|_| self.wrong_at(begin, format!("{text:?} is not a number")))?;
        Number::real(value).map_err(|why| self.undefined(begin, text, why))
    }

    fn named(&mut self) -> Read {
        let begin = self.at;
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let rest = self.rest();
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default().to_lowercase();
        self.at += length;
        if self.peek() == Some('(') {
            return self.function(begin, &name);
        }
        functions::constant(&name).ok_or_else(|| {
            let what = match functions::takes(&name) {
                Some(_) => format!("`{name}` is a function: write {name}(…)"),
                None => unknown(&name),
            };
            self.wrong_at(begin, what)
        })
    }

    fn function(&mut self, begin: usize, name: &str) -> Read {
        let Some(count) = functions::takes(name) else {
            return Err(self.wrong_at(begin, unknown(name)));
        };
        self.at += 1;
        let mut arguments = vec![self.deeper(Self::sum)?];
        while self.take(&[',']).is_some() {
            if arguments.len() == count.most {
                let what = format!("`{name}` takes {} arguments at most", count.most);
                return Err(self.wrong_at(begin, what));
            }
            arguments.push(self.deeper(Self::sum)?);
        }
        if arguments.len() < count.least {
            let way_out = match name {
                "log" => ": write log(x, base), ln(x) or log10(x)",
                _ => "",
            };
            let needed = count.least;
            return Err(self.wrong_at(begin, format!("`{name}` needs {needed} arguments{way_out}")));
        }
        self.close()?;
        functions::apply(name, &arguments).map_err(|why| self.undefined(begin, name, why))
    }
}

/// The signs that people and models write instead.
fn plain(sign: char) -> char {
    match sign {
        '×' | '·' | '∙' | '⋅' => '*',
        '÷' | ':' => '/',
        '−' | '–' => '-',
        other => other,
    }
}

fn unexpected(found: char) -> String {
    match found {
        ',' => {
            "a comma only separates the arguments of a function: write 1000, not 1,000".to_owned()
        }
        ')' => "this ) closes nothing".to_owned(),
        '=' => "`=` is not known: write only what is to be computed".to_owned(),
        other => format!("{other:?} was not expected here: write + - * / % ^ between values"),
    }
}

fn unknown(name: &str) -> String {
    let name: String = name.chars().take(40).collect();
    format!("`{name}` is not known: there are {NAMES}")
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
