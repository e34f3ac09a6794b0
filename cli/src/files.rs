//! The text files that are named, or lie in folders that are named.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

/// The end of the names of temporary files, which a killed process may leave.
pub(crate) const TEMPORARY: &str = ".pan123-tmp";

/// The end of the names of backups.
pub(crate) const BACKUP: &str = ".bak";

/// The first bytes of a file, which show that a video is no text.
const START_LEN: u64 = 64 * 1024;

/// A file with its text; `None` if it has a NUL byte.
type Found = (PathBuf, Option<Vec<u8>>);

/// Returns a path with an ending after its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Reads the files among the paths and in the folders among them, each once; an error names a file. The files of a
/// folder follow in the byte order of their names, without hidden ones, symbolic links, backups, and what a
/// `.gitignore` names. For a rewriting with a list and its state, these, what stands beside the state, and backups are
/// left out even if they are named; temporary files always are.
pub(crate) fn read(
    paths: &[PathBuf],
    rewriting: Option<(&Path, &Path)>,
) -> impl Iterator<Item = Result<Found, String>> {
    let mut seen = HashSet::new();
    if let Some((list, state)) = rewriting {
        let beside = ["", "-wal", "-shm", ".lock"].map(|end| with_ending(state, end));
        seen.extend(beside.iter().flat_map(fs::canonicalize));
        seen.extend(fs::canonicalize(list));
    }
    let has_named_backups = rewriting.is_none();
    let mut walk = WalkBuilder::new(&paths[0]);
    for path in &paths[1..] {
        walk.add(path);
    }
    walk.standard_filters(false)
        .hidden(true)
        .parents(true)
        .git_ignore(true)
        .require_git(false)
        .sort_by_file_name(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    walk.build().filter_map(move |entry| match entry {
        Ok(entry) if entry.is_stdin() => Some(Err(
            "-: standard input is not read; name files and folders".to_owned(),
        )),
        Ok(entry) => {
            let found = find(&entry, has_named_backups, &mut seen).transpose()?;
            Some(found.map_err(|error| format!("{}: {error}", entry.path().display())))
        }
        Err(error) => {
            let text = error.to_string();
            // The path comes twice.
            let text = text.split("IO error for operation on ").last();
            Some(Err(text.unwrap_or_default().to_owned()))
        }
    })
}

/// Reads one file. `None` for a folder, a symbolic link in a folder, and what is left out or was seen before.
fn find(
    entry: &DirEntry,
    has_named_backups: bool,
    seen: &mut HashSet<PathBuf>,
) -> io::Result<Option<Found>> {
    let (path, is_named) = (entry.path(), entry.depth() == 0);
    let name = entry.file_name().as_encoded_bytes();
    let is_backup = name.ends_with(BACKUP.as_bytes()) && !(is_named && has_named_backups);
    // Before anything is asked about the file: another process may remove a temporary one.
    if is_backup || name.ends_with(TEMPORARY.as_bytes()) {
        return Ok(None);
    }
    let kind = match is_named {
        true => fs::metadata(path)?.file_type(),
        false => fs::symlink_metadata(path)?.file_type(),
    };
    if kind.is_dir() || !is_named && !kind.is_file() {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(io::Error::other("neither a file nor a folder"));
    }
    if !seen.insert(fs::canonicalize(path)?) {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(START_LEN).read_to_end(&mut bytes)?;
    if !bytes.contains(&0) {
        file.read_to_end(&mut bytes)?;
    }
    let text = (!bytes.contains(&0)).then_some(bytes);
    Ok(Some((path.to_owned(), text)))
}
