use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::history::{Recreate, State};
use super::record::{Ended, NotCreated};
use super::write::{Storage, Writer};
use super::*;
use crate::input::Item;

/// A folder that is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pan123-journal-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("urls.journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HEADER: &str =
    "{\"journal\":\"pan123-offline\",\"version\":1,\"at\":\"2026-02-16T10:00:00.000Z\"}\n";
const TASK: u64 = 403_316;

fn url(number: u64) -> Item {
    Item::new(&format!("https://a.example/{number}.png"), None)
}

const CREATED: Step<'_> = Step::Created { task_id: TASK };
const SUCCEEDED: Step<'_> = Step::Ended {
    task_id: TASK,
    outcome: Ended::Succeeded,
};
const FAILED: Step<'_> = Step::Ended {
    task_id: TASK,
    outcome: Ended::Failed,
};

fn not_created(outcome: NotCreated) -> Step<'static> {
    Step::NotCreated {
        outcome,
        reason: "a reason".into(),
    }
}

fn given_up() -> Step<'static> {
    Step::GivenUp {
        task_id: TASK,
        reason: "a reason".into(),
    }
}

fn record<'a>(item: &'a Item, step: Step<'a>) -> Record<'a> {
    Record {
        at: "2026-02-16T10:00:00.000Z".into(),
        url: item.url().into(),
        file_name: item.file_name().map(Into::into),
        step,
    }
}

/// A journal's text with these steps of one URL.
fn text(steps: &[Step<'_>]) -> String {
    let item = url(1);
    let lines = steps
        .iter()
        .map(|step| record(&item, step.clone()).to_line());
    HEADER.to_owned() + &lines.collect::<String>()
}

/// The state of `url(1)` in a journal with this text.
fn state(text: &str) -> Result<State, String> {
    let folder = Folder::new();
    fs::write(folder.journal(), text).unwrap();
    let mut journal = JournalReader::open(&folder.journal()).map_err(|error| error.to_string())?;
    Ok(journal
        .history_mut()
        .mark_seen(url(1).url(), url(1).file_name())
        .unwrap())
}

/// All steps, in an order in which none can follow the one before it.
fn all_steps() -> [Step<'static>; 9] {
    use NotCreated::{Invalid, MayExist, NotSent, Refused};
    let not_created = [MayExist, NotSent, Refused, Invalid].map(not_created);
    let [may_exist, not_sent, refused, invalid] = not_created;
    [
        Step::Creating,
        CREATED,
        may_exist,
        not_sent,
        refused,
        invalid,
        SUCCEEDED,
        FAILED,
        given_up(),
    ]
}

#[test]
fn a_record_has_the_documented_form() {
    let item = Item::new("https://a.example/1.png", Some("cat \u{7f}.png"));
    let start = r#"{"at":"2026-02-16T10:00:00.000Z","step":"#;
    let name = r#""url":"https://a.example/1.png","file_name":"cat \u007f.png""#;
    for (step, step_name, rest) in [
        (Step::Creating, "creating", ""),
        (CREATED, "created", r#","task_id":403316"#),
        (
            not_created(NotCreated::MayExist),
            "not_created",
            r#","outcome":"may_exist","reason":"a reason""#,
        ),
        (
            not_created(NotCreated::NotSent),
            "not_created",
            r#","outcome":"not_sent","reason":"a reason""#,
        ),
        (
            not_created(NotCreated::Refused),
            "not_created",
            r#","outcome":"refused","reason":"a reason""#,
        ),
        (
            not_created(NotCreated::Invalid),
            "not_created",
            r#","outcome":"invalid","reason":"a reason""#,
        ),
        (
            SUCCEEDED,
            "ended",
            r#","task_id":403316,"outcome":"succeeded""#,
        ),
        (FAILED, "ended", r#","task_id":403316,"outcome":"failed""#),
        (
            given_up(),
            "given_up",
            r#","task_id":403316,"reason":"a reason""#,
        ),
    ] {
        let record = record(&item, step);
        let line = format!("{start}\"{step_name}\",{name}{rest}}}\n");
        assert_eq!(record.to_line(), line);
        assert_eq!(Record::parse(line.trim_end().as_bytes()).unwrap(), record);
    }
}

#[test]
fn each_last_step_has_its_state() {
    use State::{Creating, Failed, Invalid, MayExist, New, Open, Refused, Succeeded};
    for (steps, expected) in [
        (vec![], New),
        (vec![Step::Creating], Creating),
        (vec![Step::Creating, Step::Creating], Creating),
        (vec![Step::Creating, CREATED], Open),
        (vec![Step::Creating, CREATED, given_up()], Open),
        (vec![Step::Creating, CREATED, SUCCEEDED], Succeeded),
        (vec![Step::Creating, CREATED, given_up(), FAILED], Failed),
        (
            vec![Step::Creating, CREATED, FAILED, Step::Creating],
            Creating,
        ),
        (
            vec![Step::Creating, not_created(NotCreated::MayExist)],
            MayExist,
        ),
        (vec![Step::Creating, not_created(NotCreated::NotSent)], New),
        (
            vec![Step::Creating, not_created(NotCreated::Refused)],
            Refused,
        ),
        (
            vec![Step::Creating, not_created(NotCreated::Invalid)],
            Invalid,
        ),
        (vec![not_created(NotCreated::Invalid)], Invalid),
    ] {
        assert_eq!(state(&text(&steps)), Ok(expected), "{steps:?}");
    }
}

/// For each state, the steps that can follow it; each other step is damage.
#[test]
fn a_step_that_cannot_follow_is_damage() {
    let creating = Step::Creating;
    let after_creating = || {
        use NotCreated::{Invalid, MayExist, NotSent, Refused};
        let mut steps = [MayExist, NotSent, Refused, Invalid]
            .map(not_created)
            .to_vec();
        steps.extend([Step::Creating, CREATED]);
        steps
    };
    let after_open = || vec![SUCCEEDED, FAILED, given_up()];
    let invalid = || not_created(NotCreated::Invalid);
    for (steps, allowed) in [
        (vec![], vec![creating.clone(), invalid()]),
        (vec![creating.clone()], after_creating()),
        (vec![creating.clone(), CREATED], after_open()),
        (vec![creating.clone(), CREATED, given_up()], after_open()),
        (vec![creating.clone(), CREATED, SUCCEEDED], vec![]),
        (
            vec![creating.clone(), CREATED, FAILED],
            vec![creating.clone()],
        ),
        (
            vec![creating.clone(), not_created(NotCreated::MayExist)],
            vec![creating.clone()],
        ),
        (
            vec![creating.clone(), not_created(NotCreated::NotSent)],
            vec![creating.clone(), invalid()],
        ),
        (
            vec![creating.clone(), not_created(NotCreated::Refused)],
            vec![creating.clone()],
        ),
        (vec![invalid()], vec![]),
    ] {
        for next in all_steps() {
            let all = [&steps[..], std::slice::from_ref(&next)].concat();
            let state = state(&text(&all));
            assert_eq!(state.is_ok(), allowed.contains(&next), "{all:?}: {state:?}");
            if let Err(error) = state {
                let line = format!(
                    "is damaged: line {}: `{}` for a URL",
                    all.len() + 1,
                    next.name()
                );
                assert!(error.contains(&line), "{error}");
            }
        }
    }
}

#[test]
fn state_and_options_decide_about_creation() {
    use State::{Creating, Failed, Invalid, MayExist, New, Open, Refused, Succeeded};
    // Without options, with `unknown`, with `failed`.
    for (state, expected) in [
        (New, [true, true, true]),
        (Creating, [false, true, false]),
        (MayExist, [false, true, false]),
        (Open, [false, false, false]),
        (Succeeded, [false, false, false]),
        (Failed, [false, false, true]),
        (Refused, [false, false, true]),
        (Invalid, [false, false, false]),
    ] {
        let options = [(false, false), (true, false), (false, true)];
        let created =
            options.map(|(unknown, failed)| state.is_to_create(Recreate { unknown, failed }));
        assert_eq!(created, expected, "{state:?}");
    }
}

#[test]
fn damage_is_an_error_with_its_line_number() {
    let good = text(&[Step::Creating, CREATED]);
    for (line, reason) in [
        ("", "EOF while parsing"),
        ("{\"at\":", "EOF while parsing"),
        ("\0\0\0\0", "expected value"),
        ("[]", "invalid length 0"),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"moved","url":"u"}"#,
            "unknown variant `moved`",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"creating"}"#,
            "missing field `url`",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"creating","url":"u","tries":1}"#,
            "unknown field `tries`",
        ),
        (
            r#"{"at":"yesterday","step":"creating","url":"u"}"#,
            "`at` is not a time",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"created","url":"u"}"#,
            "its fields are not those of its step",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"creating","url":"u","task_id":7}"#,
            "its fields are not those of its step",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"ended","url":"u","task_id":7,"outcome":"refused"}"#,
            "its fields are not those of its step",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"ended","url":"u","task_id":7,"outcome":"odd"}"#,
            "unknown `outcome`",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"created","url":"u","task_id":7}"#,
            "`created` for a URL that is new",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"ended","url":"https://a.example/1.png","task_id":7,"outcome":"failed"}"#,
            "the URL's task is not 7",
        ),
        (
            r#"{"at":"2026-02-16T10:00:00.000Z","step":"given_up","url":"https://a.example/1.png","task_id":7,"reason":""}"#,
            "the URL's task is not 7",
        ),
    ] {
        // In the middle of the file.
        let last = record(&url(1), SUCCEEDED).to_line();
        let error = state(&format!("{good}{line}\n{last}")).unwrap_err();
        let expected = format!("urls.journal is damaged: line 4: {reason}");
        assert!(error.contains(&expected), "{line}: {error}");
    }
    let long = "x".repeat(1024 * 1024 + 1);
    let error = state(&format!("{good}{long}\n")).unwrap_err();
    assert!(error.contains("line 4: longer than 1 MiB"), "{error}");
}

#[test]
fn refuses_other_files_and_other_versions() {
    for (text, message) in [
        (
            "https://a.example/1.png\n",
            "is not a journal of pan123-offline",
        ),
        (
            "https://a.example/1.png",
            "is not a journal of pan123-offline",
        ),
        ("", "is not a journal of pan123-offline"),
        ("\n", "is not a journal of pan123-offline"),
        (
            "{\"journal\":\"another\",\"version\":1}\n",
            "is not a journal of pan123-offline",
        ),
        (
            "{\"journal\":\"pan123-offline\",\"version\":2,\"more\":[]}\n{}\n",
            "has format version 2; this program reads version 1",
        ),
    ] {
        let error = state(text).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
        // Nothing is written to such a file, the empty one apart.
        let folder = Folder::new();
        fs::write(folder.journal(), text).unwrap();
        assert_eq!(
            Journal::open(&folder.journal()).is_ok(),
            text.is_empty(),
            "{text}"
        );
        if !text.is_empty() {
            assert_eq!(fs::read_to_string(folder.journal()).unwrap(), text);
        }
    }
    let folder = Folder::new();
    assert!(
        JournalReader::open(&folder.0)
            .unwrap_err()
            .to_string()
            .ends_with("not a regular file")
    );
    assert!(
        Journal::open(&folder.0)
            .unwrap_err()
            .to_string()
            .ends_with("not a regular file")
    );
    let error = JournalReader::open(&folder.journal()).unwrap_err();
    assert!(matches!(error.kind, JournalErrorKind::Read(_)), "{error}");
}

/// Appends a record as a journal does.
fn append<S: Storage>(writer: &mut Writer<S>, record: &Record<'_>) -> io::Result<()> {
    writer.append(&record.to_line(), record.step == Step::Creating)
}

/// Records a step of every line whose open task has this id.
fn end_task(journal: &mut Journal, task_id: u64, step: Step<'_>) {
    let items = journal.items_of(task_id).unwrap();
    for item in &items {
        journal.append(item, step.clone()).unwrap();
    }
}

/// A kill leaves any part of the last line: it is ignored when read, and cut off when opened.
#[test]
fn an_incomplete_last_line_is_cut_off() {
    let whole = text(&[Step::Creating, CREATED, SUCCEEDED]);
    let last = record(&url(1), SUCCEEDED).to_line().len();
    let before = &whole[..whole.len() - last];
    for cut in 1..=last {
        let torn = &whole[..whole.len() - cut];
        let folder = Folder::new();
        fs::write(folder.journal(), torn).unwrap();
        let mut reader = JournalReader::open(&folder.journal()).unwrap();
        assert_eq!(
            reader
                .history_mut()
                .mark_seen(url(1).url(), url(1).file_name()),
            Some(State::Open),
            "{torn}"
        );
        assert_eq!(fs::read_to_string(folder.journal()).unwrap(), torn);

        let mut journal = Journal::open(&folder.journal()).unwrap();
        assert_eq!(fs::read_to_string(folder.journal()).unwrap(), before);
        end_task(&mut journal, TASK, FAILED);
        journal.sync().unwrap();
        assert_eq!(
            state(&fs::read_to_string(folder.journal()).unwrap()),
            Ok(State::Failed)
        );
    }
    // A power failure may leave a last line that was written in part, or zeros.
    for line in ["{\"at\":\"2026", "\0\0\0\0\0\0\0\0"] {
        assert_eq!(state(&format!("{before}{line}\n")), Ok(State::Open));
    }
}

#[test]
fn an_incomplete_header_begins_a_new_journal() {
    for len in 0..HEADER.len() - 1 {
        let folder = Folder::new();
        fs::write(folder.journal(), &HEADER[..len]).unwrap();
        let error = JournalReader::open(&folder.journal()).unwrap_err();
        assert!(
            matches!(error.kind, JournalErrorKind::NotAJournal),
            "{error}"
        );
        let mut journal = Journal::open(&folder.journal()).unwrap();
        journal.append(&url(1), Step::Creating).unwrap();
        assert_eq!(
            state(&fs::read_to_string(folder.journal()).unwrap()),
            Ok(State::Creating)
        );
    }
}

#[test]
fn goes_on_where_another_process_ended() {
    let folder = Folder::new();
    let mut journal = Journal::open(&folder.journal()).unwrap();
    for number in 1..=3 {
        journal.append(&url(number), Step::Creating).unwrap();
    }
    journal
        .append(&url(2), Step::Created { task_id: 8 })
        .unwrap();
    // The service has taken two URLs for the same.
    journal
        .append(&url(3), Step::Created { task_id: 8 })
        .unwrap();
    journal
        .append(&url(4), not_created(NotCreated::Invalid))
        .unwrap();
    // As a kill would: nothing is finished.
    drop(journal);

    let mut journal = Journal::open(&folder.journal()).unwrap();
    assert_eq!(journal.history().open_tasks(), [8]);
    let open = journal.items_of(8).unwrap();
    assert_eq!(open.len(), 2);
    assert!(open.contains(&url(2)) && open.contains(&url(3)));
    let counts = |new, open, succeeded, unknown| Counts {
        new,
        open,
        succeeded,
        failed: 0,
        unknown,
        invalid: 1,
    };
    assert_eq!(journal.history().counts(), counts(0, 2, 0, 1));
    assert_eq!(
        journal
            .history_mut()
            .mark_seen(url(5).url(), url(5).file_name()),
        Some(State::New)
    );
    assert_eq!(
        journal
            .history_mut()
            .mark_seen(url(5).url(), url(5).file_name()),
        None
    );
    assert_eq!(
        journal
            .history_mut()
            .mark_seen(url(1).url(), url(1).file_name()),
        Some(State::Creating)
    );
    assert_eq!(
        journal
            .history_mut()
            .mark_seen(url(1).url(), url(1).file_name()),
        None
    );

    let outcome = Ended::Succeeded;
    end_task(
        &mut journal,
        8,
        Step::Ended {
            task_id: 8,
            outcome,
        },
    );
    assert_eq!(journal.history().counts(), counts(1, 0, 2, 1));
    assert_eq!(journal.items_of(8).unwrap(), []);
    journal.sync().unwrap();
    let reader = JournalReader::open(&folder.journal()).unwrap();
    assert_eq!(reader.history().counts(), counts(0, 0, 2, 1));
}

#[test]
fn one_process_at_a_time_writes_and_others_read() {
    let folder = Folder::new();
    let mut journal = Journal::open(&folder.journal()).unwrap();
    journal.append(&url(1), Step::Creating).unwrap();
    let error = Journal::open(&folder.journal()).unwrap_err();
    assert!(matches!(error.kind, JournalErrorKind::InUse), "{error}");
    assert!(!error.is_write());
    let reader = JournalReader::open(&folder.journal()).unwrap();
    assert_eq!(reader.history().counts().unknown, 1);
    // Reading has not taken the lock away.
    assert!(Journal::open(&folder.journal()).is_err());
    journal.append(&url(1), CREATED).unwrap();
    drop(journal);
    Journal::open(&folder.journal()).unwrap();
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_new_journal() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    Journal::open(&folder.journal()).unwrap();
    let mode = fs::metadata(folder.journal()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A disk that records its calls, and fails on demand.
#[derive(Debug, Default)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    /// The length of the contents at each sync.
    syncs: Mutex<Vec<usize>>,
    /// The number of bytes that fit; 0 for any.
    size: usize,
    fails_to_sync: bool,
}

impl Storage for Arc<Disk> {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut contents = self.bytes.lock().unwrap();
        let fits = match self.size {
            0 => bytes.len(),
            size => bytes.len().min(size - contents.len()),
        };
        contents.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.fails_to_sync {
            return Err(io::Error::other("the disk is broken"));
        }
        let len = self.bytes.lock().unwrap().len();
        self.syncs.lock().unwrap().push(len);
        Ok(())
    }
}

#[test]
fn a_creating_record_is_on_disk_before_append_returns() {
    let disk = Arc::new(Disk::default());
    let mut writer = Writer::new(Arc::clone(&disk)).unwrap();
    let item = url(1);
    for _ in 0..3 {
        append(&mut writer, &record(&item, Step::Creating)).unwrap();
        let len = disk.bytes.lock().unwrap().len();
        assert_eq!(disk.syncs.lock().unwrap().last(), Some(&len));
    }
}

/// The bound is for a slow machine; the delay is a second.
#[test]
fn other_records_reach_the_disk_without_another_append() {
    let disk = Arc::new(Disk::default());
    let mut writer = Writer::new(Arc::clone(&disk)).unwrap();
    for number in 0..3 {
        append(&mut writer, &record(&url(number), CREATED)).unwrap();
    }
    let len = disk.bytes.lock().unwrap().len();
    let started = Instant::now();
    while disk.syncs.lock().unwrap().last() != Some(&len) {
        assert!(started.elapsed() < Duration::from_secs(60), "no sync");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_written_after_an_error_and_the_journal_still_reads() {
    let lines: Vec<_> = (0..4)
        .map(|n| record(&url(n), Step::Creating).to_line())
        .collect();
    let fits = lines[0].len() + lines[1].len();
    for part in [0, 1, lines[2].len() - 1] {
        let disk = Arc::new(Disk {
            size: fits + part,
            ..Disk::default()
        });
        let mut writer = Writer::new(Arc::clone(&disk)).unwrap();
        let mut append = |number| append(&mut writer, &record(&url(number), Step::Creating));
        append(0).unwrap();
        append(1).unwrap();
        assert_eq!(append(2).unwrap_err().kind(), io::ErrorKind::StorageFull);
        for number in 2..4 {
            let error = append(number).unwrap_err();
            assert_eq!(error.to_string(), "an earlier record could not be written");
        }
        let text = String::from_utf8(disk.bytes.lock().unwrap().clone()).unwrap();
        assert_eq!(text.len(), fits + part);
        assert_eq!(state(&(HEADER.to_owned() + &text)), Ok(State::Creating));
    }
}

#[test]
fn nothing_is_written_after_a_sync_has_failed() {
    let disk = Arc::new(Disk {
        fails_to_sync: true,
        ..Disk::default()
    });
    let mut writer = Writer::new(Arc::clone(&disk)).unwrap();
    assert!(append(&mut writer, &record(&url(1), Step::Creating)).is_err());
    let len = disk.bytes.lock().unwrap().len();
    assert!(append(&mut writer, &record(&url(2), CREATED)).is_err());
    assert_eq!(disk.bytes.lock().unwrap().len(), len);

    // A sync by the thread counts, too.
    let disk = Arc::new(Disk {
        fails_to_sync: true,
        ..Disk::default()
    });
    let mut writer = Writer::new(Arc::clone(&disk)).unwrap();
    let started = Instant::now();
    while append(&mut writer, &record(&url(1), CREATED)).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(60), "no error");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Prints the time and the peak memory of a journal with a million URLs that have ended:
/// `cargo test --release --bin pan123-offline -- --ignored --nocapture million`.
#[test]
#[ignore = "takes long, and measures"]
#[cfg(target_os = "linux")]
fn a_million_ended_urls_are_skipped() {
    use std::io::Write;

    const COUNT: u64 = 1_000_000;
    let url = |number| format!("https://images.example.org/2025/11/24/{number:08}-original.png");
    let folder = Folder::new();
    let list = folder.0.join("urls.txt");
    let mut journal = io::BufWriter::new(fs::File::create(folder.journal()).unwrap());
    let mut urls = io::BufWriter::new(fs::File::create(&list).unwrap());
    journal.write_all(HEADER.as_bytes()).unwrap();
    for number in 0..COUNT {
        let item = Item::new(&url(number), None);
        let task_id = TASK + number;
        let outcome = Ended::Succeeded;
        for step in [
            Step::Creating,
            Step::Created { task_id },
            Step::Ended { task_id, outcome },
        ] {
            journal
                .write_all(record(&item, step).to_line().as_bytes())
                .unwrap();
        }
        writeln!(urls, "{}", item.url()).unwrap();
    }
    drop((journal, urls));
    let len = fs::metadata(folder.journal()).unwrap().len();

    let started = Instant::now();
    let mut journal = Journal::open(&folder.journal()).unwrap();
    let read = started.elapsed();
    let file = Box::new(io::BufReader::new(fs::File::open(&list).unwrap()));
    let mut skipped = 0;
    for entry in crate::input::urls_of(file, "urls.txt") {
        let crate::input::Entry::Valid(item) = entry.unwrap() else {
            panic!("an invalid line")
        };
        skipped += u64::from(
            journal
                .history_mut()
                .mark_seen(item.url(), item.file_name())
                == Some(State::Succeeded),
        );
    }
    let total = started.elapsed();
    assert_eq!(skipped, COUNT);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    println!(
        "{len} bytes read in {read:?}, a list of {COUNT} URLs skipped after {total:?}; {peak}"
    );
}
