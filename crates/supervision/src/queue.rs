//! A bounded queue and the line of those who wait for room in it. A core: nothing here waits, locks or wakes; it says
//! whom to wake.
//!
//! Never true at once: somebody stands in line without a promise, and a place is free. A place that falls free is promised
//! to the first in line before anybody else can take it, so nobody is overtaken.

use std::collections::{BTreeMap, VecDeque};

/// A number in the line, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// No place yet.
#[derive(Debug)]
pub(crate) struct InLine<P, W> {
    pub(crate) parcel: P,
    pub(crate) ticket: Ticket,
    /// How this one was to be woken until now: to be dropped outside any lock.
    pub(crate) stale: Option<W>,
}

/// At most `capacity` items; `W` is how one who waits is woken.
#[derive(Debug)]
pub(crate) struct Queue<T, W> {
    items: VecDeque<T>,
    capacity: usize,
    next: Ticket,
    /// Boxed: most queues never have one.
    line: Option<Box<Line<W>>>,
}

/// Those who wait, and those who have a promise.
#[derive(Debug)]
struct Line<W> {
    /// `None` for one to whom a place is promised and who has not come for it yet.
    places: BTreeMap<Ticket, Option<W>>,
    promised: usize,
    /// Everybody before this one has a promise, and nobody from it on has.
    first_waiting: Ticket,
}

impl<T, W> Queue<T, W> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            items: VecDeque::new(),
            capacity,
            next: Ticket(0),
            line: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn promised(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.promised)
    }

    fn has_room(&self) -> bool {
        self.items.len().saturating_add(self.promised()) < self.capacity
    }

    /// Puts what `seal` makes of the parcel at the end, if a place is free now.
    #[inline]
    pub(crate) fn push<P>(&mut self, parcel: P, seal: impl FnOnce(P) -> T) -> Result<(), P> {
        if !self.has_room() {
            return Err(parcel);
        }
        self.put(seal(parcel));
        Ok(())
    }

    #[inline]
    fn put(&mut self, item: T) {
        if self.items.capacity() == 0 {
            self.items.reserve_exact(1);
        }
        self.items.push_back(item);
    }

    /// The same for one who is willing to wait, or comes back with the ticket: into the promised place, or into a free one,
    /// or else into the line.
    #[inline]
    pub(crate) fn push_or_wait<P>(
        &mut self,
        ticket: Option<Ticket>,
        parcel: P,
        seal: impl FnOnce(P) -> T,
        woken_by: impl FnOnce() -> W,
    ) -> Result<(), InLine<P, W>> {
        if let (Some(ticket), Some(line)) = (ticket, &mut self.line) {
            match line.places.get_mut(&ticket) {
                Some(Some(waiting)) => {
                    let stale = Some(std::mem::replace(waiting, woken_by()));
                    return Err(InLine {
                        parcel,
                        ticket,
                        stale,
                    });
                }
                Some(None) => {
                    line.places.remove(&ticket);
                    line.promised = line.promised.saturating_sub(1);
                    self.put(seal(parcel));
                    return Ok(());
                }
                None => {}
            }
        }
        self.push(parcel, seal)
            .map_err(|parcel| self.stand_in_line(parcel, woken_by()))
    }

    fn stand_in_line<P>(&mut self, parcel: P, woken_by: W) -> InLine<P, W> {
        let ticket = self.next;
        self.next = Ticket(ticket.0.wrapping_add(1));
        let line = self.line.get_or_insert_with(|| {
            Box::new(Line {
                places: BTreeMap::new(),
                promised: 0,
                first_waiting: ticket,
            })
        });
        line.places.insert(ticket, Some(woken_by));
        InLine {
            parcel,
            ticket,
            stale: None,
        }
    }

    /// Leaves the line. Returns what to drop and whom to wake: a promised place goes to the next in line.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> (Option<W>, Option<W>) {
        let Some(line) = &mut self.line else {
            return (None, None);
        };
        match line.places.remove(&ticket) {
            None => (None, None),
            Some(Some(waiting)) => (Some(waiting), None),
            Some(None) => {
                line.promised = line.promised.saturating_sub(1);
                (None, self.promise())
            }
        }
    }

    /// The first item, and whom to wake because its place is free.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(T, Option<W>)> {
        let item = self.items.pop_front()?;
        Some((item, self.promise()))
    }

    /// Promises a free place to the first who waits.
    #[inline]
    fn promise(&mut self) -> Option<W> {
        let has_room = self.has_room();
        let line = self.line.as_mut()?;
        if line.places.len() == line.promised || !has_room {
            return None;
        }
        let (ticket, held) = line.places.range_mut(line.first_waiting..).next()?;
        line.first_waiting = Ticket(ticket.0.wrapping_add(1));
        line.promised += 1;
        held.take()
    }

    /// Everybody goes: every promise is void, every ticket unknown. Returns whom to tell.
    pub(crate) fn dissolve_line(&mut self) -> Vec<W> {
        let line = self.line.take();
        line.map_or_else(Vec::new, |line| {
            line.places.into_values().flatten().collect()
        })
    }

    /// Gives back the memory of a crowd that has gone: what stays is room for one item, which is all that one asker after
    /// the other needs.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.items.capacity() > 1 {
            self.items.shrink_to(1);
        }
        self.line.take_if(|line| line.places.is_empty());
    }

    /// Everything that is queued.
    pub(crate) fn take_items(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.items)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a helper that fails fails its test"
    )]

    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::{Queue, Ticket};

    type Senders = Queue<u32, u32>;

    /// Sender `who` comes with its own number as the message and as the waker.
    fn come(queue: &mut Senders, who: u32, ticket: Option<Ticket>) -> Option<Ticket> {
        queue
            .push_or_wait(ticket, who, |who| who, || who)
            .err()
            .map(|in_line| {
                assert_eq!(in_line.parcel, who, "the parcel comes back");
                in_line.ticket
            })
    }

    fn full(capacity: usize) -> Senders {
        let mut queue = Senders::new(capacity);
        for who in 0..capacity {
            assert_eq!(come(&mut queue, who as u32, None), None);
        }
        queue
    }

    #[test]
    fn it_takes_up_to_its_capacity_and_gives_back_the_rest() {
        let mut queue = full(2);
        assert_eq!(queue.push(7, |who| who), Err(7));
        assert_eq!(queue.pop(), Some((0, None)));
        assert_eq!(queue.push(7, |who| who), Ok(()));
        assert_eq!(queue.take_items(), [1, 7]);
        assert_eq!(
            queue.push(7, |who| who),
            Ok(()),
            "the places are free again"
        );
    }

    #[test]
    fn a_free_place_is_promised_to_the_first_in_line_and_nobody_else_gets_it() {
        let mut queue = full(1);
        let first = come(&mut queue, 10, None);
        let second = come(&mut queue, 11, None);
        assert_eq!(queue.pop(), Some((0, Some(10))), "the first is woken");
        assert_eq!(queue.push(12, |who| who), Err(12), "not for who just comes");
        assert_eq!(come(&mut queue, 11, second), second, "nor for the second");
        assert_eq!(come(&mut queue, 10, first), None);
        assert_eq!(queue.pop(), Some((10, Some(11))));
    }

    #[test]
    fn who_leaves_passes_a_promise_on_and_without_one_wakes_nobody() {
        let mut queue = full(1);
        let first = come(&mut queue, 10, None).unwrap();
        let second = come(&mut queue, 11, None).unwrap();
        let third = come(&mut queue, 12, None).unwrap();
        assert_eq!(queue.leave(second), (Some(11), None));
        assert_eq!(queue.pop(), Some((0, Some(10))));
        assert_eq!(queue.leave(first), (None, Some(12)));
        assert_eq!(queue.leave(third), (None, None), "nobody is left to wake");
        assert_eq!(queue.push(13, |who| who), Ok(()), "and the place is free");
        assert_eq!(queue.leave(third), (None, None), "a ticket counts once");
    }

    #[test]
    fn a_dissolved_line_is_told_and_its_tickets_and_promises_are_void() {
        let mut queue = full(1);
        let first = come(&mut queue, 10, None);
        let second = come(&mut queue, 11, None);
        assert_eq!(queue.pop(), Some((0, Some(10))));
        assert_eq!(
            queue.dissolve_line(),
            [11],
            "the promised one was told before"
        );
        assert_eq!(come(&mut queue, 11, second), None, "who comes first has it");
        let anew = come(&mut queue, 10, first);
        assert!(anew.is_some() && anew != first && anew != second);
    }

    #[test]
    fn at_rest_it_owns_no_more_than_room_for_one_and_old_tickets_stay_void() {
        let mut queue = full(8);
        let waits = come(&mut queue, 10, None).unwrap();
        assert_eq!(queue.leave(waits), (Some(10), None));
        assert_eq!(queue.take_items().len(), 8);
        assert_eq!(queue.push(1, |who| who), Ok(()));
        assert_eq!(queue.pop(), Some((1, None)));
        queue.rest();
        assert!(queue.items.capacity() <= 1 && queue.line.is_none());
        for who in 0..8 {
            assert_eq!(come(&mut queue, who, None), None);
        }
        let anew = come(&mut queue, 11, None);
        assert!(anew.is_some() && anew != Some(waits));
        assert_eq!(queue.leave(waits), (None, None));
    }

    #[test]
    fn without_any_capacity_everybody_waits() {
        let mut queue = full(0);
        let ticket = come(&mut queue, 1, None);
        assert!(ticket.is_some());
        assert_eq!(queue.pop(), None);
        assert_eq!(come(&mut queue, 1, ticket), ticket);
    }

    #[derive(Clone, Debug)]
    enum Do {
        Try(u32),
        Come(u32),
        Leave(u32),
        Pop,
        Dissolve,
        Rest,
    }

    fn deeds() -> impl Strategy<Value = Vec<Do>> {
        let who = || 0..6_u32;
        let one = prop_oneof![
            1 => who().prop_map(Do::Try),
            6 => who().prop_map(Do::Come),
            2 => who().prop_map(Do::Leave),
            5 => Just(Do::Pop),
            1 => Just(Do::Dissolve),
            2 => Just(Do::Rest),
        ];
        prop::collection::vec(one, 0..80)
    }

    /// What the queue must look like, in the plainest words: who is in it, who stands in line, who was promised a place.
    #[derive(Default)]
    struct Plain {
        items: VecDeque<u32>,
        line: Vec<(u32, bool)>,
        tickets: BTreeMap<u32, Ticket>,
    }

    impl Plain {
        fn promised(&self) -> usize {
            self.line.iter().filter(|(_, promised)| *promised).count()
        }

        /// Whom a free place is promised to now.
        fn promise(&mut self, capacity: usize) -> Option<u32> {
            if self.items.len() + self.promised() >= capacity {
                return None;
            }
            let first = self.line.iter_mut().find(|(_, promised)| !promised)?;
            first.1 = true;
            Some(first.0)
        }

        fn place(&self, who: u32) -> Option<usize> {
            self.line.iter().position(|(other, _)| *other == who)
        }

        /// Whether who comes gets in.
        fn come(&mut self, who: u32, capacity: usize) -> bool {
            let at = self.place(who);
            let enters = match at {
                Some(at) => self.line[at].1,
                None => self.items.len() + self.promised() < capacity,
            };
            match (enters, at) {
                (true, Some(at)) => drop(self.line.remove(at)),
                (false, None) => self.line.push((who, false)),
                _ => {}
            }
            if enters {
                self.items.push_back(who);
            }
            enters
        }
    }

    fn act(deed: &Do, queue: &mut Senders, plain: &mut Plain, capacity: usize) {
        match *deed {
            Do::Try(who) => {
                let enters = plain.items.len() + plain.promised() < capacity;
                assert_eq!(queue.push(who, |who| who).is_ok(), enters);
                if enters {
                    plain.items.push_back(who);
                }
            }
            Do::Come(who) => {
                let ticket = plain.tickets.remove(&who);
                let waits = come(queue, who, ticket);
                assert_eq!(waits.is_none(), plain.come(who, capacity));
                plain.tickets.extend(waits.map(|ticket| (who, ticket)));
            }
            Do::Leave(who) => {
                let Some(ticket) = plain.tickets.remove(&who) else {
                    return;
                };
                let left = plain.place(who).map(|at| plain.line.remove(at).1);
                let expected = match left {
                    None => (None, None),
                    Some(false) => (Some(who), None),
                    Some(true) => (None, plain.promise(capacity)),
                };
                assert_eq!(queue.leave(ticket), expected);
            }
            Do::Pop => {
                let expected = plain
                    .items
                    .pop_front()
                    .map(|who| (who, plain.promise(capacity)));
                assert_eq!(queue.pop(), expected);
            }
            // Changes nothing that anybody could see.
            Do::Rest => queue.rest(),
            Do::Dissolve => {
                let line = std::mem::take(&mut plain.line);
                let told = line.iter().filter(|(_, promised)| !promised);
                let told: Vec<u32> = told.map(|(who, _)| *who).collect();
                assert_eq!(queue.dissolve_line(), told);
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_plain_one_does(capacity in 0..4_usize, deeds in deeds()) {
            let (mut queue, mut plain) = (Senders::new(capacity), Plain::default());
            for deed in &deeds {
                act(deed, &mut queue, &mut plain, capacity);
                prop_assert!(queue.len() + queue.promised() <= capacity);
                prop_assert_eq!(queue.promised(), plain.promised());
                let in_line = queue.line.as_ref().map_or(0, |line| line.places.len());
                let waits = in_line > queue.promised();
                prop_assert!(!(waits && queue.has_room()), "somebody waits beside a free place");
                prop_assert_eq!(&queue.items, &plain.items);
            }
        }

        #[test]
        fn everybody_gets_in_in_the_order_of_the_line(capacity in 1..4_usize, crowd in 0..20_u32) {
            let mut queue = Senders::new(capacity);
            let mut tickets: Vec<_> = (0..crowd).map(|who| come(&mut queue, who, None)).collect();
            let mut handled = Vec::new();
            while let Some((who, woken)) = queue.pop() {
                handled.push(who);
                if let Some(woken) = woken {
                    let ticket = tickets[woken as usize].take();
                    prop_assert_eq!(come(&mut queue, woken, ticket), None, "who is woken gets in");
                }
            }
            prop_assert_eq!(handled, (0..crowd).collect::<Vec<_>>());
        }
    }
}
