//! Manual pages.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{Arguments, NAME};
use crate::failure::{Failure, usage};
use crate::help;

/// Returns the page of a command, or of the whole.
pub(super) fn page(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut whole = Arguments::command();
    whole.build();
    let definition = match command {
        None => whole,
        Some(name) => whole
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| usage(format!("there is no command `{}`", name.escape_debug())))?,
    };
    let mut page = Vec::new();
    render(definition, command.unwrap_or_default(), &mut page)?;
    Ok(page)
}

fn render(mut definition: Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let synopsis = definition.render_usage().to_string();
    let has_subcommands = definition.has_subcommands();
    let man = Man::new(definition)
        .source(concat!("pan123-offline ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    man.render_title(page)?;
    man.render_name_section(page)?;
    section("SYNOPSIS", synopsis.trim_start_matches("Usage: ")).to_writer(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if has_subcommands {
        man.render_subcommands_section(page)?;
    }
    table("EXIT STATUS", &help::EXIT_CODES).to_writer(page)?;
    table("ENVIRONMENT", &help::VARIABLES).to_writer(page)?;
    table("FILES", &help::FILES).to_writer(page)?;
    table("EXAMPLES", help::examples_of(name)).to_writer(page)?;
    if !name.is_empty() {
        section("SEE ALSO", &format!("{NAME}(1)")).to_writer(page)?;
    }
    Ok(())
}

fn section(heading: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    roff.text([roman(text)]);
    roff
}

fn table(heading: &str, rows: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (term, meaning) in rows {
        if term.is_empty() {
            roff.control("PP", []);
        } else {
            roff.control("TP", []);
            roff.text([bold(*term)]);
        }
        roff.text([roman(*meaning)]);
    }
    roff
}
