//! Measures the cost of one `get_process`, and the cost of depending on the client: this crate
//! compared with other clients. See `../README.md`. Linux only, since it reads `/proc`.

mod by_name;
mod calls;
mod command;
mod cost;
mod figure;
mod limits;
mod machine;
#[path = "../../../tests/support/name_server.rs"]
mod name_server;
#[path = "../../../tests/support/namespace.rs"]
mod namespace;
mod peer;
mod plot;
mod quotes;
mod readme;
mod results;
mod server;
mod soak;
mod tables;

use std::fs;
use std::process::ExitCode;

use results::Results;

const USAGE: &str = "usage: peers all | calls [--quick] | cost [ROUNDS [NAME…]] | command | soak \
                     | plot | tables | limits";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["all"] => {
            cost::measure(1, &[]);
            command::measure();
            // The last one, since it keeps this process to one core.
            calls::measure(false);
            plot::draw_all();
            update_readmes();
            return print_limits();
        }
        ["calls"] => {
            calls::measure(false);
            return print_limits();
        }
        ["calls", "--quick"] => {
            calls::measure(true);
            return print_limits();
        }
        ["cost"] => cost::measure(1, &[]),
        ["cost", rounds, ref names @ ..] => cost::measure(rounds.parse().expect(USAGE), names),
        ["command"] => command::measure(),
        ["soak"] => soak::measure(),
        ["plot"] => plot::draw_all(),
        ["tables"] => update_readmes(),
        ["limits"] => return print_limits(),
        // These two are for this program itself.
        ["serve", certificate] => server::serve(certificate),
        ["by-name"] => by_name::measure_inside(false),
        ["by-name", "--quick"] => by_name::measure_inside(true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Writes the figures of the results files into the READMEs. Prints the figures that fail the test
/// in `tests/readme.rs`.
fn update_readmes() {
    let results = Results::read(&machine::results());
    for file in readme::FILES {
        let path = machine::root().join(file);
        let text = fs::read_to_string(&path).unwrap();
        match readme::update(file, &text, &results) {
            Ok(text) => {
                for figure in readme::unmeasured(file, &text, &results) {
                    eprintln!("not in a results file: {figure}");
                }
                fs::write(path, text).unwrap();
            }
            Err(missing) => eprintln!("{missing}"),
        }
    }
}

/// Prints each limit with its measured figure. Fails if a limit is exceeded.
fn print_limits() -> ExitCode {
    let results = Results::read(&machine::results());
    print!("{}", tables::limits(&results).to_markdown());
    if limits::check(&results).iter().all(limits::Checked::holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
