//! Completions in bash, zsh and fish at the Tab key, by the shells themselves.

use std::collections::BTreeSet;
use std::path::Path;

use crate::tool::{Running, TOOL, Tool};

/// Command lines, and what the shell must offer for the last word; nothing but these.
const CASES: [(&str, &[&str]); 6] = [
    ("lo", &["login"]),
    ("rep", &["report"]),
    ("wait --ti", &["--timeout"]),
    ("wait --timeout 1h --js", &["--json"]),
    ("create --f", &["--file-name"]),
    ("report urls.txt --u", &["--unknown", "--urls"]),
];

/// Runs a script of a shell for each case, and asserts that it offers the words and nothing else.
#[track_caller]
fn assert_offers(tool: &Tool, shell: &str, options: &[&str], script: impl Fn(&str) -> String) {
    let folder = Path::new(TOOL).parent().unwrap().display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    for (line, expected) in CASES {
        let script = script(&format!("pan123-offline {line}"));
        let mut command = tool.command(shell, options);
        command.arg(script).env("PATH", &path);
        let run = Running::start(command, "").end();
        let offered = run.ends(0).is_quiet().stdout.lines();
        let words: BTreeSet<_> = offered.filter_map(|line| line.split('\t').next()).collect();
        assert!(words.iter().eq(expected), "{shell}: {line}: {words:?}");
    }
}

#[test]
fn bash_completes_commands_and_their_options() {
    assert_offers(&Tool::new(), "bash", &["--norc", "-c"], |line| {
        format!(
            "eval \"$(pan123-offline completions bash)\"\n\
             COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             $(complete -p pan123-offline | grep -o -- '-F [^ ]*' | cut -c 4-) pan123-offline \
             \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    });
}

#[test]
#[ignore = "needs fish; run by .ci/run"]
fn fish_completes_commands_and_their_options() {
    assert_offers(&Tool::new(), "fish", &["--no-config", "-c"], |line| {
        format!("pan123-offline completions fish | source; complete --do-complete '{line}'")
    });
}

/// zsh completes in its line editor only: a second zsh runs in a pseudo-terminal, where `compadd`
/// prints the words that are offered.
#[test]
#[ignore = "needs zsh; run by .ci/run"]
fn zsh_completes_commands_and_their_options() {
    let tool = Tool::new();
    let functions = tool.run("completions zsh");
    let functions = tool.write("functions/_pan123-offline", &functions.ends(0).stdout);
    let setup = format!(
        "PS1='<ready>'; fpath=({} $fpath); autoload -U compinit; compinit -u -D\n\
         compadd() {{ local -a hits; builtin compadd -O hits \"$@\"; builtin compadd \"$@\"\n\
         for hit in $hits; do print -r -- \"<$hit>\"; done }}\n\
         finish() {{ print '<done>'; exit }}; zle -N finish; bindkey '^D' finish\n",
        functions.parent().unwrap().display()
    );
    tool.write("setup", setup);
    assert_offers(&tool, "zsh", &["-f", "-c"], |line| {
        format!(
            "zmodload zsh/zpty; zpty inner zsh -f -i; zpty -w inner 'source setup'\n\
             zpty -r inner before '*<ready>*'; zpty -w -n inner '{line}'$'\\t\\x04'\n\
             zpty -r inner offered '*<done>*'\n\
             print -r -- $offered | grep -o '<[^>]*>' | tr -d '<>' | grep -vx done"
        )
    });
}

#[test]
fn rejects_an_unknown_shell() {
    let run = Tool::new().run("completions csh");
    run.is_rejected("possible values: bash");
}

#[test]
fn manual_pages_describe_each_option() {
    for command in ["man", "man wait"] {
        let page = Tool::new().run(command);
        assert!(page.ends(0).stdout.contains("\nKeep the token of "));
    }
    let run = Tool::new().run("man nosuch");
    run.ends(2).has_message("there is no command `nosuch`");
}
