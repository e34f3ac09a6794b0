//! `extract`: the URLs of images in texts.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};

use serde_json::json;

use super::counted;
use super::rewrite::read_new_links;
use crate::args::{Common, Extract};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::files;
use crate::json;
use crate::list::printable;
use crate::rewrite::NewLink;
use crate::text;

/// Prints each URL once, in the order of their first places.
pub(super) fn extract(args: &Extract, common: &Common) -> Result<ExitStatus, Failure> {
    // New links count as seen, so that they are not printed.
    let mut seen = HashSet::new();
    if let Some(state) = &args.state {
        let new_links = read_new_links(state)?.into_iter();
        let own = new_links.filter(|(_, link)| matches!(link, NewLink::Own));
        seen.extend(own.map(|(key, _)| key));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut printed, mut texts, mut not_text, mut data, mut relative) = (0, 0, 0, 0, 0);
    let mut status = ExitStatus::Succeeded;
    for file in files::read(&args.paths, None) {
        let text = match file {
            Ok((_, Some(text))) => text,
            Ok((_, None)) => {
                not_text += 1;
                continue;
            }
            Err(message) => {
                eprint_line(&printable(&message));
                status = ExitStatus::RequestFailed;
                continue;
            }
        };
        texts += 1;
        let found = text::find(&text);
        data += found.data;
        relative += found.relative;
        for link in found.links {
            let is_wanted = (link.is_image || args.all) && !link.is_of_host;
            if !is_wanted || !seen.insert(link.url.key) {
                continue;
            }
            printed += 1;
            let url = &*link.url.sent;
            match common.json {
                true => out.write_all(json::to_line(&json!({ "url": url })).as_bytes())?,
                false => writeln!(out, "{url}")?,
            }
        }
    }
    out.flush()?;
    if !common.quiet {
        let what = if args.all { "URL" } else { "image" };
        let mut summary = format!("{} in {}", counted(printed, what), counted(texts, "file"));
        let mut separator = "; left out: ";
        for (count, one, more) in [
            (data, "data: address", "data: addresses"),
            (relative, "relative address", "relative addresses"),
            (not_text, "file that is not text", "files that are not text"),
        ] {
            if count > 0 {
                summary += &format!("{separator}{count} {}", if count == 1 { one } else { more });
                separator = ", ";
            }
        }
        eprint_line(&summary);
    }
    Ok(status)
}
