//! Faults of the journal of `migrate`: a full disk, a second process, damage, another version.

use std::fs;
use std::io::Write;
use std::time::Duration;

use pan123_offline::testing::Reply;

use crate::migrate::{Case, FAST, creations, list, service};
use crate::tool::{TOOL, Tool, until};

/// A limit on the size of files takes the place of a full disk. It cuts a record at any byte.
#[test]
fn on_a_full_disk_nothing_further_is_sent_and_the_journal_still_reads() {
    for name_len in [0, 1, 60, 120, 200, 300] {
        let case = Case::new(&list(40).replace(".png", &format!("{}.png", "x".repeat(name_len))));
        // In blocks of 512 bytes.
        let script = format!("trap '' XFSZ; ulimit -f 4; exec {TOOL} migrate urls.txt {FAST}");
        let run = case.tool.shell(&script, "");
        run.ends(5)
            .has_message("the journal urls.txt.journal cannot be written: ")
            .has_message(" finished in ");
        let created = creations(&case.service);
        assert!(
            !created.is_empty() && created.len() < 40,
            "{}",
            created.len()
        );
        let counts = case.counts();
        let recorded: u64 = ["open", "succeeded", "unknown"]
            .iter()
            .map(|name| counts[name].as_u64().unwrap())
            .sum();
        // The URL whose result was not recorded is unknown, and its task id was printed.
        assert!(recorded as usize >= created.len(), "{counts}");
        assert!(counts["unknown"].as_u64() <= Some(1), "{counts}");
        let unknown = case.tool.run("report urls.txt.journal --unknown --urls");
        if created.contains_key(unknown.stdout.trim_end()) {
            run.has_message("created task ")
                .has_message("which is not recorded");
        }
        let run = case.migrate("");
        assert!([0, 1].contains(&run.code()), "{run:#?}");
        assert!(
            creations(&case.service)
                .into_values()
                .all(|times| times == 1)
        );
    }
}

#[test]
fn rejects_a_second_process() {
    let case = Case::new(&list(2));
    case.service
        .reply_next(Reply::nothing().delay(Duration::from_secs(600)));
    let running = case.tool.start(&format!("migrate urls.txt {FAST}"), "");
    assert!(until(|| case.service.request_count() == 1));
    case.migrate("")
        .ends(2)
        .has_message("another process is using the journal urls.txt.journal");
    let list = "create --journal urls.txt.journal http://a.example/1.png";
    case.tool
        .run(list)
        .ends(2)
        .has_message("another process is using the journal");
    // Commands that only read the journal need no lock.
    assert_eq!(case.counts()["unknown"], 1);
    case.tool.run("migrate urls.txt --dry-run").ends(0);
    assert_eq!(case.service.request_count(), 1);
    drop(running);
}

#[test]
fn damage_and_other_versions_are_errors_and_nothing_is_sent() {
    let case = Case::new(&list(3));
    case.migrate("").ends(0);
    let whole = fs::read_to_string(case.journal()).unwrap();
    let requests = case.service.request_count();
    let damaged = whole.replacen("\"step\":\"created\"", "\"step\":\"crea", 1);
    let rows = [
        (damaged, "the journal urls.txt.journal is damaged: line "),
        (
            whole.replacen("\"version\":1", "\"version\":2", 1),
            "has format version 2; this program reads version 1",
        ),
        (
            "https://a.example/1.png\n".to_owned(),
            "is not a journal of pan123-offline",
        ),
    ];
    for (text, error) in rows {
        fs::write(case.journal(), &text).unwrap();
        case.migrate("").ends(2).prints("").has_message(error);
        case.tool
            .run("migrate urls.txt --dry-run")
            .ends(2)
            .prints("")
            .has_message(error);
        assert_eq!(
            fs::read_to_string(case.journal()).unwrap(),
            text,
            "it is left as it is"
        );
    }
    assert_eq!(case.service.request_count(), requests);
}

#[test]
fn an_incomplete_last_line_is_cut_off() {
    let case = Case::new(&list(3));
    case.migrate("").ends(0);
    let mut file = fs::File::options()
        .append(true)
        .open(case.journal())
        .unwrap();
    file.write_all(b"{\"at\":\"2026-02-16T10:00:00.000Z\",\"step\":\"crea")
        .unwrap();
    let requests = case.service.request_count();
    case.migrate("").ends(0).has_message("3 of 3 finished");
    assert_eq!(case.service.request_count(), requests);
    assert!(fs::read_to_string(case.journal()).unwrap().ends_with("}\n"));
}

/// The list is read line by line, and its texts are not kept in memory.
#[test]
#[ignore = "takes half a minute; `.ci/run` runs it"]
fn a_million_urls_from_a_pipe_fit_into_300_mb() {
    let service = service();
    let tool = Tool::of(&service);
    let urls = list(1_000_000);
    let limited = |arguments: &str| format!("ulimit -v 300000; exec {TOOL} migrate {arguments} -");
    let run = tool.shell(&limited("--dry-run --journal dry.journal"), urls.clone());
    assert!(run.ends(0).stdout.contains("\nnew\t1000000\n"), "{run:?}");
    assert_eq!(service.request_count(), 0);

    let arguments = format!("--journal real.journal --timeout 5s {FAST}");
    tool.shell(&limited(&arguments), urls).ends(4);
    assert!(service.request_count() > 100);
}

/// A timeout at each step (announced, sent, delayed) gives a valid journal and the same exit code.
#[test]
fn a_timeout_while_tasks_are_created_ends_with_4() {
    for _ in 0..5 {
        let case = Case::new(&list(20_000));
        case.migrate("--timeout 200ms").ends(4);
        assert!(case.counts()["new"].as_u64().unwrap() > 0);
    }
}
