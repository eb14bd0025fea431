//! Numbers as a calculator has them: whole ones are exact as long as they fit, all others are `f64`.

use std::fmt;

/// A value of an expression. A real one is never NaN and never infinite: who makes one checks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Whole(i128),
    Real(f64),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undefined {
    /// A division by zero.
    ByZero,
    /// The value is beyond `f64`.
    TooLarge,
    /// There is no real value, for example the root of a negative number.
    NotReal,
    /// A whole number was wanted.
    NotWhole,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByZero => "divides by zero",
            Self::TooLarge => "is larger than about 1.8e308",
            Self::NotReal => "has no real value",
            Self::NotWhole => "needs whole numbers",
        })
    }
}

pub(crate) type Valued = Result<Number, Undefined>;

impl Number {
    /// A whole value is kept as a whole number when `f64` can tell them apart.
    pub(crate) fn real(value: f64) -> Valued {
        if value.is_nan() {
            return Err(Undefined::NotReal);
        }
        if value.is_infinite() {
            return Err(Undefined::TooLarge);
        }
        let is_exact = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
        Ok(if is_exact {
            Self::Whole(value as i128)
        } else {
            Self::Real(value)
        })
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Real(value) => value,
        }
    }

    pub(crate) fn as_whole(self) -> Option<i128> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Real(_) => None,
        }
    }

    fn both(
        self,
        other: Self,
        whole: impl Fn(i128, i128) -> Option<i128>,
        real: impl Fn(f64, f64) -> f64,
    ) -> Valued {
        let exact = self.as_whole().zip(other.as_whole());
        match exact.and_then(|(a, b)| whole(a, b)) {
            Some(value) => Ok(Self::Whole(value)),
            None => Self::real(real(self.as_f64(), other.as_f64())),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Valued {
        self.both(other, i128::checked_add, |a, b| a + b)
    }

    pub(crate) fn minus(self, other: Self) -> Valued {
        self.both(other, i128::checked_sub, |a, b| a - b)
    }

    pub(crate) fn times(self, other: Self) -> Valued {
        self.both(other, i128::checked_mul, |a, b| a * b)
    }

    pub(crate) fn over(self, other: Self) -> Valued {
        if other.as_f64() == 0.0 {
            return Err(Undefined::ByZero);
        }
        let exact = |a: i128, b| (a.checked_rem(b) == Some(0)).then(|| a.checked_div(b))?;
        self.both(other, exact, |a, b| a / b)
    }

    /// What is left after division; it has the sign of `other`.
    pub(crate) fn modulo(self, other: Self) -> Valued {
        if other.as_f64() == 0.0 {
            return Err(Undefined::ByZero);
        }
        let floored = |a: i128, b: i128| {
            let left = a.checked_rem(b)?;
            let is_other_side = left != 0 && (left < 0) != (b < 0);
            left.checked_add(if is_other_side { b } else { 0 })
        };
        self.both(other, floored, |a, b| {
            let left = a % b;
            let is_other_side = left != 0.0 && (left < 0.0) != (b < 0.0);
            if is_other_side { left + b } else { left }
        })
    }

    pub(crate) fn power(self, other: Self) -> Valued {
        if self.as_f64() == 0.0 && other.as_f64() < 0.0 {
            return Err(Undefined::ByZero);
        }
        let exact = |a: i128, b| a.checked_pow(u32::try_from(b).ok()?);
        self.both(other, exact, f64::powf)
    }

    pub(crate) fn negated(self) -> Valued {
        Self::Whole(0).minus(self)
    }

    /// 1 × 2 × … × itself.
    pub(crate) fn factorial(self) -> Valued {
        let whole = self.as_whole().ok_or(Undefined::NotWhole)?;
        let count = u32::try_from(whole).map_err(|_| {
            if whole < 0 {
                Undefined::NotReal
            } else {
                Undefined::TooLarge
            }
        })?;
        // 171! is beyond f64.
        if count > 170 {
            return Err(Undefined::TooLarge);
        }
        (2..=count).try_fold(Self::Whole(1), |product, factor| {
            product.times(Self::Whole(i128::from(factor)))
        })
    }
}

impl fmt::Display for Number {
    /// Whole numbers in full, others to 15 significant digits: what an `f64` is sure of, so that 0.1 + 0.2 is 0.3.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Real(value) => {
                let rounded: f64 = format!("{value:.14e}").parse().unwrap_or(*value);
                let size = rounded.abs();
                if (1e-6..1e16).contains(&size) {
                    write!(f, "{rounded}")
                } else {
                    write!(f, "{rounded:e}")
                }
            }
        }
    }
}
