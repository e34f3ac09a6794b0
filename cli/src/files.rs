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

/// A file that was named or found.
#[derive(Debug)]
pub(crate) enum Found {
    Text {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// A file with a NUL byte.
    NotText,
    /// A file or folder that cannot be read: a message that names it.
    Failed(String),
}

/// The files that are left out, whether they are named or not.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    paths: HashSet<PathBuf>,
    are_named_backups: bool,
}

impl LeftOut {
    /// Leaves out backups, too, a list, its state and what stands beside that.
    pub(crate) fn rewriting(list: &Path, state: &Path) -> Self {
        let beside = ["", "-wal", "-shm", ".lock"].map(|end| with_ending(state, end));
        let paths = beside.iter().map(PathBuf::as_path).chain([list]);
        Self {
            paths: paths
                .filter_map(|path| fs::canonicalize(path).ok())
                .collect(),
            are_named_backups: true,
        }
    }

    fn contains(&self, path: &Path, is_named: bool) -> bool {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is_backup = name.ends_with(BACKUP.as_bytes());
        name.ends_with(TEMPORARY.as_bytes()) || is_backup && (self.are_named_backups || !is_named)
    }
}

/// Returns a path with an ending after its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Reads the text files among the paths and in the folders among them, each once. The files of a folder follow in the
/// byte order of their names, without hidden ones, symbolic links, and what a `.gitignore` names.
pub(crate) fn read(paths: &[PathBuf], left_out: LeftOut) -> impl Iterator<Item = Found> {
    let mut seen = left_out.paths.clone();
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
        Ok(entry) if entry.is_stdin() => {
            let message = "-: standard input is not read; name files and folders";
            Some(Found::Failed(message.to_owned()))
        }
        Ok(entry) => find(&entry, &left_out, &mut seen).unwrap_or_else(|error| {
            let message = format!("{}: {error}", entry.path().display());
            Some(Found::Failed(message))
        }),
        Err(error) => {
            let text = error.to_string();
            // The path comes twice.
            let text = text.split("IO error for operation on ").last();
            Some(Found::Failed(text.unwrap_or_default().to_owned()))
        }
    })
}

/// Reads one file. `None` for a folder, a symbolic link in a folder, and what is left out or was seen before.
fn find(
    entry: &DirEntry,
    left_out: &LeftOut,
    seen: &mut HashSet<PathBuf>,
) -> io::Result<Option<Found>> {
    let (path, is_named) = (entry.path(), entry.depth() == 0);
    // Before anything is asked about the file: another process may remove a temporary one.
    if left_out.contains(path, is_named) {
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
    Ok(Some(match read_text(path)? {
        Some(bytes) => Found::Text {
            path: path.to_owned(),
            bytes,
        },
        None => Found::NotText,
    }))
}

/// Reads a file. `None` if it has a NUL byte.
fn read_text(path: &Path) -> io::Result<Option<Vec<u8>>> {
    const START_LEN: u64 = 64 * 1024;

    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    // A video shows at its start that it is none.
    file.by_ref().take(START_LEN).read_to_end(&mut bytes)?;
    if bytes.contains(&0) {
        return Ok(None);
    }
    let start_len = bytes.len();
    file.read_to_end(&mut bytes)?;
    Ok((!bytes[start_len..].contains(&0)).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_state_are_left_out_when_files_are_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let names = [
            "l.txt",
            "s.db",
            "s.db-wal",
            "s.db-shm",
            "s.db.lock",
            "a.bak",
            "b.pan123-tmp",
            "other",
        ];
        for name in names {
            fs::write(path(name), name).unwrap();
        }
        let texts = |paths: &[PathBuf]| -> Vec<_> {
            let found = read(paths, LeftOut::rewriting(&path("l.txt"), &path("s.db")));
            let texts = found.map(|found| match found {
                Found::Text { path, bytes } => (path, bytes),
                other => panic!("{other:?}"),
            });
            texts.collect()
        };
        let other = vec![(path("other"), b"other".to_vec())];
        assert_eq!(texts(&[folder.path().to_owned()]), other);
        assert_eq!(texts(&names.map(path)), other);
    }
}
