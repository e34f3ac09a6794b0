//! What one `get_process` costs, and what a program pays that depends on it: this crate beside its peers.
//!
//! `cargo run --release -- calls`, with `--quick` for a short look, and `cargo run --release -- cost`, with the number of
//! builds if one is not enough. See `../README.md`. Linux only: it reads `/proc`.

mod calls;
mod cost;
mod machine;
mod peer;
mod server;
mod table;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["calls"] => calls::report(calls::Effort::FULL),
        ["calls", "--quick"] => calls::report(calls::Effort::QUICK),
        ["cost"] => cost::report(1, &[]),
        ["cost", rounds, ref names @ ..] => cost::report(rounds.parse().expect("the number of rounds"), names),
        ["serve", certificate] => server::serve(certificate),
        _ => {
            eprintln!("usage: peers calls [--quick] | cost [ROUNDS [NAME…]]");
            std::process::exit(2);
        }
    }
}
