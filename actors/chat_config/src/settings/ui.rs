//! The section `ui`: how the page looks.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the page looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ui {
    /// The theme: system (the default), light, dark, auto or custom.
    #[garde(skip)]
    pub theme: Theme,
    /// Size of text, in CSS pixels. 8 to 72; 14 by default.
    #[garde(range(min = 8, max = 72))]
    pub font_px: u32,
    /// The layout: standard (the default), compact, wide, mobile or adaptive.
    #[garde(skip)]
    pub layout: Layout,
    /// The colours: adaptive (the default), `high_contrast`, colorblind or custom.
    #[garde(skip)]
    pub colours: Colours,
    /// How close things stand: compact, comfortable (the default) or spacious.
    #[garde(skip)]
    pub density: Density,
    /// How much moves: none, minimal, smooth (the default) or rich.
    #[garde(skip)]
    pub animations: Animations,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Theme {
    /// As the system says.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
    /// By the time of day.
    Auto,
    /// The user's own.
    Custom,
}

/// Where things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Layout {
    /// One column.
    #[default]
    Standard,
    /// Little space.
    Compact,
    /// The whole width.
    Wide,
    /// For small screens.
    Mobile,
    /// By the width there is.
    Adaptive,
}

/// Which colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Colours {
    /// By the theme.
    #[default]
    Adaptive,
    /// Strong contrast.
    HighContrast,
    /// Told apart without red and green.
    Colorblind,
    /// The user's own.
    Custom,
}

/// How close things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Density {
    /// Close.
    Compact,
    /// Between.
    #[default]
    Comfortable,
    /// Far.
    Spacious,
}

/// How much moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Animations {
    /// Nothing.
    None,
    /// What must.
    Minimal,
    /// What helps.
    #[default]
    Smooth,
    /// What can.
    Rich,
}

impl Default for Ui {
    fn default() -> Self {
        Self {
            theme: Theme::default(),
            font_px: 14,
            layout: Layout::default(),
            colours: Colours::default(),
            density: Density::default(),
            animations: Animations::default(),
        }
    }
}
