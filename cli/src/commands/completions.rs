//! `completions`: a shell's completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Arguments, NAME};

/// Returns a shell's completion script.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    // In bash, clap_complete replaces a dash in the name by `__` in one place and by `__subcmd__` in another (4.6.11), so
    // that no label of a subcommand matches. The name is needed as it is in the registration only.
    let name = match shell {
        Shell::Bash => &NAME.replace('-', "_"),
        _ => NAME,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), name, &mut script);
    let script = String::from_utf8_lossy(&script);
    let registration = ["-o default ", name, "\n"].concat();
    let script = script.replace(&registration, &registration.replace(name, NAME));
    script.into_bytes()
}
