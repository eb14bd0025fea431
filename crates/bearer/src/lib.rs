//! Bearer tokens: the one owner of how they look, of the file that keeps them, and of what that file may say.
//!
//! ```text
//!  system's generator ─> Secret ──shown once──> its owner
//!                          └─ SHA-256 ─> Grant ─> TokenFile (0600, replaced whole) ─> Grants ─> who is it?
//! ```
//!
//! Invariants: a secret is never kept, printed by `Debug`, or part of an error; a damaged file is never written over; what
//! asks who somebody is never learns how near a wrong token was.
//!
//! No slow hash, as passwords need: those are guessed from lists, and a slow hash makes guessing dear. A secret here is 256
//! random bits, which nobody guesses at any speed, and it is hashed at every request. Nor are hashes compared in constant
//! time: what a lookup's time may tell is how a hash begins, and no one can choose what their guess is hashed to.

mod file;
mod grants;
mod hex;
mod names;
mod secret;

pub use file::{FILE, TokenError, TokenFile};
pub use grants::{Grant, GrantError, Grants, MOST, Terms};
pub use names::Names;
pub use secret::{NoChance, PREFIX, Secret};
