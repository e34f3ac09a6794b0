//! Output on a terminal: bars that fit it and reach their end, and colours on demand.
//!
//! `script` of util-linux makes the terminal, `stty` sets its size, [`Screen`] has its contents.

use std::thread;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};

use crate::migrate::{Case, FAST, SUCCEEDED, list, url};
use crate::screen::Screen;
use crate::support::service;
use crate::tasks::service_of_any_task;
use crate::tool::{Run, Running, TOOL, Tool, until};

const WIDTH: usize = 80;

/// Starts the tool on a terminal of this size, with standard error on it and no standard input.
fn start_on(tool: &Tool, [height, width]: [usize; 2], arguments: &str) -> Running {
    let line = format!(
        "stty rows {height} cols {width}; exec env --default-signal {TOOL} {arguments} </dev/null"
    );
    Running::start(tool.command("script", &["-qec", &line, "/dev/null"]), "")
}

fn start(tool: &Tool, height: usize, arguments: &str) -> Running {
    start_on(tool, [height, WIDTH], arguments)
}

/// A tool on a terminal with colours, Unicode and a movable cursor.
fn modern(tool: Tool) -> Tool {
    tool.with("TERM", "xterm-256color").with("LANG", "C.UTF-8")
}

/// Runs the tool to its end on such a terminal.
#[track_caller]
fn run(tool: Tool, height: usize, arguments: &str) -> (Run, Screen) {
    let run = start(&modern(tool), height, arguments).end();
    let screen = Screen::showing(height, WIDTH, &run.stdout);
    (run, screen)
}

fn is_colored(output: &str) -> bool {
    (30..=37).any(|color| output.contains(&format!("\u{1b}[{color}m")))
}

/// The text on the line of a task, after its bar.
fn result_of(screen: &Screen, task_id: u64) -> String {
    let lines = screen.lines();
    let mut own = lines
        .iter()
        .filter(|line| line.trim_start().starts_with(&format!("{task_id} ")));
    let line = own
        .next()
        .unwrap_or_else(|| panic!("no line of {task_id}: {lines:#?}"));
    assert_eq!(own.next(), None, "{lines:#?}");
    let text = line.trim_start().trim_start_matches(&task_id.to_string());
    text.trim_start_matches([' ', '━', '╸', '─']).to_owned()
}

#[test]
fn demo_moves_its_bars_to_the_end() {
    let (run, screen) = run(Tool::new(), 24, "demo");
    run.ends(0);
    assert!(
        run.stdout.contains("\u{1b}[9A") && is_colored(&run.stdout),
        "{run:#?}"
    );
    for task in [403_316, 403_317, 403_318, 403_319, 403_321, 403_322] {
        assert_eq!(result_of(&screen, task), "100 %  succeeded");
    }
    assert!(result_of(&screen, 403_320).ends_with("%  failed"));
    assert_eq!(result_of(&screen, 403_323), "0 %  error");
    let lines = screen.lines();
    assert!(
        lines.iter().any(|line| line.contains("8 of 8 finished in")
            && line.ends_with(": 6 succeeded, 1 failed, 1 with an error")),
        "{lines:#?}"
    );
    assert!(run.stdout.contains("0 of 8 finished in"), "{run:#?}");
    // A bar was drawn before its task ended.
    assert!(run.stdout.contains("in progress"), "{run:#?}");
}

#[test]
fn each_task_has_its_row() {
    let service = service_of_any_task();
    let (run, screen) = run(Tool::of(&service), 24, "wait 1 2 3 --rate inf");
    run.ends(0);
    for task in 1..=3 {
        assert_eq!(result_of(&screen, task), "100 %  succeeded");
    }
    assert_eq!(
        screen
            .lines()
            .iter()
            .filter(|line| line.contains("3 of 3 finished in"))
            .count(),
        1
    );
}

/// If there were more rows than the terminal has, some would scroll out and be drawn twice.
#[test]
fn rows_fit_the_height_of_the_terminal() {
    thread::scope(|scope| {
        for (height, tasks) in [
            (8, 30),
            (8, 6),
            (8, 7),
            (8, 8),
            (4, 30),
            (3, 5),
            (2, 5),
            (1, 3),
        ] {
            scope.spawn(move || fits(height, tasks));
        }
    });
}

fn fits(height: usize, tasks: u64) {
    let service = Service::start().unwrap();
    for id in 1..=tasks {
        let steps = (0..3).map(|step| Progress::new(Status::InProgress, step * 30));
        service.task(id, steps.chain([Progress::new(Status::Succeeded, 100)]));
    }
    let list: String = (1..=tasks).map(|id| format!("{id} ")).collect();
    let (run, screen) = run(
        Tool::of(&service),
        height,
        &format!("wait {list} --rate inf"),
    );
    run.ends(0);
    let lines = screen.lines();
    let totals = lines
        .iter()
        .filter(|line| line.contains(" finished in "))
        .count();
    assert_eq!(totals, 1, "{height} rows, {tasks} tasks: {lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&format!("{tasks} of {tasks} finished in"))),
        "{lines:#?}"
    );
    // The total always has its row, also if rows of tasks are left out.
    if height > 1 {
        let is_total = |line: &String| line.contains(" finished in ") || line.contains(" ended  ");
        let mut frames =
            frames(&run.stdout).map(|output| Screen::showing(height, WIDTH, output).lines());
        assert!(
            frames.any(|lines| lines.iter().any(is_total)),
            "it shows at some time"
        );
        frames.for_each(|lines| {
            assert!(
                lines.iter().any(is_total),
                "{height} rows, {tasks} tasks: {lines:#?}"
            )
        });
    }
    // The last line feed may move it by one.
    assert!(
        screen.scrolled() <= 1,
        "{height} rows, {tasks} tasks: {lines:#?}"
    );
}

/// Returns the output up to each moment at which the cursor is about to leave the last line.
fn frames(output: &str) -> impl Iterator<Item = &str> {
    let up_and_clear = output.match_indices("A\r\u{1b}[0J").map(|(at, _)| at);
    up_and_clear
        .filter_map(|at| output[..at].rfind('\u{1b}'))
        .map(|at| &output[..at])
}

/// Each message is printed once, complete, above the bars.
#[test]
fn errors_stand_above_the_bars() {
    let service = Service::start().unwrap();
    service.reply_with(|request| (request.task_id()? % 2 == 0).then(|| Reply::code(5113, "quota")));
    (1..=30).step_by(2).for_each(|id| {
        service.task(
            id,
            [
                Progress::new(Status::InProgress, 1),
                Progress::new(Status::Succeeded, 100),
            ],
        );
    });
    let list: String = (1..=30).map(|id| format!("{id} ")).collect();
    let (run, screen) = run(Tool::of(&service), 8, &format!("wait {list} --rate inf"));
    run.ends(5);
    let lines = screen.lines();
    for id in (2..=30).step_by(2) {
        let printed = lines
            .iter()
            .filter(|line| line.starts_with(&format!("pan123-offline: {id}: ")))
            .count();
        assert_eq!(printed, 1, "{id}: {lines:#?}");
    }
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains(" finished in "))
            .count(),
        1,
        "{lines:#?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("30 of 30 finished in")
                && line.ends_with(": 15 succeeded, 15 with an error")),
        "{lines:#?}"
    );
}

#[test]
fn no_color_is_obeyed() {
    let service = service_of_any_task();
    let (with, _) = run(Tool::of(&service), 24, "wait 1");
    assert!(is_colored(&with.ends(0).stdout), "{with:#?}");
    let (without, screen) = run(Tool::of(&service).with("NO_COLOR", "1"), 24, "wait 1");
    assert!(!is_colored(&without.ends(0).stdout), "{without:#?}");
    assert_eq!(result_of(&screen, 1), "100 %  succeeded");
}

#[test]
fn a_dumb_terminal_has_no_bars() {
    let service = service_of_any_task();
    for tool in [Tool::of(&service).with("TERM", "dumb"), Tool::of(&service)] {
        let run = start(&tool, 24, "wait 1").end();
        let lines: Vec<_> = run.ends(0).stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{run:#?}");
        assert_eq!(lines[0], "1\tsucceeded\t100 %");
        assert!(lines[1].ends_with(": 1 succeeded"), "{run:#?}");
    }
}

#[test]
fn json_and_single_results_have_no_bars() {
    let service = service_of_any_task();
    let tool = Tool::of(&service).with("TERM", "xterm-256color");
    let json = start(&tool, 24, "wait 1 --json --quiet").end();
    assert!(!json.ends(0).stdout.contains('\u{1b}'), "{json:#?}");
    assert_eq!(json.json().len(), 1);
    start(&tool, 24, "process 1")
        .end()
        .ends(0)
        .prints("1\tsucceeded\t100 %\r\n");
}

/// [`Screen`] rejects all control characters except those of bars.
#[test]
fn control_characters_of_the_service_are_escaped() {
    let service = Service::start().unwrap();
    service.reply_with(|_| {
        Some(Reply::code(
            5066,
            "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n",
        ))
    });
    for height in [24, 2] {
        let (run, screen) = run(Tool::of(&service), height, "wait 1 2 3 --rate inf");
        run.ends(5);
        assert!(
            screen
                .lines()
                .iter()
                .any(|line| line.contains(r"\u{1b}]0;owned")),
            "{:#?}",
            screen.lines()
        );
    }
}

/// Ctrl-C comes from the keyboard. The bars stay unchanged, with the summary below them.
#[test]
fn ctrl_c_keeps_the_bars() {
    let service = service();
    let tool = modern(Tool::of(&service));
    let line = format!("stty rows 24 cols {WIDTH}; exec env --default-signal {TOOL} wait 403316");
    let running = Running::start_typing(
        tool.command("script", &["-qec", &line, "/dev/null"]),
        "\u{3}",
        || {
            assert!(until(|| service.request_count() >= 2));
        },
    );
    let run = running.end();
    run.ends(130);
    let screen = Screen::showing(24, WIDTH, &run.stdout.replace("^C", ""));
    assert_eq!(result_of(&screen, 403_316), "37 %  in progress");
    let lines = screen.lines();
    let last = "pan123-offline: interrupted: 0 of 1 finished in ";
    assert!(
        lines.iter().any(|line| line.starts_with(last)),
        "{lines:#?}"
    );
}

/// Progress goes to standard error, and is shown while the results go to a file.
#[test]
fn bars_show_beside_results_in_a_file() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    let out = tool.path("out");
    let list: String = (1..=30).map(|id| format!("{id} ")).collect();
    let arguments = format!("wait {list} --rate 100 > {}", out.display());
    let run = start(&modern(tool), 24, &arguments).end();
    run.ends(0);
    assert!(run.stdout.contains(" of 30 ended"), "{run:#?}");
    let screen = Screen::showing(24, WIDTH, &run.stdout);
    let lines: Vec<_> = screen
        .lines()
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect();
    let [summary] = &lines[..] else {
        panic!("{lines:#?}")
    };
    assert!(summary.ends_with(": 30 succeeded"), "{lines:#?}");
}

#[test]
fn from_20_tasks_on_there_is_one_bar() {
    let service = service_of_any_task();
    for (tasks, has_rows) in [(19, true), (20, false)] {
        let list: String = (1..=tasks).map(|id| format!("{id} ")).collect();
        let (run, screen) = run(Tool::of(&service), 40, &format!("wait {list} --rate 40"));
        run.ends(0);
        let rows = screen
            .lines()
            .iter()
            .filter(|line| line.contains("100 %"))
            .count();
        assert_eq!(rows, if has_rows { 19 } else { 0 }, "{run:#?}");
        let has_rate = run.stdout.contains("/s  ") && run.stdout.contains("s left");
        assert_eq!(has_rate, !has_rows, "{run:#?}");
        assert_eq!(run.stdout.contains(" ended  "), !has_rows, "{run:#?}");
    }
}

#[test]
fn a_rate_limit_and_an_outage_are_shown() {
    let limited = Reply::code(429, "slow down").header("Retry-After", "540");
    for (reply, text) in [
        (limited, "; rate limited, next request in 9 min"),
        (Reply::new(502), "; HTTP 502 for "),
    ] {
        let service = Service::start().unwrap();
        service.reply_with(move |_| Some(reply.clone()));
        let (run, screen) = run(Tool::of(&service), 24, "wait 1 --timeout 5s");
        assert!(run.ends(4).stdout.contains(text), "{run:#?}");
        assert!(
            !screen.lines().iter().any(|line| line.contains(text)),
            "{run:#?}"
        );
    }
}

/// A bar shows the delay; without a bar a line reports it.
#[test]
fn delayed_creations_are_reported_where_no_bar_shows_them() {
    for (option, is_printed) in [("", false), ("--verbose", true)] {
        let case = Case::new(&list(2));
        let limited = Reply::code(429, "slow down").header("Retry-After", "2");
        case.service.reply_next(limited);
        let arguments = format!("migrate urls.txt {FAST} {option}");
        let run = start(&modern(case.tool), 24, &arguments).end();
        let is_shown = run
            .ends(0)
            .stdout
            .contains("rate limited, next request in ");
        let printed = run.stdout.contains("rate limited; next request in 2s");
        assert_eq!((printed, is_shown), (is_printed, !is_printed), "{run:#?}");
    }
}

/// The list may take hours, while its ids go to a file.
#[test]
fn creations_of_a_list_have_a_bar() {
    for (redirection, bar) in [
        ("< urls.txt > ids", Some("0 of 3 done")),
        ("< urls.txt", Some("0 of 3 done")),
        ("< urls.txt --journal j > ids", Some("0 of 2 done")),
        // The reader of the pipe may have bars of its own.
        ("< urls.txt | cat > ids", None),
    ] {
        let case = Case::new(&list(3));
        let tool = modern(case.tool);
        tool.run(&format!("create --journal j {}", url(0))).ends(0);
        let line = format!("stty rows 24 cols {WIDTH}; {TOOL} create - --rate inf {redirection}");
        let run = Running::start(tool.command("script", &["-qec", &line, "/dev/null"]), "").end();
        run.ends(0);
        match bar {
            Some(bar) => assert!(run.stdout.contains(bar), "{line}: {run:#?}"),
            None => assert!(!run.stdout.contains("done"), "{line}: {run:#?}"),
        }
        // Standard output has only ids; the summary is on standard error.
        let screen = Screen::showing(24, WIDTH, &run.stdout.replace('\t', " "));
        let lines = screen.lines();
        let (summary, lines): (Vec<_>, Vec<_>) = lines
            .iter()
            .filter(|line| !line.is_empty())
            .partition(|line| line.starts_with("pan123-offline: "));
        assert!(summary[0].ends_with(" created"), "{line}: {summary:#?}");
        let count = if redirection.contains("ids") { 0 } else { 3 };
        assert!(
            lines.iter().all(|line| line.contains(" https://")),
            "{line}: {lines:#?}"
        );
        assert_eq!(lines.len(), count, "{line}: {lines:#?}");
    }
}

#[test]
fn a_creation_under_way_is_no_failure() {
    let case = Case::new(&list(1));
    let reply = Reply::json(r#"{"code":0,"message":"ok","data":{"taskID":1}}"#);
    case.service.task(1, [SUCCEEDED]);
    case.service.reply_next(reply.delay(Duration::from_secs(2)));
    let arguments = format!("migrate urls.txt {FAST}");
    let run = start(&modern(case.tool), 24, &arguments).end();
    run.ends(0);
    assert!(run.stdout.contains("0 of 1 ended"), "{run:#?}");
    assert!(!run.stdout.contains("1 failed"), "{run:#?}");
}

#[test]
fn other_locales_have_ascii_bars() {
    let service = service_of_any_task();
    for (locale, is_ascii) in [
        ("C", true),
        ("de_DE.ISO-8859-1", true),
        ("zh_CN.UTF-8", false),
    ] {
        let tool = modern(Tool::of(&service)).with("LC_ALL", locale);
        let run = start(&tool, 24, "wait 1").end();
        run.ends(0);
        assert_eq!(run.stdout.is_ascii(), is_ascii, "{locale}: {run:#?}");
        let bar = if is_ascii { "=" } else { "━" };
        assert!(run.stdout.contains(&bar.repeat(30)), "{locale}: {run:#?}");
    }
}

/// The bars fit the terminal, so that they can be erased; messages are wrapped, and not cut.
#[test]
fn small_terminals_have_shorter_bars() {
    let service = service_of_any_task();
    service.reply_with(|request| {
        (request.task_id()? == 3).then(|| Reply::code(5066, "图片不存在，请检查"))
    });
    for size in [[24, 60], [5, 40], [5, 20], [3, 10]] {
        for tasks in [4, 30] {
            let list: String = (1..=tasks).map(|id| format!("{id} ")).collect();
            let arguments = format!("wait {list} --rate inf");
            let run = start_on(&modern(Tool::of(&service)), size, &arguments).end();
            run.ends(5);
            let drawn = run.stdout.lines();
            let drawn = drawn.filter(|line| !line.contains("pan123-offline: "));
            let max_width = drawn.map(console_width).max();
            assert!(
                max_width < Some(size[1]),
                "{size:?}: {max_width:?} {run:#?}"
            );
            assert!(run.stdout.contains("图片不存在，请检查"), "{run:#?}");
        }
    }
}

/// The columns of a line without its control sequences, as long as it has no wide characters.
fn console_width(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let first = parts
        .next()
        .map_or(0, |part| part.trim_matches('\r').chars().count());
    let rest = parts.map(|part| {
        let text = part.split_once(|character: char| character.is_ascii_alphabetic());
        text.map_or(0, |(_, text)| text.trim_matches('\r').chars().count())
    });
    first + rest.sum::<usize>()
}
