//! `completions`: a shell's completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Arguments, NAME};

/// Returns a shell's completion script.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut generate = |name: &str| {
        clap_complete::generate(shell, &mut Arguments::command(), name, &mut script);
    };
    if shell != Shell::Bash {
        generate(NAME);
        return String::from_utf8_lossy(&script).into_owned();
    }
    // clap_complete replaces a dash in the name by `__` in one place and by `__subcmd__` in
    // another (4.6.11), so that no label of a subcommand matches. The name is needed as it is in
    // the registration only.
    let name = NAME.replace('-', "_");
    generate(&name);
    let script = String::from_utf8_lossy(&script);
    script.replace(
        &format!("-o default {name}\n"),
        &format!("-o default {NAME}\n"),
    )
}
