//! What a wish would come to, without carrying it out: whoever may break something looks first.
//!
//! Invariant: what is refused here is refused by the same words as when it is done, and nothing is changed but that a lock
//! file may be left: no revision, no file, nothing that is told to anybody. What the disk will do cannot be foreseen.

use std::sync::Arc;

use super::{Known, Store, Wish, planned};
use crate::flat::to_toml;
use crate::messages::ConfigError;
use crate::revisions::{Author, Revision, Revisions};

/// What would come of a wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The revision it would be made on: the one that holds, or one that others have put into the file since.
    pub holds: Arc<Revision>,
    /// The revision it would make; none if it changes nothing.
    pub made: Option<Arc<Revision>>,
}

impl Store {
    /// What [`Store::perform`] would come to. Looks at the disk, without waiting for other processes: see
    /// [`crate::patience::rehearse`].
    ///
    /// # Errors
    /// As [`Store::perform`], but for what fails on the way to the disk.
    pub fn rehearse(&self, author: &Author, wish: &Wish) -> Result<Outlook, ConfigError> {
        let known = self.known();
        let _lock = known.file.lock()?;
        let mut revisions = self.revisions().clone();
        let taken = Self::would_catch_up(&known, &mut revisions, author);
        taken.map_err(|error| self.meant(error, wish))?;
        let made = planned(&revisions, author, wish)?;
        if let Some(made) = &made {
            to_toml(made.own()).map_err(|error| self.failed(&error))?;
        }
        Ok(Outlook {
            holds: Arc::clone(revisions.current()),
            made: made.map(Arc::new),
        })
    }

    /// Takes over what others did to the file, into a copy.
    fn would_catch_up(
        known: &Known,
        copy: &mut Revisions,
        author: &Author,
    ) -> Result<(), ConfigError> {
        if let Some(news) = known.news()? {
            news.take_over(copy, author)?;
        }
        Ok(())
    }
}
