//! Why: the same answer is shown to everybody who comes, and to make HTML of it costs more than to keep it.
//!
//! Two generations: what is asked for moves to the younger, and when that is full the older goes. So what is kept is
//! bounded in bytes, and what is used stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Markdown and the HTML that was made of it.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Bytes of one generation.
    most: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Arc<str>, Arc<str>>,
    old: HashMap<Arc<str>, Arc<str>>,
    /// Of the younger.
    bytes: usize,
}

impl Rendered {
    /// Nothing is kept; about so many bytes may be.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            most: bytes / 2,
            generations: Mutex::default(),
        }
    }

    /// The HTML, if it is kept.
    pub(crate) fn get(&self, text: &Arc<str>) -> Option<Arc<str>> {
        let mut kept = self.generations();
        if let Some(html) = kept.young.get(text) {
            return Some(Arc::clone(html));
        }
        let html = kept.old.remove(text)?;
        kept.put(self.most, Arc::clone(text), Arc::clone(&html));
        Some(html)
    }

    /// Keeps it for a while.
    pub(crate) fn put(&self, text: Arc<str>, html: Arc<str>) {
        self.generations().put(self.most, text, html);
    }

    // Held for a look-up or an insertion.
    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn put(&mut self, most: usize, text: Arc<str>, html: Arc<str>) {
        let bytes = text.len() + html.len();
        if bytes > most {
            return;
        }
        if self.bytes + bytes > most {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self.young.insert(text, html).is_none() {
            self.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(of: &Rendered) -> usize {
        let kept = of.generations();
        let all = kept.young.iter().chain(&kept.old);
        all.map(|(text, html)| text.len() + html.len()).sum()
    }

    #[test]
    fn what_is_used_stays_and_all_of_it_is_bounded() {
        let rendered = Rendered::new(1000);
        let used: Arc<str> = "used".into();
        rendered.put(Arc::clone(&used), "<p>used</p>".into());
        for number in 0..1000 {
            rendered.put(format!("{number:0>50}").into(), "x".repeat(50).into());
            assert_eq!(rendered.get(&used).as_deref(), Some("<p>used</p>"));
            assert!(bytes(&rendered) <= 1000);
        }
        assert_eq!(rendered.get(&format!("{:0>50}", 3).into()), None);
        assert!(rendered.get(&format!("{:0>50}", 999).into()).is_some());
    }

    #[test]
    fn one_that_is_too_large_pushes_nothing_out() {
        let rendered = Rendered::new(100);
        rendered.put("a".into(), "b".into());
        rendered.put("a".repeat(60).into(), "b".into());
        assert!(rendered.get(&"a".into()).is_some());
        assert_eq!(bytes(&rendered), 2);
    }
}
