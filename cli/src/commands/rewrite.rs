//! `rewrite`: new links in the place of old ones, in files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::counted;
use crate::args::{Common, Rewrite};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::files::{self, BACKUP, Found, LeftOut, with_ending};
use crate::image::State;
use crate::json;
use crate::list::printable;
use crate::rewrite::{self, NewLinks, Rewritten};
use crate::store::{Store, StoreError, state_path};

/// The number of remaining links that the summary names.
const MAX_NAMED: usize = 10;

/// One line of `rewrite --json`.
#[derive(Serialize)]
struct Object<'a> {
    file: &'a str,
    links: usize,
}

/// A file that was changed, or would be.
struct Change {
    file: String,
    links: usize,
    diff: Option<String>,
}

/// Replaces the old links in the files, shows what would be replaced, or undoes that.
pub(super) fn rewrite(args: &Rewrite, common: &Common) -> Result<ExitStatus, Failure> {
    let list = &args.state.list;
    let state = state_path(list, args.state.state.as_deref());
    let new_links = read_new_links(&state)?;
    let mut status = ExitStatus::Succeeded;
    let mut remaining = BTreeMap::new();
    let (mut files, mut links, mut not_text) = (0, 0, 0);
    for found in files::read(&args.paths, LeftOut::rewriting(list, &state)) {
        let change = match found {
            Found::Text { path, bytes } if args.undo => undo(&path, &bytes, &new_links),
            Found::Text { path, bytes } => {
                let new = rewrite::rewrite(&path, &bytes, &new_links, &mut remaining);
                apply(&path, &bytes, &new, &new_links, args)
            }
            Found::NotText => {
                not_text += 1;
                continue;
            }
            Found::Failed(message) => Err(message),
        };
        match change {
            Ok(None) => {}
            Ok(Some(change)) => {
                print(&change, common.json)?;
                files += 1;
                links += change.links;
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
        summary += &describe_remaining(&remaining);
        eprint_line(&summary);
    }
    Ok(status)
}

/// Writes the new text of a file, or compares only. `None` where nothing changes.
fn apply(
    path: &Path,
    bytes: &[u8],
    new: &Rewritten,
    new_links: &NewLinks,
    args: &Rewrite,
) -> Result<Option<Change>, String> {
    if new.links == 0 {
        return Ok(None);
    }
    let diff = args.dry_run.then(|| rewrite::diff(path, bytes, &new.text));
    if !args.dry_run {
        rewrite::replace(path, bytes, &new.text, !args.no_backup)?;
    }
    if !args.dry_run && !args.no_backup {
        warn_of_other_backup(path, bytes, &new.text, new_links);
    }
    Ok(Some(Change {
        file: path.display().to_string(),
        links: new.links,
        diff,
    }))
}

/// Tells that an older backup, which is not overwritten, is not the original of a file.
fn warn_of_other_backup(path: &Path, old: &[u8], new: &[u8], new_links: &NewLinks) {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let original = fs::read(with_ending(&target, BACKUP)).unwrap_or_default();
    let rewritten = || rewrite::rewrite(path, &original, new_links, &mut BTreeMap::new());
    if original != old && rewritten().text != new {
        let backup = with_ending(path, BACKUP);
        let (path, backup) = (path.display(), backup.display());
        let text = format!("{path}: {backup} is not its original, which was not kept");
        eprint_line(&printable(&text));
    }
}

/// Renames the backup of a file over it, if the file is its rewriting. `None` where there is no backup.
fn undo(path: &Path, bytes: &[u8], new_links: &NewLinks) -> Result<Option<Change>, String> {
    let failed = |error: io::Error| format!("{}: not restored: {error}", path.display());
    let target = fs::canonicalize(path).map_err(failed)?;
    let backup = with_ending(&target, BACKUP);
    let old = match fs::read(&backup) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let new = rewrite::rewrite(path, &old, new_links, &mut BTreeMap::new());
    if new.text != bytes {
        return Err(format!(
            "{}: not restored: it differs from what `rewrite` makes of {}",
            path.display(),
            backup.display()
        ));
    }
    fs::rename(&backup, &target).map_err(failed)?;
    Ok(Some(Change {
        file: path.display().to_string(),
        links: new.links,
        diff: None,
    }))
}

fn print(change: &Change, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = match &change.diff {
        _ if as_json => json::to_line(&Object {
            file: &change.file,
            links: change.links,
        }),
        Some(diff) => diff.clone(),
        None => format!("{}\t{}\n", printable(&change.file), change.links),
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Returns the part of the summary on old links that remain: their number for each reason, and the first of them.
fn describe_remaining(remaining: &BTreeMap<String, String>) -> String {
    let mut counts = BTreeMap::new();
    for reason in remaining.values() {
        *counts.entry(&**reason).or_insert(0) += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let mut text = match remaining.len() {
        0 => return String::new(),
        1 => format!("; 1 old link remains: {}", counts.join(", ")),
        many => format!("; {many} old links remain: {}", counts.join(", ")),
    };
    for (url, reason) in remaining.iter().take(MAX_NAMED) {
        text += &format!("\n  {url}: {}", printable(reason));
    }
    if remaining.len() > MAX_NAMED {
        text += &format!("\n  and {} more", remaining.len() - MAX_NAMED);
    }
    text
}

/// Reads the new link of each image in a state, or the reason why it has none.
pub(super) fn read_new_links(path: &Path) -> Result<NewLinks, Failure> {
    let store = Store::open(path)?;
    let mut links = NewLinks::new();
    store.for_each(&State::COUNTED, |image| {
        let link = image.link.ok_or(match image.state {
            State::New | State::Creating => "not migrated yet",
            State::Open => "still being migrated",
            State::Succeeded => "no new link yet",
            other => other.name(),
        });
        links.insert(image.key, link.map_err(str::to_owned));
        Ok::<_, StoreError>(())
    })?;
    Ok(links)
}
