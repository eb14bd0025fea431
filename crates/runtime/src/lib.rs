//! The one runtime: entered or owned, never nested, its threads counted.
