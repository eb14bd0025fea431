//! The functions and constants of a calculator, by name.

use crate::number::{Number, Undefined, Valued};

/// What there is, for the model to read.
pub(crate) const NAMES: &str = "sqrt cbrt abs sign floor ceil round trunc min max exp ln log10 log2 log sin cos tan asin \
     acos atan atan2 hypot gcd lcm factorial, pi e tau";

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

/// How many arguments a function of this name takes; `None`: there is none.
pub(crate) fn takes(name: &str) -> Option<Count> {
    let (least, most) = match name {
        "sqrt" | "cbrt" | "abs" | "sign" | "floor" | "ceil" | "trunc" | "exp" | "ln" | "log10"
        | "log2" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "factorial" => (1, 1),
        "round" => (1, 2),
        "log" | "atan2" | "hypot" | "gcd" | "lcm" => (2, 2),
        "min" | "max" => (1, 64),
        _ => return None,
    };
    Some(Count { least, most })
}

/// The constant of this name.
pub(crate) fn constant(name: &str) -> Option<Number> {
    let value = match name {
        "pi" | "π" => std::f64::consts::PI,
        "e" => std::f64::consts::E,
        "tau" | "τ" => std::f64::consts::TAU,
        _ => return None,
    };
    Some(Number::Real(value))
}

/// The value of a function that [`takes`] as many arguments as these.
pub(crate) fn apply(name: &str, arguments: &[Number]) -> Valued {
    match *arguments {
        [x] => one(name, x),
        [x, y] => two(name, x, y),
        _ => many(name, arguments),
    }
}

fn one(name: &str, x: Number) -> Valued {
    let value = x.as_f64();
    match (name, x) {
        ("abs", _) if value < 0.0 => x.negated(),
        ("abs" | "min" | "max", _) | ("floor" | "ceil" | "round" | "trunc", Number::Whole(_)) => {
            Ok(x)
        }
        ("sign", _) => Ok(Number::Whole(
            i128::from(value > 0.0) - i128::from(value < 0.0),
        )),
        ("factorial", _) => x.factorial(),
        ("sqrt", Number::Whole(whole)) if whole >= 0 => {
            let root = whole.isqrt();
            if root.checked_mul(root) == Some(whole) {
                Ok(Number::Whole(root))
            } else {
                Number::real(value.sqrt())
            }
        }
        ("ln" | "log10" | "log2", _) if value <= 0.0 => Err(Undefined::NotReal),
        _ => Number::real(match name {
            "sqrt" => value.sqrt(),
            "cbrt" => value.cbrt(),
            "floor" => value.floor(),
            "ceil" => value.ceil(),
            "round" => value.round(),
            "trunc" => value.trunc(),
            "exp" => value.exp(),
            "ln" => value.ln(),
            "log10" => value.log10(),
            "log2" => value.log2(),
            "sin" => value.sin(),
            "cos" => value.cos(),
            "tan" => value.tan(),
            "asin" => value.asin(),
            "acos" => value.acos(),
            "atan" => value.atan(),
            _ => return Err(Undefined::NotReal),
        }),
    }
}

fn two(name: &str, x: Number, y: Number) -> Valued {
    let (a, b) = (x.as_f64(), y.as_f64());
    match name {
        "log" if a <= 0.0 || b <= 0.0 => Err(Undefined::NotReal),
        "log" if y == Number::Whole(1) => Err(Undefined::ByZero),
        "log" => Number::real(a.ln() / b.ln()),
        "atan2" => Number::real(a.atan2(b)),
        "hypot" => Number::real(a.hypot(b)),
        "gcd" | "lcm" => {
            let (a, b) = x.as_whole().zip(y.as_whole()).ok_or(Undefined::NotWhole)?;
            let divisor = gcd(a, b)?;
            match (name, divisor) {
                ("gcd", _) => Ok(Number::Whole(divisor)),
                (_, 0) => Ok(Number::Whole(0)),
                _ => one("abs", Number::Whole(a / divisor).times(y)?),
            }
        }
        "round" => rounded(x, y),
        _ => many(name, &[x, y]),
    }
}

fn many(name: &str, arguments: &[Number]) -> Valued {
    let mut best = *arguments.first().ok_or(Undefined::NotReal)?;
    for &next in arguments {
        let is_better = match name {
            "min" => is_less(next, best),
            "max" => is_less(best, next),
            _ => return Err(Undefined::NotReal),
        };
        if is_better {
            best = next;
        }
    }
    Ok(best)
}

fn is_less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Whole(a), Number::Whole(b)) => a < b,
        _ => a.as_f64() < b.as_f64(),
    }
}

/// To `digits` behind the point; below zero: before it.
fn rounded(x: Number, digits: Number) -> Valued {
    let digits = digits.as_whole().ok_or(Undefined::NotWhole)?;
    let Ok(digits) = i32::try_from(digits) else {
        return Err(Undefined::TooLarge);
    };
    if digits.abs() > 15 {
        return Ok(x);
    }
    if digits >= 0 {
        if let Number::Whole(_) = x {
            return Ok(x);
        }
        let scale = 10_f64.powi(digits);
        let scaled = x.as_f64() * scale;
        return Number::real(if scaled.is_finite() {
            scaled.round() / scale
        } else {
            x.as_f64()
        });
    }
    let scale = Number::Whole(10_i128.pow(digits.unsigned_abs()));
    let scaled = Number::real((x.over(scale)?).as_f64().round())?;
    scaled.times(scale)
}

fn gcd(a: i128, b: i128) -> Result<i128, Undefined> {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i128::try_from(a).map_err(|_| Undefined::TooLarge)
}
