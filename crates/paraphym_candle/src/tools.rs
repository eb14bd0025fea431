//! The tools that are always there, joined with the app's own.

use std::sync::Arc;

use runtime::{Clock, CoarseClock};
use supervision::ChildSpec;
use toolbox::{Calculate, CurrentTime, Tool, ToolSource, Toolbox, ToolboxError};

use crate::follower::Follows;

/// Where other tools come from.
#[derive(Default)]
pub(crate) struct Reached {
    /// Its children of the tree.
    pub(crate) children: Vec<ChildSpec>,
    /// What is asked for the tools of now.
    pub(crate) sources: Vec<Arc<dyn ToolSource>>,
    /// Who is told of changed settings.
    pub(crate) follower: Option<Arc<dyn Follows>>,
}

/// The built-in tools and these.
///
/// # Errors
/// The first of the app's own that cannot be in one box with those before it.
pub(crate) fn fixed(own: Vec<Arc<dyn Tool>>) -> Result<Toolbox, ToolboxError> {
    let clock = CurrentTime::new(|| CoarseClock::default().stamp().0);
    let built_in: [Arc<dyn Tool>; 2] = [Arc::new(clock), Arc::new(Calculate::default())];
    Toolbox::new(built_in.into_iter().chain(own))
}
