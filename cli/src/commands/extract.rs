//! `extract`: the URLs of images in texts.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::counted;
use super::rewrite::read_new_links;
use crate::args::{Common, Extract};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::files::{self, Found, LeftOut};
use crate::json;
use crate::key::ImageUrl;
use crate::list::printable;
use crate::text;

/// One line of `extract --json`.
#[derive(Serialize)]
struct Object<'a> {
    url: &'a str,
}

/// Prints each URL once, in the order of their first places.
pub(super) fn extract(args: &Extract, common: &Common) -> Result<ExitStatus, Failure> {
    let new_links = match &args.state {
        Some(state) => read_new_links(state)?,
        None => Default::default(),
    };
    // New links count as seen, so that they are not printed.
    let new_links = new_links
        .values()
        .flatten()
        .flat_map(|link| ImageUrl::parse(link));
    let mut seen: HashSet<String> = new_links.map(|link| link.key).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut printed, mut texts, mut not_text, mut data, mut relative) = (0, 0, 0, 0, 0);
    let mut status = ExitStatus::Succeeded;
    for found in files::read(&args.paths, LeftOut::default()) {
        let bytes = match found {
            Found::Text { bytes, .. } => bytes,
            Found::NotText => {
                not_text += 1;
                continue;
            }
            Found::Failed(message) => {
                eprint_line(&printable(&message));
                status = ExitStatus::RequestFailed;
                continue;
            }
        };
        texts += 1;
        let links = text::find(&bytes);
        data += links.data;
        relative += links.relative;
        for link in links.links {
            let is_wanted = (link.is_image || args.all) && !link.is_of_host;
            if !is_wanted || !seen.insert(link.url.key) {
                continue;
            }
            printed += 1;
            match common.json {
                true => out.write_all(
                    json::to_line(&Object {
                        url: &link.url.sent,
                    })
                    .as_bytes(),
                )?,
                false => writeln!(out, "{}", link.url.sent)?,
            }
        }
    }
    out.flush()?;
    if !common.quiet {
        let what = if args.all { "URL" } else { "image" };
        let mut summary = format!("{} in {}", counted(printed, what), counted(texts, "file"));
        let left_out = [
            (data, "data: address", "data: addresses"),
            (relative, "relative address", "relative addresses"),
            (not_text, "file that is not text", "files that are not text"),
        ];
        let left_out = left_out.into_iter().filter(|(count, ..)| *count > 0);
        let left_out: Vec<_> = left_out
            .map(|(count, one, more)| format!("{count} {}", if count == 1 { one } else { more }))
            .collect();
        if !left_out.is_empty() {
            summary += &format!("; left out: {}", left_out.join(", "));
        }
        eprint_line(&summary);
    }
    Ok(status)
}
