//! Why: some tests speak with programs as people have them: a browser, a terminal, curl. Those that are missing are installed
//! where that can be done without a question, by Debian's own means; elsewhere it is said what to install.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::stages::run;

/// What is run to see whether a program is there, and the packages of Debian that bring it.
const WANTED: [(&[&str], &[&str]); 6] = [
    // An example of the API's page is a command of curl.
    (&["curl"], &["curl"]),
    // The model comes by pip where it comes by nothing else; the official client of the API always.
    (
        &["python3", "-m", "pip", "--version"],
        &["python3", "python3-pip"],
    ),
    // The screen of `paraphym top` is tested in a real terminal.
    (&["tmux"], &["tmux"]),
    // What the page decides is tested by node alone, and so is the protocol's example for it.
    (&["node"], &["nodejs"]),
    // The page is tested in a real browser.
    (&["chromium"], &["chromium"]),
    (&["chromedriver"], &["chromium-driver"]),
];

/// Installs what is missing.
pub(crate) fn install() -> Result<(), String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let packages = missing(|program| is_there(program, &path));
    // Of this one a part is taken out later; it need only be known.
    let is_known = quietly("apt-cache", &["show", "prometheus"]);
    if packages.is_empty() && is_known {
        println!("all are here");
        return Ok(());
    }
    let failed = |error: String| needed(&packages, &error);
    as_root(&["apt-get", "update", "-qq"]).map_err(failed)?;
    if packages.is_empty() {
        return Ok(());
    }
    println!("installing {}", packages.join(" "));
    let mut words = vec![
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
    ];
    words.extend(["-y", "-qq", "--no-install-recommends"]);
    words.extend(&packages);
    as_root(&words).map_err(failed)
}

fn needed(packages: &[&str], error: &str) -> String {
    let names = if packages.is_empty() {
        "nothing more, but Debian's list of packages".to_owned()
    } else {
        packages.join(" ")
    };
    format!(
        "{error}; the tests need {names}: install that yourself, or run `cargo xtask test --fast`, which needs no browser, \
         model or promtool"
    )
}

/// The packages of the programs that are not there.
fn missing(is_there: impl Fn(&[&str]) -> bool) -> Vec<&'static str> {
    let wanted = WANTED.iter().filter(|(program, _)| !is_there(program));
    wanted
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect()
}

/// A name is looked for along the path; a command with arguments has to succeed.
fn is_there(program: &[&str], path: &OsStr) -> bool {
    match program {
        [name] => env::split_paths(path).any(|folder| folder.join(name).is_file()),
        [name, arguments @ ..] => quietly(name, arguments),
        [] => true,
    }
}

fn quietly(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// As root if we are, else by sudo if it asks nothing.
fn as_root(words: &[&str]) -> Result<(), String> {
    let id = Command::new("id").arg("-u").output();
    let is_root = id.is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let (program, before): (_, &[&str]) = if is_root {
        ("env", &[])
    } else {
        ("sudo", &["-n"])
    };
    run(Command::new(program).args(before).args(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_by_its_packages() {
        assert_eq!(missing(|_| true), Vec::<&str>::new());
        let no_browser = missing(|program| !program[0].starts_with("chrom"));
        assert_eq!(no_browser, ["chromium", "chromium-driver"]);
        let no_pip = missing(|program| program[0] != "python3");
        assert_eq!(no_pip, ["python3", "python3-pip"]);
        let said = needed(&no_browser, "`apt-get` could not be started");
        assert!(
            said.contains("chromium chromium-driver") && said.contains("--fast"),
            "{said}"
        );
    }

    #[test]
    fn a_program_is_looked_for_along_the_path() {
        let path = env::var_os("PATH").unwrap();
        assert!(is_there(&["sh"], &path));
        assert!(is_there(&["sh", "-c", "exit 0"], &path));
        assert!(!is_there(&["sh", "-c", "exit 1"], &path));
        assert!(!is_there(&["sh"], OsStr::new("/nowhere")));
        assert!(!is_there(&["no-such-program"], &path));
    }
}
