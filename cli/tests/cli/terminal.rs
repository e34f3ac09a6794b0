//! Output on a terminal: bars that fit it and reach their end, and colours on demand.
//!
//! `script` of util-linux makes the terminal, `stty` sets its size, [`Screen`] has its contents.

use std::io::Write;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};

use crate::migrate::{Case, FAST, created_task, list};
use crate::screen::Screen;
use crate::tasks::{ids, service_of_any_task};
use crate::tool::{HALF, Run, Running, SUCCEEDED, TOOL, Tool, at_once, service, until};

/// Rows and columns.
const SIZE: [usize; 2] = [24, 80];

/// Starts the tool on a terminal of this size, with standard error on it and no standard input.
fn start_on(tool: &Tool, [height, width]: [usize; 2], arguments: &str) -> Running {
    let line = format!(
        "stty rows {height} cols {width}; exec env --default-signal {TOOL} {arguments} </dev/null"
    );
    Running::start(tool.command("script", &["-qec", &line, "/dev/null"]), "")
}

#[track_caller]
fn run_on(tool: &Tool, arguments: &str) -> Run {
    start_on(tool, SIZE, arguments).end()
}

/// A tool on a terminal with colours, Unicode and a movable cursor.
fn modern(tool: Tool) -> Tool {
    tool.with("TERM", "xterm-256color").with("LANG", "C.UTF-8")
}

/// Runs the tool to its end on such a terminal.
#[track_caller]
fn run(tool: Tool, size: [usize; 2], arguments: &str) -> (Run, Screen) {
    let run = start_on(&modern(tool), size, arguments).end();
    let screen = Screen::showing(size, &run.stdout);
    (run, screen)
}

fn is_colored(output: &str) -> bool {
    (30..=37).any(|color| output.contains(&format!("\u{1b}[{color}m")))
}

/// The text on the only line of a task, after its bar.
#[track_caller]
fn result_of(screen: &Screen, label: &str) -> String {
    let mut lines = screen.lines();
    lines.retain(|line| line.starts_with(&format!("{label} ")));
    assert_eq!(lines.len(), 1, "{label}: {lines:#?}");
    let text = lines[0].trim_start_matches(label);
    text.trim_start_matches([' ', '━', '╸', '─']).to_owned()
}

/// The number of lines that contain a text.
fn count(screen: &Screen, text: &str) -> usize {
    let lines = screen.lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn each_task_has_its_bar_which_stays_and_nothing_is_drawn_twice() {
    let service = Service::start().unwrap();
    service.task(1, [HALF, HALF, SUCCEEDED]);
    service.task(2, [HALF, Progress::new(Status::Failed, 60)]);
    let (run, screen) = run(Tool::of(&service), SIZE, "wait 1 2 3 --rate 40");
    run.ends(5);
    assert!(is_colored(&run.stdout), "{run:#?}");
    assert_eq!(result_of(&screen, "1"), "100 %  succeeded");
    assert_eq!(result_of(&screen, "2"), "60 %  failed");
    assert_eq!(result_of(&screen, "3"), "0 %  unknown");
    let counts = (count(&screen, "3 tasks in "), count(&screen, "0 of 3"));
    assert_eq!(counts, (1, 0), "{:#?}", screen.lines());
    // A bar was drawn before its task ended.
    for text in ["0 of 3", "in progress"] {
        assert!(run.stdout.contains(text), "{run:#?}");
    }
}

/// If there were more rows than the terminal has, some would scroll out and be drawn twice.
#[test]
fn bars_fit_the_terminal() {
    let cases = [
        (24, 80, 19),
        (8, 80, 30),
        (8, 80, 7),
        (5, 40, 3),
        (3, 30, 5),
    ];
    at_once(cases, |(height, width, tasks)| {
        let service = Service::start().unwrap();
        for id in 1..=tasks {
            service.task(id, [HALF, SUCCEEDED]);
        }
        let command = format!("wait {} --rate 40", ids(tasks).replace('\n', " "));
        let (run, screen) = run(Tool::of(&service), [height, width], &command);
        run.ends(0);
        let tasks = tasks as usize;
        let has_rows = tasks + 3 <= height && tasks <= 19;
        let rows = if has_rows { tasks } else { 0 };
        let lines = screen.lines();
        assert_eq!(count(&screen, "100 %"), rows, "{height}: {lines:#?}");
    });
}

#[test]
fn a_long_list_has_one_bar_with_rate_and_time_left() {
    let case = Case::new(&list(30));
    let arguments = "migrate urls.txt --rate inf --create-rate 10";
    let (run, screen) = run(case.tool, SIZE, arguments);
    run.ends(0);
    for text in [" of 30  ", "/s, ", "s left"] {
        assert!(run.stdout.contains(text), "{run:#?}");
    }
    let mut lines = screen.lines();
    lines.retain(|line| !line.is_empty());
    let [start, .., summary] = &lines[..] else {
        panic!("{lines:#?}")
    };
    assert!(start.contains("state urls.txt.db (new)"), "{lines:#?}");
    assert!(summary.contains("30 images in "), "{lines:#?}");
    assert!(summary.ends_with(": 30 succeeded"), "{lines:#?}");
}

#[test]
fn errors_stand_above_the_bars() {
    let service = Service::start().unwrap();
    service.reply_with(|request| {
        Some(match request.task_id()? % 2 {
            // Some terminals obey these characters.
            0 => Reply::code(5066, "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m"),
            _ => Reply::progress(SUCCEEDED),
        })
    });
    let command = format!("wait {} --rate inf", ids(30).replace('\n', " "));
    let (run, screen) = run(Tool::of(&service), [8, 80], &command);
    run.ends(5);
    let lines = screen.lines();
    for id in (2..=30).step_by(2) {
        let told = count(&screen, &format!("pan123-offline: {id}: "));
        assert_eq!(told, 1, "{lines:#?}");
    }
    assert_eq!(count(&screen, "30 tasks in "), 1, "{lines:#?}");
    assert!(count(&screen, r"\u{1b}]0;owned") > 0, "{lines:#?}");
}

#[test]
fn no_color_and_dumb_terminals_are_obeyed() {
    let service = service_of_any_task();
    let tool = modern(Tool::of(&service));
    let line = "1\tsucceeded\t100 %\r\n";
    let json = run_on(&tool, "wait 1 --json --quiet");
    assert!(!json.ends(0).stdout.contains('\u{1b}'), "{json:#?}");
    assert_eq!(json.json().len(), 1);
    run_on(&tool, "process 1").ends(0).prints(line);
    let tool = tool.with("NO_COLOR", "1");
    let plain = run_on(&tool, "wait 1");
    assert!(!is_colored(&plain.ends(0).stdout), "{plain:#?}");
    for tool in [tool.with("TERM", "dumb"), Tool::of(&service)] {
        run_on(&tool, "wait 1").ends(0).prints(line);
    }
}

/// Ctrl-C comes from the keyboard, and the terminal writes `^C` below the bars.
#[test]
fn ctrl_c_keeps_the_bars() {
    let service = service();
    let tool = modern(Tool::of(&service));
    let line = format!("stty rows 24 cols 80; exec env --default-signal {TOOL} wait 403316");
    let command = tool.command("script", &["-qec", &line, "/dev/null"]);
    let (running, mut keyboard) = Running::spawn(command, None);
    assert!(until(|| service.request_count() >= 2));
    keyboard.write_all(b"\x03").unwrap();
    let run = running.end();
    let output = run.ends(130).stdout.replace('\u{3}', "");
    let screen = Screen::showing(SIZE, &output);
    assert_eq!(result_of(&screen, "403316"), "37 %  in progress");
    assert_eq!(count(&screen, "interrupted: 1 task in "), 1);
}

/// Progress goes to standard error, and is shown while the results go to a file.
#[test]
fn bars_show_beside_results_in_a_file() {
    let case = Case::new(&list(25));
    let tool = modern(case.tool);
    let run = run_on(&tool, &format!("migrate urls.txt {FAST} > out"));
    assert!(run.ends(0).stdout.contains(" of 25 "), "{run:#?}");
    let out = std::fs::read_to_string(tool.path("out")).unwrap();
    assert_eq!(out.lines().count(), 25);
}

/// Bars would destroy what the reader of the pipe prints on the same terminal.
#[test]
fn no_bars_show_beside_results_in_a_pipe() {
    let service = service_of_any_task();
    let run = run_on(&modern(Tool::of(&service)), "wait 1 2 3 | cat && true");
    assert!(!run.ends(0).stdout.contains('\u{1b}'), "{run:#?}");
    assert_eq!(run.stdout.matches("\tsucceeded\t100 %").count(), 3);
}

#[test]
fn sixty_columns_have_room_for_status_and_time_left() {
    let service = service_of_any_task();
    let (_, screen) = run(Tool::of(&service), [24, 60], "wait 403316");
    assert_eq!(result_of(&screen, "403316"), "100 %  succeeded");
    let case = Case::new(&list(30));
    let arguments = "migrate urls.txt --rate inf --create-rate 10";
    let (run, _) = run(case.tool, [24, 60], arguments);
    assert!(run.ends(0).stdout.contains("s left"), "{run:#?}");
}

#[test]
fn a_rate_limit_and_an_outage_are_shown() {
    let limited = Reply::code(429, "slow down").header("Retry-After", "540");
    let cases = [
        (limited, "rate limited, next request in 9 min; 1 open"),
        (Reply::new(502), "HTTP 502 for "),
    ];
    at_once(cases, |(reply, text)| {
        let service = Service::start().unwrap();
        service.reply_with(move |_| Some(reply.clone()));
        let (run, screen) = run(Tool::of(&service), SIZE, "wait 1 --timeout 5s");
        assert!(run.ends(4).stdout.contains(text), "{run:#?}");
        // The bars are gone; the summary has the reason after the counts.
        assert_eq!(count(&screen, "; 1 open"), 0, "{run:#?}");
    });
}

#[test]
fn a_creation_under_way_counts_as_new() {
    let case = Case::new(&list(1));
    case.service.task(1, [SUCCEEDED]);
    let reply = created_task(1).delay(Duration::from_secs(2));
    case.service.reply_next(reply);
    let run = run_on(&modern(case.tool), &format!("migrate urls.txt {FAST}"));
    assert!(run.ends(0).stdout.contains("0 of 1"), "{run:#?}");
    assert!(run.stdout.contains("1 new"), "{run:#?}");
    assert!(!run.stdout.contains("unknown"), "{run:#?}");
}

#[test]
fn other_locales_have_ascii_bars() {
    let service = service_of_any_task();
    for (locale, bar) in [("C", "="), ("de_DE.ISO-8859-1", "="), ("zh_CN.UTF-8", "━")] {
        let tool = modern(Tool::of(&service)).with("LC_ALL", locale);
        let run = run_on(&tool, "wait 1");
        let has_bar = run.ends(0).stdout.contains(&bar.repeat(24));
        assert!(has_bar, "{locale}: {run:#?}");
        assert_eq!(run.stdout.is_ascii(), bar == "=", "{locale}: {run:#?}");
    }
}
