//! What was typed, out of the bytes that a terminal sends for it. Pure: how long to wait for the rest of a key is the
//! caller's to keep.

use terminput::{Event, KeyCode, KeyEventKind, KeyModifiers};

/// No key has more bytes than this; what is longer is none.
const LONGEST: usize = 32;
const ESCAPE: u8 = 0x1b;
/// How a terminal marks what is pasted. It was not asked to: what follows are keys like any other.
const PASTE: &[u8] = b"\x1b[200~";

/// A key, as far as it means anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Control(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
}

/// Bytes of a key that has not come whole.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    held: Vec<u8>,
}

impl Keys {
    /// Whether a key has begun. One that was Escape alone looks like the beginning of another: if nothing comes within a
    /// moment, [`Keys::settle`] says which it was.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes what has come; the keys that are whole.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for byte in bytes {
            // Escape begins anew whatever was before it; Escape alone was a key.
            if *byte == ESCAPE {
                keys.extend(self.settle());
            }
            self.held.push(*byte);
            if self.held == [ESCAPE] {
                continue;
            }
            if self.held == PASTE {
                self.held.clear();
                continue;
            }
            match Event::parse_from(&self.held) {
                Ok(None) if self.held.len() < LONGEST => {}
                Ok(event) => {
                    self.held.clear();
                    keys.extend(event.as_ref().and_then(key));
                }
                Err(_) => self.held.clear(),
            }
        }
        keys
    }

    /// Nothing more has come.
    pub(crate) fn settle(&mut self) -> Option<Key> {
        let alone = self.held == [ESCAPE];
        self.held.clear();
        alone.then_some(Key::Escape)
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(event) = event else {
        return None;
    };
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CTRL);
    Some(match event.code {
        KeyCode::Char(c) if control => Key::Control(c),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => Key::BackTab,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_become_keys() {
        for (bytes, keys) in [
            (&b"q"[..], &[Key::Char('q')][..]),
            (b"\x1b[A\x1b[B", &[Key::Up, Key::Down]),
            (b"\x1bOA\x1bOB", &[Key::Up, Key::Down]),
            (b"\x1b[5~\x1b[6~", &[Key::PageUp, Key::PageDown]),
            (b"\x1b[H\x1b[F", &[Key::Home, Key::End]),
            (b"\x1b[1~\x1b[4~", &[Key::Home, Key::End]),
            (b"\r\t\x7f", &[Key::Enter, Key::Tab, Key::Backspace]),
            (b"\x1b[Z", &[Key::BackTab]),
            (b"\x03\x10", &[Key::Control('c'), Key::Control('p')]),
            (
                "ä/ ".as_bytes(),
                &[Key::Char('ä'), Key::Char('/'), Key::Char(' ')],
            ),
            // What nobody asked for.
            (b"\x1b[<0;3;4Mq", &[Key::Char('q')]),
            (b"\x1b[200~q", &[Key::Char('q')]),
            (b"\xff\xfeq", &[Key::Char('q')]),
        ] {
            let mut reader = Keys::default();
            assert_eq!(reader.take(bytes), keys, "{bytes:?}");
            assert!(!reader.is_waiting(), "{bytes:?}");
        }
    }

    #[test]
    fn a_key_may_come_in_pieces_and_escape_is_known_by_what_does_not_come() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"\x1b"), []);
        assert!(keys.is_waiting());
        assert_eq!(keys.take(b"["), []);
        assert_eq!(keys.take(b"A"), [Key::Up]);
        assert_eq!(keys.take(b"\x1b"), []);
        assert_eq!(keys.settle(), Some(Key::Escape));
        assert_eq!(keys.settle(), None);
        assert_eq!(keys.take(b"\x1b\x1b"), [Key::Escape]);
        assert_eq!(keys.settle(), Some(Key::Escape));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_and_what_is_held_is_bounded(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..12),
                    "\\x1b\\[[0-9;<:?]{0,8}[A-Za-z~]?".prop_map(String::into_bytes),
                ],
                0..12,
            )
        ) {
            let mut keys = Keys::default();
            for piece in pieces {
                keys.take(&piece);
                prop_assert!(keys.held.len() < LONGEST);
            }
            keys.settle();
            prop_assert!(!keys.is_waiting());
            prop_assert_eq!(keys.take(b"q"), [Key::Char('q')]);
        }
    }
}
