use std::path::PathBuf;

use super::*;
use crate::list::{List, Remark};

/// A folder that is removed at the end, and a path in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("urls.txt.db");
    (folder, path)
}

/// Enters a list. Returns the number of duplicate lines, and what is told.
fn sync(store: &mut Store, lines: &[&str]) -> (u64, Vec<String>) {
    let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut told = Vec::new();
    let tell = |remark: &Remark<'_>| told.push(remark.reason.to_owned());
    let duplicates = store.sync(&List::of_arguments(&lines), &[], tell);
    (duplicates.unwrap(), told)
}

/// Line, key and state of each image.
fn images(store: &Store) -> Vec<(Option<u32>, String, State)> {
    let mut images = Vec::new();
    let add = |image: Image| {
        images.push((image.line, image.key, image.state));
        Ok::<_, StoreError>(())
    };
    store.for_each(&State::COUNTED, add).unwrap();
    images
}

/// Changes the first new image.
fn set(store: &mut Store, state: State, task_id: u64) -> Image {
    let id = store.new_images().unwrap()[0];
    let mut image = store.image(id).unwrap();
    let change = |image: &mut Image| {
        image.state = state;
        image.task_id = Some(task_id);
    };
    store.change(&mut image, change).unwrap();
    image
}

const A: &str = "https://e.org/a.png";
const B: &str = "https://e.org/b.png";
const C: &str = "https://e.org/c.png";

#[test]
fn a_creation_under_way_is_new_beside_the_run_and_unknown_after_its_end() {
    let (folder, path) = folder();
    let (mut store, _) = Store::open_for_run(&path).unwrap();
    sync(&mut store, &[A, B]);
    set(&mut store, State::Creating, 1);
    assert_eq!(store.counts().text(), "2 new");
    assert_eq!(Store::open(&path).unwrap().counts().text(), "2 new");
    drop(store);
    let beside = Store::open(&path).unwrap();
    assert_eq!(beside.counts().text(), "1 new, 1 unknown");
    assert_eq!(beside.image(1).unwrap().reason.as_deref(), Some(CUT_OFF));
    let (mut store, _) = Store::open_for_run(&path).unwrap();
    sync(&mut store, &[A, B]);
    assert_eq!(store.counts().text(), "1 new, 1 unknown");
    drop(beside);
    store.close().unwrap();
    if cfg!(unix) {
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn other_files_are_rejected_and_stay_as_they_are() {
    let (_folder, path) = folder();
    let of_other_program = || {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
    };
    let newer = || {
        Store::open_for_run(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    };
    let text = || fs::write(&path, "https://e.org/a.png\n".repeat(100)).unwrap();
    let damaged = || {
        let (mut store, _) = Store::open_for_run(&path).unwrap();
        sync(&mut store, &[A, B, C]);
        store.close().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[200..].fill(0xee);
        fs::write(&path, bytes).unwrap();
    };
    let rows: [(&dyn Fn(), &str); 4] = [
        (&of_other_program, "is no state of this program"),
        (&newer, "newer version"),
        (&text, "is no state of this program"),
        (&damaged, "damaged"),
    ];
    for (prepare, expected) in rows {
        prepare();
        let before = fs::read(&path).unwrap();
        for opened in [
            Store::open_for_run(&path).map(|(store, _)| store),
            Store::open(&path),
        ] {
            let error = opened.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.is_of_system());
        }
        assert_eq!(fs::read(&path).unwrap(), before, "{expected}");
        fs::remove_file(&path).unwrap();
    }
}

/// A kill, or a full disk, may leave such a file.
#[test]
fn a_file_without_tables_is_a_new_state() {
    let (_folder, path) = folder();
    for writes in [false, true] {
        fs::write(&path, "").unwrap();
        if writes {
            let connection = Connection::open(&path).unwrap();
            let pragma = connection.pragma_update(None, "journal_mode", "WAL");
            pragma.unwrap();
        }
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.ends_with("is empty; `migrate` fills it"), "{error}");
        assert!(Store::copy_of(&path).unwrap().1);
        assert!(Store::open_for_run(&path).unwrap().1);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn lines_may_move_repeat_appear_and_go() {
    const D: &str = "https://e.org/d.png";
    const E: &str = "https://e.org/E.png";
    let orders: [&[&str]; 8] = [
        &[A, B, C, D],
        &[E, A, B, C, D],
        &[A, C, D],
        &[D, C, B, A],
        &[A, A, B, C, B, D, D],
        &[B, "https://E.ORG/c.png", D, A],
        &[D],
        &[A, "https://e.org/b.png\tb.png", C, "none", D],
    ];
    for before in orders {
        for after in orders {
            let mut store = Store::in_memory().unwrap();
            sync(&mut store, before);
            sync(&mut store, after);
            let synced = images(&store);
            let mut fresh = Store::in_memory().unwrap();
            let (duplicates, _) = sync(&mut fresh, after);
            assert_eq!(synced, images(&fresh), "{before:?} {after:?}");
            assert_eq!(
                sync(&mut store, after).0,
                duplicates,
                "{before:?} {after:?}"
            );
        }
    }
}

/// The first line was migrated with its name.
#[test]
fn names_that_cannot_be_sent_are_told() {
    const NAMED: &str = "https://e.org/a.png\tx.png";
    for (lines, expected) in [
        (&[NAMED, NAMED][..], ""),
        (&["https://e.org/a.png\ty.png"], "its name comes too late"),
        (
            &["https://e.org/c.png\tx.png"],
            "was sent for another image",
        ),
        (
            &["https://e.org/b.png\ty.png", "https://e.org/c.png\ty.png"],
            "to another URL, too",
        ),
        (
            &[B, "https://e.org/b.png#b\ty.png"],
            "another line has the URL",
        ),
        (&["https://e.org/b.png\ty.png", B], ""),
    ] {
        let mut store = Store::in_memory().unwrap();
        sync(&mut store, &[NAMED, B]);
        let mut image = store.image(1).unwrap();
        let change = |image: &mut Image| {
            image.state = State::Succeeded;
            image.file_name = image.name.clone();
        };
        store.change(&mut image, change).unwrap();
        let (_, told) = sync(&mut store, lines);
        assert_eq!(told.len(), usize::from(!expected.is_empty()), "{lines:?}");
        assert!(told.concat().contains(expected), "{lines:?}: {told:?}");
    }
}

/// Such a creation is unknown to the next start, too.
#[test]
fn a_change_that_cannot_be_written_changes_nothing_but_a_creation_is_unknown() {
    let mut store = Store::in_memory().unwrap();
    sync(&mut store, &[A, B]);
    let mut created = set(&mut store, State::Creating, 1);
    let mut new = store.image(2).unwrap();
    let pragma = store.connection.pragma_update(None, "query_only", true);
    pragma.unwrap();
    for (image, state) in [(&mut new, State::New), (&mut created, State::Creating)] {
        let result = store.change(image, |image| image.state = State::Open);
        assert!(result.is_err());
        assert_eq!(image.state, state);
    }
    assert_eq!(store.counts().text(), "1 new, 1 unknown");
}
