//! The parts of help and manual that are no options: examples, variables, files, exit codes.

use std::fmt::Write;

/// Exit codes and their meanings.
pub(crate) const EXIT_CODES: [(&str, &str); 10] = [
    ("0", "all succeeded"),
    (
        "1",
        "some task failed, or it is unknown whether it exists; or a link is missing",
    ),
    (
        "2",
        "usage error, or a setting or a line of a list that cannot work",
    ),
    ("3", "not authorised, or banned"),
    ("4", "timed out (--timeout); the tasks go on"),
    (
        "5",
        "a request failed or was refused, or the output cannot be written",
    ),
    ("130", "interrupted by Ctrl-C (SIGINT)"),
    ("143", "ended by SIGTERM (129: by SIGHUP)"),
    ("141", "output closed (broken pipe)"),
    (
        "",
        "If more than one applies, the first of 3, 2, 5, 4, 1 is used.",
    ),
];

/// Environment variables.
pub(crate) const VARIABLES: [(&str, &str); 8] = [
    ("PAN123_ACCESS_TOKEN", "access token, used as it is"),
    (
        "PAN123_CLIENT_ID",
        "client id, for which tokens are requested",
    ),
    ("PAN123_CLIENT_SECRET", "client secret"),
    ("PAN123_TOKEN_CACHE", "as --token-cache"),
    ("PAN123_BASE_URL", "as --base-url"),
    ("PAN123_CONFIG", "as --config"),
    ("HTTPS_PROXY, ALL_PROXY", "proxy for requests"),
    ("NO_PROXY", "hosts that are reached without the proxy"),
];

/// Files, with their places on Linux.
pub(crate) const FILES: [(&str, &str); 3] = [
    (
        "LIST.db",
        "state of a migration: a SQLite database, readable by its owner only",
    ),
    (
        "~/.config/pan123-offline/config.json",
        "configuration file: a JSON object with any of access_token, client_id, client_secret, \
         token_cache and base_url; readable by its owner only",
    ),
    (
        "~/.cache/pan123-offline/token",
        "token cache: the token that `pan123-offline login` has requested",
    ),
];

/// The examples of a command: command lines and their effects.
pub(crate) fn examples_of(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "process" => &[
            (
                "pan123-offline process 403316",
                "print the progress of one task",
            ),
            (
                "pan123-offline process --json - < ids.txt",
                "print that of many tasks as JSON lines",
            ),
        ],
        "wait" => &[
            (
                "pan123-offline wait 403316 403317",
                "follow two tasks to their end",
            ),
            (
                "pan123-offline wait --timeout 2h - < ids.txt",
                "follow many tasks for two hours at most",
            ),
        ],
        "create" => &[
            (
                "pan123-offline create https://example.org/cat.png --wait",
                "create a task and follow it",
            ),
            (
                "pan123-offline create --directory 77 https://example.org/cat.png",
                "put the image into a folder",
            ),
        ],
        "migrate" => &[
            (
                "pan123-offline migrate urls.txt",
                "migrate a list of images; the same command goes on after an interruption",
            ),
            (
                "pan123-offline migrate --dry-run urls.txt",
                "print what would be done, and how long it takes at least",
            ),
            (
                "pan123-offline migrate --retry-failed --max-failures 20 urls.txt",
                "create failed images again, and stop after 20 failures",
            ),
            (
                "pan123-offline migrate --state images.db - < urls.txt",
                "read the list from standard input",
            ),
        ],
        "status" => &[
            (
                "pan123-offline status urls.txt",
                "count the images in each state",
            ),
            (
                "pan123-offline status --exit-code urls.txt",
                "tell a script whether all have succeeded",
            ),
        ],
        "report" => &[
            (
                "pan123-offline report urls.txt --failed --refused",
                "print what failed, and why",
            ),
            (
                "pan123-offline report urls.txt --failed --urls > failed.txt",
                "write the URLs that failed into a list",
            ),
            (
                "pan123-offline report urls.txt --open --json | pan123-offline wait -",
                "follow the open tasks",
            ),
        ],
        "extract" => &[
            (
                "pan123-offline extract posts/ > urls.txt",
                "make a list of the images in a folder of posts",
            ),
            (
                "pan123-offline extract --state urls.txt.db posts/",
                "print the images that were added since, where new links have a domain of your own",
            ),
        ],
        "links" => &[
            (
                "pan123-offline links urls.txt",
                "find the new links, and print them beside the old ones",
            ),
            (
                "pan123-offline links --refresh urls.txt",
                "look all links up again, for example with a new domain of your own",
            ),
        ],
        "rewrite" => &[
            (
                "pan123-offline rewrite --dry-run urls.txt posts/",
                "show the lines that would change",
            ),
            (
                "pan123-offline rewrite urls.txt posts/",
                "replace the old links; FILE.bak keeps each original",
            ),
            (
                "pan123-offline rewrite --undo urls.txt posts/",
                "bring the originals back",
            ),
        ],
        "login" => &[(
            "pan123-offline login",
            "keep a token, so that no variable has to be set",
        )],
        "demo" => &[("pan123-offline demo", "show the whole way on a terminal")],
        "completions" => &[(
            "pan123-offline completions bash > ~/.local/share/bash-completion/completions/pan123-offline",
            "install the completions for bash",
        )],
        "man" => &[(
            "pan123-offline man wait | man -l -",
            "read the manual of a command",
        )],
        _ => &[
            (
                "pan123-offline demo",
                "show the whole way, without an account",
            ),
            ("pan123-offline login", "request and keep a token"),
            (
                "pan123-offline extract posts/ > urls.txt",
                "make a list of the images in a folder of posts",
            ),
            (
                "pan123-offline migrate urls.txt",
                "migrate them, through interruptions",
            ),
            ("pan123-offline links urls.txt", "find their new links"),
            (
                "pan123-offline rewrite urls.txt posts/",
                "replace the old links in the posts",
            ),
        ],
    }
}

/// Returns the text below the long help of a command.
pub(crate) fn examples(command: &str) -> String {
    let mut text = "Examples:".to_owned();
    for (line, meaning) in examples_of(command) {
        let _ = write!(text, "\n  # {meaning}\n  {line}");
    }
    text
}

/// Returns the text below the long help of the whole command.
pub(crate) fn general() -> String {
    let mut text = examples("");
    let mut table = |heading: &str, rows: &[(&str, &str)], width: usize| {
        let _ = write!(text, "\n\n{heading}");
        for (name, meaning) in rows {
            let _ = match width {
                0 => write!(text, "\n  {name}\n      {meaning}"),
                _ => write!(text, "\n  {name:width$} {meaning}"),
            };
        }
    };
    table(
        "Environment (options come first, then variables, then the configuration file):",
        &VARIABLES,
        22,
    );
    table("Files:", &FILES, 0);
    table("Exit codes:", &EXIT_CODES, 4);
    text
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::{Arguments, NAME};

    #[test]
    fn each_command_has_examples_that_parse() {
        let commands = Arguments::command();
        let names = commands.get_subcommands().map(|command| command.get_name());
        for name in names.chain([""]) {
            for (line, _) in examples_of(name) {
                let own = line.split('|').filter(|part| part.trim().starts_with(NAME));
                for part in own {
                    let words = part
                        .split_whitespace()
                        .take_while(|word| !["<", ">"].contains(word));
                    let parsed = Arguments::try_parse_from(words);
                    assert!(parsed.is_ok(), "{line}: {parsed:?}");
                }
                assert!(line.contains(&format!("{NAME} {name}")), "{line}");
            }
        }
    }
}
