//! Completions in bash, zsh and fish at the Tab key, by the shells themselves.

use std::process::Stdio;

use crate::tool::{Running, Tool};

/// Command lines, and what the shell must offer for the last word; nothing but these.
const CASES: [(&str, &[&str]); 6] = [
    ("pan123-offline lo", &["login"]),
    ("pan123-offline rep", &["report"]),
    ("pan123-offline wait --ti", &["--timeout"]),
    ("pan123-offline wait --timeout 1h --js", &["--json"]),
    ("pan123-offline create --f", &["--file-name"]),
    (
        "pan123-offline report urls.txt --u",
        &["--unknown", "--urls"],
    ),
];

/// Asserts that a shell offers these words. It may write more than the words.
#[track_caller]
fn offers(shell: &str, line: &str, expected: &[&str], offered: &str) {
    let mut words: Vec<_> = offered
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words, expected, "{shell}: {line}");
}

/// Runs a script of a shell, which must be installed.
#[track_caller]
fn run(tool: &Tool, shell: &str, arguments: &[&str]) -> String {
    let version = tool
        .command(shell, &["--version"])
        .stdin(Stdio::null())
        .output();
    assert!(version.is_ok(), "this test needs {shell}");
    Running::start(tool.command(shell, arguments), "")
        .end()
        .ends(0)
        .is_quiet()
        .stdout
        .clone()
}

#[test]
fn bash_completes_commands_and_their_options() {
    let tool = Tool::new();
    for (line, expected) in CASES {
        let script = format!(
            "eval \"$(pan123-offline completions bash)\"\n\
             COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             $(complete -p pan123-offline | grep -o -- '-F [^ ]*' | cut -c 4-) pan123-offline \
             \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        offers(
            "bash",
            line,
            expected,
            &run(&tool, "bash", &["--norc", "-c", &script]),
        );
    }
}

#[test]
#[ignore = "needs fish; run by .ci/run"]
fn fish_completes_commands_and_their_options() {
    let tool = Tool::new();
    for (line, expected) in CASES {
        let script =
            format!("pan123-offline completions fish | source; complete --do-complete '{line}'");
        offers(
            "fish",
            line,
            expected,
            &run(&tool, "fish", &["--no-config", "-c", &script]),
        );
    }
}

/// zsh completes in its line editor only: a second zsh runs in a pseudo-terminal, where `compadd`
/// prints the words that are offered.
#[test]
#[ignore = "needs zsh; run by .ci/run"]
fn zsh_completes_commands_and_their_options() {
    let tool = Tool::new();
    let script = tool.run("completions zsh");
    tool.write(
        "functions/_pan123-offline",
        0o644,
        &script.ends(0).is_quiet().stdout,
    );
    let functions = tool.path("functions");
    let setup = format!(
        "PS1='<ready>'; fpath=({} $fpath); autoload -U compinit; compinit -u -D\n\
         compadd() {{ local -a hits; builtin compadd -O hits \"$@\"; builtin compadd \"$@\"\n\
         for hit in $hits; do print -r -- \"<$hit>\"; done }}\n\
         finish() {{ print '<done>'; exit }}; zle -N finish; bindkey '^D' finish\n",
        functions.display()
    );
    tool.write("setup", 0o644, setup);
    for (line, expected) in CASES {
        let script = format!(
            "zmodload zsh/zpty; zpty inner zsh -f -i; zpty -w inner 'source setup'\n\
             zpty -r inner before '*<ready>*'; zpty -w -n inner '{line}'$'\\t\\x04'\n\
             zpty -r inner offered '*<done>*'; print -r -- $offered"
        );
        let output = run(&tool, "zsh", &["-f", "-c", &script]);
        let words: Vec<_> = output
            .split('<')
            .filter_map(|text| Some(text.split_once('>')?.0))
            .filter(|word| *word != "done")
            .collect();
        offers("zsh", line, expected, &words.join("\n"));
    }
}

#[test]
fn rejects_an_unknown_shell() {
    Tool::new()
        .run("completions csh")
        .ends(2)
        .has_message("possible values: bash");
}
