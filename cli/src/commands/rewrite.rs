//! `rewrite`: new links in the place of old ones, in files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use super::{counted, print};
use crate::args::{Common, Rewrite};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::files::{self, BACKUP, with_ending};
use crate::image::State;
use crate::json;
use crate::key::ImageUrl;
use crate::links::safe_link;
use crate::list::printable;
use crate::rewrite::{NewLink, NewLinks, Rewritten, diff, replace, rewrite as rewrite_text};
use crate::store::{Store, StoreError, state_path};

/// The number of remaining links that the summary names.
const MAX_NAMED: usize = 10;

/// The old links that remain, each with its reason.
type Remaining = BTreeMap<String, &'static str>;

/// The number of links that were replaced in a file, and the diff of a file that stays.
type Change = Option<(usize, Option<String>)>;

/// Replaces the old links in the files, shows what would be replaced, or undoes that.
pub(super) fn rewrite(args: &Rewrite, common: &Common) -> Result<ExitStatus, Failure> {
    let list = &args.state.list;
    let state = state_path(list, args.state.state.as_deref());
    let new_links = read_new_links(&state)?;
    let mut status = ExitStatus::Succeeded;
    let mut remaining = Remaining::new();
    let (mut files, mut links, mut not_text) = (0, 0, 0);
    for file in files::read(&args.paths, Some((list, &state))) {
        let changed = file.and_then(|(path, text)| {
            let Some(text) = text else {
                not_text += 1;
                return Ok(None);
            };
            match args.undo {
                true => undo(&path, &text, &new_links),
                false => change(&path, &text, &new_links, args, &mut remaining),
            }
            .map(|change| change.map(|(links, diff)| (path.display().to_string(), links, diff)))
        });
        match changed {
            Ok(None) => {}
            Ok(Some((file, count, diff))) => {
                let text = match diff {
                    _ if common.json => json::to_line(&json!({"file": file, "links": count})),
                    Some(diff) => diff,
                    None => format!("{}\t{count}\n", printable(&file)),
                };
                print(text.as_bytes())?;
                files += 1;
                links += count;
            }
            Err(message) => {
                eprint_line(&printable(&message));
                status = ExitStatus::RequestFailed;
            }
        }
    }
    if !common.quiet {
        let (links, files) = (counted(links, "link"), counted(files, "file"));
        let mut summary = match args {
            Rewrite { undo: true, .. } => format!("{files} restored"),
            Rewrite { dry_run: true, .. } => format!("would replace {links} in {files}"),
            _ => format!("replaced {links} in {files}"),
        };
        if not_text > 0 {
            summary += &format!("; left out: {} with a NUL byte", counted(not_text, "file"));
        }
        eprint_line(&(summary + &describe_remaining(&remaining)));
    }
    Ok(status)
}

/// Writes the new text of a file, or compares only. `None` where nothing changes.
fn change(
    path: &Path,
    text: &[u8],
    new_links: &NewLinks,
    args: &Rewrite,
    remaining: &mut Remaining,
) -> Result<Change, String> {
    let (new, links) = rewrite_text(path, text, new_links, remaining);
    if links == 0 || args.dry_run {
        return Ok((links > 0).then(|| (links, Some(diff(path, text, &new)))));
    }
    let file = path.display();
    let failed = |error: String| format!("{file}: not changed: {error}");
    let target = fs::canonicalize(path).map_err(|e| failed(e.to_string()))?;
    let keeps = !args.no_backup;
    // Whether a backup that cannot be read is the original is not known.
    let is_other = keeps
        && match original(path, &target, new_links) {
            Ok(original) => original.is_some_and(|(rewritten, _)| rewritten != new),
            Err(_) => true,
        };
    // A symbolic link stays one, and the file to which it leads is replaced.
    replace(&target, text, &new, keeps).map_err(failed)?;
    if is_other {
        let text = format!("{file}: {file}{BACKUP} is not its original, which was not kept");
        eprint_line(&printable(&text));
    }
    Ok(Some((links, None)))
}

/// Renames the backup of a file over it, if the file is its rewriting. `None` where there is no backup.
fn undo(path: &Path, text: &[u8], new_links: &NewLinks) -> Result<Change, String> {
    let file = path.display();
    let failed = |error: io::Error| format!("{file}: not restored: {error}");
    let target = fs::canonicalize(path).map_err(failed)?;
    let Some((rewritten, links)) = original(path, &target, new_links).map_err(failed)? else {
        return Ok(None);
    };
    if rewritten != text {
        return Err(format!(
            "{file}: not restored: it differs from what `rewrite` makes of {file}{BACKUP}"
        ));
    }
    fs::rename(with_ending(&target, BACKUP), &target).map_err(failed)?;
    Ok(Some((links, None)))
}

/// Returns the rewriting of the backup of a file, if there is one.
fn original(path: &Path, target: &Path, new_links: &NewLinks) -> io::Result<Option<Rewritten>> {
    let old = match fs::read(with_ending(target, BACKUP)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        old => old.ok(),
    };
    let rewritten = |old: Vec<u8>| rewrite_text(path, &old, new_links, &mut Remaining::new());
    Ok(old.map(rewritten))
}

/// Returns the part of the summary on old links that remain: their number for each reason, and the first of them.
fn describe_remaining(remaining: &Remaining) -> String {
    let mut counts = BTreeMap::new();
    for reason in remaining.values() {
        *counts.entry(reason).or_insert(0) += 1;
    }
    let counts = counts
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let mut text = match remaining.len() {
        0 => return String::new(),
        1 => format!("; 1 old link remains: {counts}"),
        many => format!("; {many} old links remain: {counts}"),
    };
    for (url, reason) in remaining.iter().take(MAX_NAMED) {
        text += &format!("\n  {url}: {reason}");
    }
    if remaining.len() > MAX_NAMED {
        text += &format!("\n  and {} more", remaining.len() - MAX_NAMED);
    }
    text
}

/// Reads the new links of a state. Anybody may have written it, so that they are checked again.
pub(super) fn read_new_links(path: &Path) -> Result<NewLinks, Failure> {
    let mut links = NewLinks::new();
    let mut own = Vec::new();
    Store::open(path)?.for_each(&State::COUNTED, |image| {
        let link = match (image.link.as_deref().map(safe_link), image.state) {
            (Some(Some(link)), _) => {
                own.extend(ImageUrl::parse(&link).map(|url| url.key));
                NewLink::Known(link)
            }
            (Some(None), _) => NewLink::Missing("its new link is no http or https URL"),
            (None, State::New | State::Creating) => NewLink::Missing("not migrated yet"),
            (None, State::Open) => NewLink::Missing("still being migrated"),
            (None, State::Succeeded) if image.is_rejected() => {
                NewLink::Missing("rejected by the service's moderation")
            }
            (None, State::Succeeded) => NewLink::Missing("no new link yet"),
            (None, other) => NewLink::Missing(other.name()),
        };
        links.insert(image.key, link);
        Ok::<_, StoreError>(())
    })?;
    links.extend(own.into_iter().map(|key| (key, NewLink::Own)));
    Ok(links)
}
