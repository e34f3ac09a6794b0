//! Manual pages.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Arguments;
use crate::failure::{Failure, usage};

/// Returns the page of a command, or of the whole.
pub(super) fn page(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut whole = Arguments::command();
    whole.build();
    let definition = match command {
        None => Some(whole),
        Some(name) => whole.find_subcommand(name).cloned(),
    };
    let mut definition = definition.ok_or_else(|| {
        let name = command.unwrap_or_default().escape_debug();
        usage(format!("there is no command `{name}`"))
    })?;
    // The page's own one names each option of all commands.
    let synopsis = definition.render_usage().to_string();
    let definition = definition
        .override_usage(synopsis.trim_start_matches("Usage: ").to_owned())
        // Otherwise the page has no text about them.
        .mut_args(|option| option.hide_short_help(false));
    let man = Man::new(definition)
        .source(concat!("pan123-offline ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(page)
}
