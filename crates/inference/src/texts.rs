//! Many short texts in one run of memory, as a file lists its tokens and merges, and the table that finds one of them.
//!
//! A vocabulary has some hundred thousand: a string of its own for each takes longer to get and to give back than to read.
//!
//! Invariants: texts are never changed; where a text stands in a table depends on chance, so that no file can be written to be
//! slow, and what is found does not.

use crate::hash::Keyed;

/// Texts one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    all: String,
    /// Where each ends: a header is shorter than 32 bits can say.
    ends: Vec<u32>,
}

impl Texts {
    /// None yet, and room for so many.
    pub(crate) fn for_many(count: usize) -> Self {
        Self {
            all: String::new(),
            ends: Vec::with_capacity(count),
        }
    }

    /// One more; false if there are too many bytes.
    pub(crate) fn push(&mut self, text: &str) -> bool {
        self.all.push_str(text);
        let end = u32::try_from(self.all.len());
        end.map(|end| self.ends.push(end)).is_ok()
    }

    /// There will be no more.
    pub(crate) fn finish(&mut self) {
        self.all.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all together.
    pub const fn bytes(&self) -> usize {
        self.all.len()
    }

    /// The text of this number.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&str> {
        let to = *self.ends.get(index)? as usize;
        let before = index.checked_sub(1);
        let from = before.and_then(|before| self.ends.get(before));
        self.all.get(from.map_or(0, |from| *from as usize)..to)
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let text = self.all.get(from..*end as usize).unwrap_or_default();
            from = *end as usize;
            text
        })
    }
}

/// Where texts are found by what they say; it keeps their numbers only.
pub(crate) struct Index {
    slots: Vec<Slot>,
    hash: Keyed,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Of the hash, so that hardly any other text is looked at.
    tag: u32,
    /// The text's number and one; 0 where there is none.
    entry: u32,
}

impl Index {
    /// Has room for so many texts.
    pub(crate) fn for_many(count: usize) -> Self {
        // At most half is taken, so the next free place is near.
        let places = count.saturating_mul(2).max(2).next_power_of_two();
        Self {
            slots: vec![Slot::default(); places],
            hash: Keyed::new(),
        }
    }

    /// The place of a text: where it stands, or where it would. `None` if the table is full.
    fn place(&self, texts: &Texts, text: &str) -> Option<(usize, Slot)> {
        let hash = self.hash.of_text(text.as_bytes());
        let tag = (hash >> 32) as u32;
        let last = self.slots.len() - 1;
        let mut at = hash as usize & last;
        for _ in 0..self.slots.len() {
            let slot = *self.slots.get(at)?;
            let free = slot.entry == 0;
            if free || slot.tag == tag && texts.get(slot.entry as usize - 1) == Some(text) {
                return Some((at, Slot { tag, ..slot }));
            }
            at = (at + 1) & last;
        }
        None
    }

    /// Puts text `number` of the texts in; gives the number of the same text if that was there, which stays.
    pub(crate) fn insert(&mut self, texts: &Texts, number: u32) -> Option<u32> {
        let (at, slot) = self.place(texts, texts.get(number as usize)?)?;
        if slot.entry > 0 {
            return Some(slot.entry - 1);
        }
        self.put(at, slot.tag, number);
        None
    }

    /// The same, but the later one stays.
    pub(crate) fn replace(&mut self, texts: &Texts, number: u32) -> Option<u32> {
        let (at, slot) = self.place(texts, texts.get(number as usize)?)?;
        self.put(at, slot.tag, number);
        slot.entry.checked_sub(1)
    }

    fn put(&mut self, at: usize, tag: u32, number: u32) {
        if let Some(slot) = self.slots.get_mut(at) {
            let entry = number.saturating_add(1);
            *slot = Slot { tag, entry };
        }
    }

    /// The number of this text.
    #[inline]
    pub(crate) fn find(&self, texts: &Texts, text: &str) -> Option<u32> {
        self.place(texts, text)?.1.entry.checked_sub(1)
    }
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
