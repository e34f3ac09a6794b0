use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::list::List;

/// A folder of its own for each test, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pan123-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("urls.txt.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn list(lines: &[&str]) -> List {
    List::of_arguments(
        &lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>(),
    )
}

fn sync(store: &mut Store, lines: &[&str]) -> SyncReport {
    store
        .sync(&list(lines), Recreate::default(), |_| ())
        .unwrap()
}

/// Line, key and state of each image.
fn images(store: &Store) -> Vec<(Option<u32>, String, State)> {
    let mut images = Vec::new();
    let all = State::COUNTED;
    store
        .for_each(&all, |image| {
            images.push((image.line, image.key, image.state));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    images
}

fn set(store: &mut Store, row: usize, state: State, task_id: u64) {
    let id = store.new_images().unwrap()[row];
    let mut image = store.image(id).unwrap();
    store
        .change(&mut image, |image| {
            image.state = state;
            image.task_id = Some(task_id);
        })
        .unwrap();
}

const A: &str = "https://e.org/a.png";
const B: &str = "https://e.org/b.png";
const C: &str = "https://e.org/c.png";

#[test]
fn counts_are_those_of_the_list_as_it_is() {
    let mut store = Store::in_memory().unwrap();
    sync(&mut store, &[A, B, C, "https://e.org/x.png,x.png"]);
    set(&mut store, 0, State::Open, 1);
    assert_eq!(store.counts().text(), "2 new, 1 open, 1 invalid");
    // A corrected line, a new order, and images that have left.
    sync(&mut store, &["https://e.org/x.png", C]);
    assert_eq!(store.counts().text(), "2 new");
    assert_eq!(store.counts_left().unwrap().text(), "1 open");
    assert_eq!(store.open_tasks().unwrap(), [1]);
    assert_eq!(
        images(&store),
        [
            (Some(1), "https://e.org/x.png".to_owned(), State::New),
            (Some(2), C.to_owned(), State::New),
            (None, A.to_owned(), State::Open),
        ]
    );
    // It comes back.
    sync(&mut store, &[A]);
    assert_eq!(store.counts().text(), "1 open");
}

#[test]
fn a_creation_that_was_cut_off_is_unknown() {
    let folder = Folder::new();
    let (mut store, is_new) = Store::open_for_run(&folder.state()).unwrap();
    assert!(is_new);
    sync(&mut store, &[A, B]);
    set(&mut store, 0, State::Creating, 1);
    assert_eq!(store.counts().text(), "2 new");
    // Beside the run it counts as new; after a kill as unknown.
    assert_eq!(
        Store::open(&folder.state()).unwrap().counts().text(),
        "2 new"
    );
    drop(store);
    let store = Store::open(&folder.state()).unwrap();
    assert_eq!(store.counts().text(), "1 new, 1 unknown");
    assert_eq!(images(&store)[0].2, State::Unknown);
    drop(store);
    let (mut store, is_new) = Store::open_for_run(&folder.state()).unwrap();
    assert!(!is_new);
    sync(&mut store, &[A, B]);
    assert_eq!(store.counts().text(), "1 new, 1 unknown");
    let recreate = Recreate {
        unknown: true,
        failed: false,
    };
    store.sync(&list(&[A, B]), recreate, |_| ()).unwrap();
    assert_eq!(store.counts().text(), "2 new");
}

#[test]
fn one_process_migrates_and_nothing_but_the_file_remains() {
    let folder = Folder::new();
    let (mut store, _) = Store::open_for_run(&folder.state()).unwrap();
    let error = Store::open_for_run(&folder.state()).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    store.close().unwrap();
    if cfg!(unix) {
        let names = fs::read_dir(&folder.0).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["urls.txt.db"]);
    }
}

#[test]
fn other_files_are_rejected_and_stay_as_they_are() {
    let folder = Folder::new();
    let of_other_program = || {
        let connection = Connection::open(folder.state()).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
    };
    let newer = || {
        Store::open_for_run(&folder.state()).unwrap();
        let connection = Connection::open(folder.state()).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    };
    let text = || fs::write(folder.state(), "https://e.org/a.png\n".repeat(100)).unwrap();
    let damaged = || {
        let (mut store, _) = Store::open_for_run(&folder.state()).unwrap();
        sync(&mut store, &[A, B, C]);
        store.close().unwrap();
        let mut bytes = fs::read(folder.state()).unwrap();
        bytes[200..].fill(0xee);
        fs::write(folder.state(), bytes).unwrap();
    };
    let rows: [(&dyn Fn(), &str); 4] = [
        (&of_other_program, "is no state of this program"),
        (&newer, "newer version"),
        (&text, "is no state of this program"),
        (&damaged, "damaged"),
    ];
    for (prepare, expected) in rows {
        prepare();
        let before = fs::read(folder.state()).unwrap();
        for error in [
            Store::open_for_run(&folder.state()).map(drop).unwrap_err(),
            Store::open(&folder.state()).map(drop).unwrap_err(),
        ] {
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.is_of_system());
        }
        assert_eq!(fs::read(folder.state()).unwrap(), before, "{expected}");
        fs::remove_file(folder.state()).unwrap();
    }
}

#[test]
fn a_change_that_cannot_be_written_changes_nothing() {
    let mut store = Store::in_memory().unwrap();
    sync(&mut store, &[A]);
    let mut image = store.image(1).unwrap();
    store
        .connection
        .pragma_update(None, "query_only", true)
        .unwrap();
    let result = store.change(&mut image, |image| image.state = State::Creating);
    assert!(result.is_err());
    assert_eq!(image.state, State::New);
    assert_eq!(store.counts().text(), "1 new");
}

#[test]
fn keeps_task_ids_and_metadata() {
    let mut store = Store::in_memory().unwrap();
    sync(&mut store, &[A]);
    set(&mut store, 0, State::Open, u64::MAX);
    assert_eq!(store.open_tasks().unwrap(), [u64::MAX]);
    assert_eq!(store.images_of(u64::MAX).unwrap().len(), 1);
    assert_eq!(store.meta("base_url").unwrap(), None);
    store.set_meta("base_url", "a").unwrap();
    store.set_meta("base_url", "b").unwrap();
    assert_eq!(store.meta("base_url").unwrap().as_deref(), Some("b"));
}

/// Lines are compared with the images in their order first, and looked up where that fails.
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
            let report = sync(&mut fresh, after);
            assert_eq!(synced, images(&fresh), "{before:?} {after:?}");
            assert_eq!(sync(&mut store, after), report, "{before:?} {after:?}");
        }
    }
}

/// A kill, or a full disk, may leave such a file.
#[test]
fn a_file_without_tables_is_a_new_state() {
    let folder = Folder::new();
    let path = folder.state();
    for writes in [false, true] {
        fs::write(&path, "").unwrap();
        if writes {
            let connection = Connection::open(&path).unwrap();
            connection
                .pragma_update(None, "journal_mode", "WAL")
                .unwrap();
        }
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.ends_with("is empty; `migrate` fills it"), "{error}");
        assert!(Store::copy_of(&path).unwrap().1);
        assert!(Store::open_for_run(&path).unwrap().1);
        fs::remove_file(&path).unwrap();
    }
}

/// A creation that was sent, and whose id cannot be written, is unknown to the next start, too.
#[test]
fn a_creation_whose_end_cannot_be_written_counts_as_unknown() {
    let mut store = Store::in_memory().unwrap();
    sync(&mut store, &[A, B]);
    let id = store.new_images().unwrap()[0];
    let mut image = store.image(id).unwrap();
    store
        .change(&mut image, |image| image.state = State::Creating)
        .unwrap();
    store
        .connection
        .pragma_update(None, "query_only", true)
        .unwrap();
    store
        .change(&mut image, |image| image.state = State::Open)
        .unwrap_err();
    assert_eq!(store.counts().text(), "1 new, 1 unknown");
}
