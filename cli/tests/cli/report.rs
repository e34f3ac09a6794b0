//! `status` and `report`: what the state holds, without a request.

use crate::migrate::{Case, list, url};
#[cfg(unix)]
use crate::tool::{SUCCEEDED, TASK, TOOL};

/// A list of which one image failed, one is invalid and one is new.
fn case() -> Case {
    let list = format!("{}\nhttps://e.org/fail.png\tx.png\nno\u{202e}URL\n", url(0));
    let case = Case::new(&list);
    case.migrate("").ends(2);
    case.write(&format!("https://e.org/new.png\n{list}"));
    case.migrate("--timeout 0").ends(2);
    case
}

#[test]
fn report_prints_the_chosen_states_in_the_order_of_the_list() {
    let case = case();
    let print = |options: &str| {
        let run = case.tool.run(&format!("report urls.txt {options}"));
        run.ends(0).is_quiet();
        run.stdout
    };
    let rows = [
        "1\thttps://e.org/new.png\tnew\t-\t-\n".to_owned(),
        format!("2\t{}\tsucceeded\t403316\t-\n", url(0)),
        "3\thttps://e.org/fail.png\tfailed\t403317\tthe task failed at 40 %\n".to_owned(),
        "4\tno\\u{202e}URL\tinvalid\t-\tit does not begin with http:// or https://\n".to_owned(),
    ];
    assert_eq!(print(""), rows.concat());
    assert_eq!(print("--failed --new"), rows[0].clone() + &rows[2]);
    assert_eq!(print("--invalid"), rows[3]);
    assert!(print("--invalid --json").contains("no\\u202eURL"));
    assert_eq!(print("--open --refused --unknown"), "");
    assert_eq!(print("--failed --urls"), "https://e.org/fail.png\tx.png\n");
    assert_eq!(print("--urls").lines().count(), 3);
    let run = case.tool.run("report urls.txt --urls --invalid");
    run.ends(0)
        .prints("")
        .has_message("leaves invalid lines out");
}

#[test]
fn status_counts_and_tells_scripts() {
    let case = case();
    let run = case.tool.run("status urls.txt");
    run.ends(0).is_quiet().prints(
        "new\t1\nopen\t0\nsucceeded\t1\nfailed\t1\nrefused\t0\nunknown\t0\ninvalid\t1\ntotal\t4\n",
    );
    case.tool.run("status urls.txt --exit-code").ends(4);
    let object = &case.report("--failed")[0];
    let fields: Vec<_> = object.as_object().unwrap().keys().collect();
    let expected = "file_id file_name line link percent reason state task_id url";
    assert_eq!(fields, expected.split(' ').collect::<Vec<_>>());
    // The list is not needed.
    std::fs::remove_file(case.tool.path("urls.txt")).unwrap();
    case.tool.run("status urls.txt --exit-code").ends(4);
    let case = Case::migrated(&list(1));
    case.tool.run("status urls.txt --exit-code").ends(0);
    case.write("none\n");
    case.migrate("").ends(2);
    case.tool.run("status urls.txt --exit-code").ends(1);
    // The command that makes the state was ended before it read the list.
    let state = rusqlite::Connection::open(case.tool.path("urls.txt.db")).unwrap();
    state.execute("DELETE FROM image", []).unwrap();
    case.tool.run("status urls.txt --exit-code").ends(4);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_output_quietly() {
    let case = Case::new(&list(3000));
    case.migrate("--timeout 0").ends(4);
    let script = format!("{TOOL} report urls.txt | head -n 1");
    let run = case.tool.shell(&script);
    assert_eq!(run.ends(0).is_quiet().stdout.lines().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_report_can_be_waited_for() {
    let case = Case::open(3);
    for id in TASK..TASK + 3 {
        case.service.task(id, [SUCCEEDED]);
    }
    let script = format!("{TOOL} report urls.txt --json | {TOOL} wait - --rate inf --quiet");
    let run = case.tool.shell(&script);
    let count = run.ends(0).stdout.matches("\tsucceeded\t").count();
    assert_eq!(count, 3, "{run:#?}");
}
