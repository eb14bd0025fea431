//! Shell: who can be asked to let memory go: a bounded list that forgets those who are gone by itself.
//!
//! Invariants: never more than `TARGETS`, never two of one name, and nobody whose receiver was dropped is asked.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::orders::{Enlist, EnlistError, NAME, Order, Stage, TARGETS};

/// Those who are enlisted, by name.
#[derive(Default)]
pub(crate) struct Targets(BTreeMap<String, Target>);

struct Target {
    stage: Stage,
    orders: mpsc::Sender<Order>,
}

impl Targets {
    /// Takes a target in, in place of one of the same name.
    ///
    /// # Errors
    /// The name is empty or too long, the list is full, or the receiver is gone; the list is then as before.
    pub(crate) fn enlist(&mut self, wish: Enlist) -> Result<(), EnlistError> {
        let Enlist {
            name,
            stage,
            orders,
        } = wish;
        if name.is_empty() {
            return Err(EnlistError::NoName);
        }
        if name.len() > NAME {
            let length = name.len();
            return Err(EnlistError::LongName { length });
        }
        if orders.is_closed() {
            return Err(EnlistError::Closed { name });
        }
        self.forget_closed();
        if self.0.len() >= TARGETS && !self.0.contains_key(&name) {
            return Err(EnlistError::TooMany { name });
        }
        self.0.insert(name, Target { stage, orders });
        Ok(())
    }

    /// Strikes out those whose receiver is gone.
    pub(crate) fn forget_closed(&mut self) {
        self.0.retain(|_, target| !target.orders.is_closed());
    }

    /// When it is the turn of one of them, and where its orders go; `None` if it is not enlisted.
    pub(crate) fn get(&self, name: &str) -> Option<(Stage, &mpsc::Sender<Order>)> {
        let target = self.0.get(name)?;
        Some((target.stage, &target.orders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: &str, stage: Stage) -> (Enlist, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(1);
        let name = name.to_owned();
        let wish = Enlist {
            name,
            stage,
            orders,
        };
        (wish, receiver)
    }

    #[test]
    fn a_name_is_needed_and_a_receiver() {
        let mut targets = Targets::default();
        let (unnamed, _receiver) = wish("", Stage::Caches);
        assert_eq!(targets.enlist(unnamed), Err(EnlistError::NoName));
        let (long, _receiver) = wish(&"n".repeat(NAME + 1), Stage::Caches);
        assert_eq!(
            targets.enlist(long),
            Err(EnlistError::LongName { length: NAME + 1 })
        );
        let (deaf, receiver) = wish("deaf", Stage::Caches);
        drop(receiver);
        let name = "deaf".to_owned();
        assert_eq!(targets.enlist(deaf), Err(EnlistError::Closed { name }));
        assert_eq!(targets.0.len(), 0);
    }

    #[test]
    fn the_list_is_bounded_replaces_by_name_and_forgets_the_gone() {
        let mut targets = Targets::default();
        let mut receivers = Vec::new();
        for n in 0..TARGETS {
            let (enlist, receiver) = wish(&format!("cache {n:02}"), Stage::Caches);
            targets.enlist(enlist).unwrap();
            receivers.push(receiver);
        }
        let name = "one more".to_owned();
        let (enlist, _more) = wish(&name, Stage::IdleModels);
        let again = enlist.clone();
        assert_eq!(targets.enlist(enlist), Err(EnlistError::TooMany { name }));
        let (enlist, _same) = wish("cache 00", Stage::IdleModels);
        targets.enlist(enlist).unwrap();
        assert_eq!(targets.get("cache 00").unwrap().0, Stage::IdleModels);
        // The replaced one's end is nobody's end.
        receivers.remove(0);
        targets.forget_closed();
        assert_eq!(targets.0.len(), TARGETS);
        receivers.pop();
        targets.enlist(again).unwrap();
        assert_eq!(targets.get("one more").unwrap().0, Stage::IdleModels);
        assert!(targets.get("cache 15").is_none());
        assert_eq!(targets.0.len(), TARGETS);
    }
}
