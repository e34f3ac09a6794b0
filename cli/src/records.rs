//! The lines and JSON objects of results. Pure.

use pan123_offline::{Error, Progress, Status};
use serde::Serialize;

use crate::failure::explain;
use crate::image::Image;
use crate::json;
use crate::list::printable;

/// The fields of an image as JSON. Each is always there.
#[derive(Serialize)]
struct ImageRecord<'a> {
    line: Option<u32>,
    url: &'a str,
    file_name: Option<&'a str>,
    state: &'a str,
    task_id: Option<u64>,
    percent: Option<u8>,
    reason: Option<&'a str>,
    file_id: Option<&'a str>,
    link: Option<&'a str>,
}

/// The same of an image whose link is known.
#[derive(Serialize)]
struct LinkRecord<'a> {
    #[serde(flatten)]
    image: ImageRecord<'a>,
    size: Option<i64>,
    moderation: Option<i64>,
}

/// Returns an image as a JSON object on a line.
pub(crate) fn image_json(image: &Image) -> String {
    json::to_line(&image_record(image))
}

/// Returns an image with its file at the image host as a JSON object on a line.
pub(crate) fn link_json(image: &Image) -> String {
    json::to_line(&LinkRecord {
        image: image_record(image),
        size: image.size,
        moderation: image.moderation,
    })
}

fn image_record(image: &Image) -> ImageRecord<'_> {
    ImageRecord {
        line: image.line,
        url: &image.given,
        file_name: image.file_name.as_deref().or(image.name.as_deref()),
        state: image.state.name(),
        task_id: image.task_id,
        percent: image.percent,
        reason: image.reason.as_deref(),
        file_id: image.file_id.as_deref(),
        link: image.link.as_deref(),
    }
}

/// Returns line, URL, state, task id and reason of an image, with TABs between them.
pub(crate) fn image_line(image: &Image) -> String {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let reason = image.reason.as_deref().unwrap_or("-");
    format!(
        "{}\t{}\t{}\t{}\t{}\n",
        number(image.line.map(u64::from)),
        printable(&image.given),
        image.state.name(),
        number(image.task_id),
        // A reason may have several lines.
        printable(reason)
    )
}

/// Returns a line of a list for `migrate`: the URL, and the name after a TAB.
pub(crate) fn list_line(image: &Image) -> String {
    match &image.name {
        Some(name) => format!("{}\t{}\n", image.given, name),
        None => format!("{}\n", image.given),
    }
}

/// Returns id and URL of a task, and its end if it has one.
pub(crate) fn created_line(image: &Image) -> String {
    let task_id = image.task_id.unwrap_or_default();
    let mut line = format!("{task_id}\t{}", printable(&image.given));
    if image.state.is_end() {
        line += &format!("\t{}", image.state.name());
    }
    line + "\n"
}

/// Returns id, status and percentage of a task.
pub(crate) fn task_line(task_id: u64, progress: Progress) -> String {
    format!("{task_id}\t{}\t{} %\n", progress.status, progress.percent)
}

/// The fields of a task as JSON. Each is always there.
#[derive(Serialize)]
struct TaskRecord<'a> {
    task_id: u64,
    url: Option<&'a str>,
    status: Option<&'static str>,
    status_code: Option<i64>,
    percent: Option<u8>,
    is_end: bool,
    error: Option<ErrorRecord<'a>>,
}

#[derive(Serialize)]
struct ErrorRecord<'a> {
    kind: &'static str,
    message: String,
    code: Option<i64>,
    http_status: Option<u16>,
    trace_id: Option<&'a str>,
    retry_after: Option<u64>,
    transient: bool,
    unauthorized: bool,
    banned: bool,
}

/// Returns a task as a JSON object on a line.
pub(crate) fn task_json(
    task_id: u64,
    url: Option<&str>,
    progress: Option<Progress>,
    error: Option<&Error>,
) -> String {
    let is_terminal = progress.is_some_and(|progress| progress.status.is_terminal());
    json::to_line(&TaskRecord {
        task_id,
        url,
        status: progress.map(|progress| status_name(progress.status)),
        status_code: progress.map(|progress| progress.status.as_i64()),
        percent: progress.map(|progress| progress.percent),
        is_end: is_terminal || error.is_some(),
        error: error.map(error_record),
    })
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::InProgress => "in_progress",
        Status::Failed => "failed",
        Status::Succeeded => "succeeded",
        Status::Retrying => "retrying",
        _ => "unknown",
    }
}

fn error_record(error: &Error) -> ErrorRecord<'_> {
    ErrorRecord {
        kind: match error {
            Error::Config(_) => "config",
            Error::Transport(_) => "transport",
            Error::Http(_) => "http",
            Error::Decode(_) => "decode",
            Error::Api(_) => "api",
            Error::WaitTimeout { .. } => "wait_timeout",
            _ => "other",
        },
        message: explain(error),
        code: error.code().map(|code| code.0),
        http_status: error.http_status(),
        trace_id: error.trace_id(),
        retry_after: error.retry_after().map(|delay| delay.as_secs()),
        transient: error.is_transient(),
        unauthorized: error.is_unauthorized(),
        banned: error.is_banned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::State;

    fn image() -> Image {
        Image {
            id: 1,
            key: "https://e.org/a.png".to_owned(),
            line: Some(7),
            given: "https://e.org/a.png#top".to_owned(),
            name: Some("a.png".to_owned()),
            file_name: None,
            directory: None,
            state: State::Refused,
            reason: Some("no\u{1b}[2J\nimage".to_owned()),
            task_id: None,
            percent: None,
            file_id: None,
            link: None,
            size: None,
            moderation: None,
        }
    }

    #[test]
    fn lines_have_a_column_for_each_value_and_control_no_terminal() {
        assert_eq!(
            image_line(&image()),
            "7\thttps://e.org/a.png#top\trefused\t-\tno\\u{1b}[2J\\nimage\n"
        );
        assert_eq!(list_line(&image()), "https://e.org/a.png#top\ta.png\n");
        let left = Image {
            line: None,
            reason: None,
            task_id: Some(9),
            state: State::Open,
            ..image()
        };
        assert_eq!(
            image_line(&left),
            "-\thttps://e.org/a.png#top\topen\t9\t-\n"
        );
        assert_eq!(created_line(&left), "9\thttps://e.org/a.png#top\n");
    }

    #[test]
    fn objects_have_all_their_fields() {
        assert_eq!(
            image_json(&image()),
            "{\"line\":7,\"url\":\"https://e.org/a.png#top\",\"file_name\":\"a.png\",\
             \"state\":\"refused\",\"task_id\":null,\"percent\":null,\
             \"reason\":\"no\\u001b[2J\\nimage\",\"file_id\":null,\"link\":null}\n"
        );
        let progress = Progress::new(Status::Succeeded, 100);
        assert_eq!(
            task_json(7, None, Some(progress), None),
            "{\"task_id\":7,\"url\":null,\"status\":\"succeeded\",\"status_code\":2,\
             \"percent\":100,\"is_end\":true,\"error\":null}\n"
        );
    }
}
