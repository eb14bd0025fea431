//! What the packed formats have in common: codes without a sign for 32 columns at a time, a bias that makes them signed,
//! and scales in one of four arrangements. One kernel is written over a shape; a format is a line in a table.

use candle_core::quantized::GgmlDType;

use crate::format::Format;

/// Columns of a block: what shares one activation scale.
pub(crate) const BLOCK: usize = 32;
/// Rows of a tile: as many as a register has lanes of 32 bits.
pub(crate) const TILE: usize = 16;
/// Blocks of a group, which share the coarse scales of a K format.
pub(super) const GROUP: usize = 8;

/// How a block's scales are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scales {
    /// `d`: a weight is `d * code`.
    One,
    /// `d` and `m`: a weight is `d * code + m`.
    Two,
    /// `d` and `m` for a group, 6 bits each for a block: a weight is `d * scale * code - m * minimum`.
    Group,
    /// `d` for a group, 8 bits for each half of a block: a weight is `d * scale * code`.
    Halves,
}

/// A packed format, as constants that a kernel is compiled for.
pub(super) trait Shape {
    /// Which it is.
    const FORM: Form;
    /// Bits of a code: 4, 5, 6 or 8.
    const BITS: u32;
    /// What is subtracted from a code.
    const BIAS: i32;
    /// How its scales are arranged.
    const SCALES: Scales;
    /// Lines of a block's codes in a tile: four for the low 4 bits, more for what is above them.
    const LINES: usize = match Self::BITS {
        4 => 4,
        5 => 5,
        6 => 6,
        _ => 8,
    };
    /// Lines of coarse scales before a group.
    const COARSE: usize = match Self::SCALES {
        Scales::One | Scales::Two => 0,
        Scales::Group | Scales::Halves => 1,
    };
    /// Blocks whose scales are in one line.
    const STRETCH: usize = match Self::SCALES {
        Scales::Two => 1,
        Scales::One | Scales::Group | Scales::Halves => 2,
    };
    /// Lines of a stretch: its scales, then its codes.
    const STRETCH_LINES: usize = 1 + Self::STRETCH * Self::LINES;
    /// Lines of a group.
    const GROUP_LINES: usize = Self::COARSE + GROUP / Self::STRETCH * Self::STRETCH_LINES;
}

macro_rules! shapes {
    ($d:tt $($name:ident: $bits:literal bits, bias $bias:literal, $scales:ident;)*) => {
        /// A format that is packed.
        #[allow(non_camel_case_types, reason = "formats are known by these names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Form {
            $($name,)*
        }

        $(
            #[allow(non_camel_case_types, reason = "formats are known by these names")]
            pub(super) struct $name;

            impl Shape for $name {
                const FORM: Form = Form::$name;
                const BITS: u32 = $bits;
                const BIAS: i32 = $bias;
                const SCALES: Scales = Scales::$scales;
            }
        )*

        impl Form {
            /// Lines of a block's codes.
            pub(super) const fn code_lines(self) -> usize {
                match self {
                    $(Self::$name => <$name as Shape>::LINES,)*
                }
            }

            /// Lines of coarse scales before a group.
            pub(super) const fn coarse_lines(self) -> usize {
                match self {
                    $(Self::$name => <$name as Shape>::COARSE,)*
                }
            }

            /// Blocks whose scales are in one line.
            pub(super) const fn stretch(self) -> usize {
                match self {
                    $(Self::$name => <$name as Shape>::STRETCH,)*
                }
            }

            /// Lines of a group.
            pub(super) const fn group_lines(self) -> usize {
                match self {
                    $(Self::$name => <$name as Shape>::GROUP_LINES,)*
                }
            }

            pub(super) const fn bits(self) -> u32 {
                match self {
                    $(Self::$name => <$name as Shape>::BITS,)*
                }
            }

            pub(super) const fn bias(self) -> i32 {
                match self {
                    $(Self::$name => <$name as Shape>::BIAS,)*
                }
            }

            pub(super) const fn scales(self) -> Scales {
                match self {
                    $(Self::$name => <$name as Shape>::SCALES,)*
                }
            }
        }

        /// Calls `$function::<Shape>` of the form.
        macro_rules! for_form {
            ($form:expr, $function:ident($d($argument:expr),*)) => {
                match $form {
                    $(
                        crate::cpu::shape::Form::$name => {
                            $function::<crate::cpu::shape::$name>($d($argument),*)
                        }
                    )*
                }
            };
        }
        pub(super) use for_form;
    };
}

shapes! { $
    Q4_0: 4 bits, bias 8, One;
    Q4_1: 4 bits, bias 0, Two;
    Q5_0: 5 bits, bias 16, One;
    Q5_1: 5 bits, bias 0, Two;
    Q8_0: 8 bits, bias 128, One;
    Q4_K: 4 bits, bias 0, Group;
    Q5_K: 5 bits, bias 0, Group;
    Q6_K: 6 bits, bias 32, Halves;
}

impl Form {
    /// The packed form of a format, if it has one.
    pub(super) fn of(format: Format) -> Option<Self> {
        Some(match format.dtype() {
            GgmlDType::Q4_0 => Self::Q4_0,
            GgmlDType::Q4_1 => Self::Q4_1,
            GgmlDType::Q5_0 => Self::Q5_0,
            GgmlDType::Q5_1 => Self::Q5_1,
            GgmlDType::Q8_0 => Self::Q8_0,
            GgmlDType::Q4K => Self::Q4_K,
            GgmlDType::Q5K => Self::Q5_K,
            GgmlDType::Q6K => Self::Q6_K,
            _ => return None,
        })
    }

    /// Whether something is added to each weight.
    pub(super) const fn has_minimum(self) -> bool {
        matches!(self.scales(), Scales::Two | Scales::Group)
    }
}
