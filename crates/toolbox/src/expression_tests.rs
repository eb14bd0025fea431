//! Against a table, and against an evaluator of another kind: whole numbers through a tree, with no text in between.

use proptest::prelude::*;

use super::*;

#[test]
fn values() {
    let cases = [
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("2^3^2", "512"),
        ("2^-1", "0.5"),
        ("2**10", "1024"),
        ("7 / 2", "3.5"),
        ("6 ÷ 3 × 2 − 1", "3"),
        ("10 % 3", "1"),
        ("-10 % 3", "2"),
        ("10 % -3", "-2"),
        ("5.5 % 2", "1.5"),
        ("0.1 + 0.2", "0.3"),
        ("1/3", "0.333333333333333"),
        ("1e3", "1000"),
        ("1.5e-3", "0.0015"),
        (".5", "0.5"),
        ("5.", "5"),
        (
            "2e",
            "at character 2: 'e' was not expected here: write + - * / % ^ between values",
        ),
        ("5!", "120"),
        ("3!!", "720"),
        ("2^3!", "64"),
        ("factorial(20)", "2432902008176640000"),
        ("99999999999999999999 + 1", "100000000000000000000"),
        ("12345678901234567 * 3", "37037036703703701"),
        ("2^200", "1.60693804425899e60"),
        ("1/1e9", "1e-9"),
        ("sqrt(144)", "12"),
        ("sqrt(2)", "1.4142135623731"),
        ("cbrt(27)", "3"),
        ("abs(-3)", "3"),
        ("sign(-0.1)", "-1"),
        ("floor(-1.5) + ceil(1.2) + trunc(-1.7)", "-1"),
        ("round(2.5)", "3"),
        ("round(3.14159, 2)", "3.14"),
        ("round(1250, -2)", "1300"),
        ("min(3, 1, 2) + max(1, 2.5)", "3.5"),
        ("log(8, 2)", "3"),
        ("log10(1000) + log2(8) + ln(e)", "7"),
        ("sin(0) + cos(0)", "1"),
        ("atan2(1, 1) * 4 - pi", "0"),
        ("hypot(3, 4)", "5"),
        ("gcd(12, 18) + lcm(4, 6)", "18"),
        ("PI", "3.14159265358979"),
        ("tau / 2", "3.14159265358979"),
        ("1 : 4", "0.25"),
    ];
    for (text, expected) in cases {
        let value = evaluate(text).unwrap_or_else(|wrong| wrong);
        assert_eq!(value, expected, "{text}");
    }
}

#[test]
fn every_error_says_where_and_what_to_do() {
    let cases = [
        ("", 1, "a number is missing"),
        ("1 +", 4, "a number is missing"),
        ("1 + * 2", 5, "a number is missing before '*'"),
        ("(1", 3, "a ) is missing"),
        ("1)", 2, "closes nothing"),
        ("1,000 + 1", 2, "write 1000, not 1,000"),
        ("x + 1", 1, "`x` is not known: there are sqrt"),
        ("é(1)", 1, "`é` is not known"),
        ("sqrt 4", 1, "write sqrt(…)"),
        ("sqrt(1, 2)", 1, "takes 1 arguments at most"),
        ("log(8)", 1, "write log(x, base)"),
        ("ππ", 1, "`ππ` is not known"),
        ("π 2", 3, "'2' was not expected here"),
        ("2 / 0", 3, "`/` divides by zero"),
        ("2 % 0", 3, "`%` divides by zero"),
        ("0 ^ -1", 3, "`^` divides by zero"),
        ("1 + sqrt(-1)", 5, "`sqrt` has no real value"),
        ("ln(0)", 1, "has no real value"),
        ("log(2, 1)", 1, "divides by zero"),
        ("(-8)^0.5", 5, "has no real value"),
        ("10^400", 3, "larger than"),
        ("171!", 4, "larger than"),
        ("(-1)!", 5, "no real value"),
        ("1.5!", 4, "whole numbers"),
        ("gcd(1.5, 2)", 1, "whole numbers"),
        ("1e999", 1, "larger than"),
        ("1..2", 3, "'.' was not expected here"),
        ("2 ÷ 0", 3, "`/` divides by zero"),
        ("é + 2 − 1/0", 1, "not known"),
        ("2 − 1/0", 6, "`/` divides by zero"),
        (".", 1, "\".\" is not a number"),
        ("x = 1", 1, "not known"),
        ("1 = 1", 3, "write only what is to be computed"),
    ];
    for (text, position, part) in cases {
        let wrong = value_of(text).unwrap_err();
        assert!(wrong.what.contains(part), "{text}: {wrong}");
        assert_eq!(wrong.position, position, "{text}: {wrong}");
    }
}

#[test]
fn neither_length_nor_depth_is_without_end() {
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(evaluate(&nested(MAX_DEPTH)).unwrap(), "1");
    assert!(
        evaluate(&nested(MAX_DEPTH + 1))
            .unwrap_err()
            .contains("nested deeper than 64")
    );
    for opening in ["-", "2^", "sqrt(", "("] {
        let deep = opening.repeat(MAX_LENGTH / opening.len());
        let refused = evaluate(&deep).unwrap_err();
        assert!(
            refused.contains("nested deeper than 64"),
            "{opening}: {refused}"
        );
    }
    let long = "1+".repeat(MAX_LENGTH / 2);
    assert!(evaluate(&long).unwrap_err().contains("a number is missing"));
    assert!(evaluate(&(long + "1")).unwrap_err().contains("4097 bytes"));
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf(i64),
    Node(Box<Tree>, char, Box<Tree>),
    Minus(Box<Tree>),
}

impl Tree {
    /// By the tree, exactly; `None` beyond 128 bits.
    fn value(&self) -> Option<i128> {
        match self {
            Self::Leaf(value) => Some(i128::from(*value)),
            Self::Minus(inner) => inner.value()?.checked_neg(),
            Self::Node(left, sign, right) => {
                let (left, right) = (left.value()?, right.value()?);
                match sign {
                    '+' => left.checked_add(right),
                    '-' => left.checked_sub(right),
                    _ => left.checked_mul(right),
                }
            }
        }
    }

    /// With no parenthesis that is not needed; `level`: 0 in a sum, 1 in a product, 2 behind a sign.
    fn written(&self, level: u8) -> String {
        let (own, text) = match self {
            Self::Leaf(value) => (3, value.to_string()),
            Self::Minus(inner) => (1, format!("-{}", inner.written(2))),
            Self::Node(left, '*', right) => {
                (1, format!("{} * {}", left.written(1), right.written(2)))
            }
            Self::Node(left, sign, right) => {
                (0, format!("{}{sign}{}", left.written(0), right.written(1)))
            }
        };
        if own < level {
            format!("({text})")
        } else {
            text
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![0_i64..100, 0_i64..i64::MAX].prop_map(Tree::Leaf);
    leaf.prop_recursive(6, 64, 2, |inner| {
        let sign = prop_oneof![Just('+'), Just('-'), Just('*')];
        prop_oneof![
            4 => (inner.clone(), sign, inner.clone())
                .prop_map(|(left, sign, right)| Tree::Node(Box::new(left), sign, Box::new(right))),
            1 => inner.prop_map(|inner| Tree::Minus(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn whole_numbers_are_what_the_tree_says(tree in tree()) {
        let text = tree.written(0);
        prop_assume!(text.len() <= MAX_LENGTH);
        if let Some(expected) = tree.value() {
            prop_assert_eq!(evaluate(&text), Ok(expected.to_string()), "{}", text);
        } else {
            // Beyond 128 bits it is a rounded number, never a wrong whole one.
            let value = value_of(&text);
            prop_assert!(value.is_ok(), "{}: {:?}", text, value);
        }
    }

    #[test]
    fn no_text_panics_and_each_error_has_a_place_in_it(text in "[0-9a-z.,+*/%^()! ×÷π-]{0,40}|\\PC{0,40}") {
        if let Err(wrong) = value_of(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&wrong.position), "{}", wrong);
        }
    }
}
