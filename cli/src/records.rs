//! The lines and JSON objects of results. Pure. An object always has all its fields.

use pan123_offline::{Error, Progress, Status};
use serde_json::{Value, json};

use crate::failure::explain;
use crate::image::Image;
use crate::json;
use crate::list::printable;

/// Returns an image as a JSON object on a line.
pub(crate) fn image_json(image: &Image) -> String {
    json::to_line(&image_object(image))
}

/// Returns an image with its file at the image host as a JSON object on a line.
pub(crate) fn link_json(image: &Image) -> String {
    let mut object = image_object(image);
    object["size"] = image.size.into();
    object["moderation"] = image.moderation.into();
    json::to_line(&object)
}

fn image_object(image: &Image) -> Value {
    json!({
        "line": image.line,
        "url": image.given,
        "file_name": image.file_name.as_ref().or(image.name.as_ref()),
        "state": image.state.name(),
        "task_id": image.task_id,
        "percent": image.percent,
        "reason": image.reason,
        "file_id": image.file_id,
        "link": image.link,
    })
}

/// Returns line, URL, state, task id and reason of an image, with TABs between them.
pub(crate) fn image_line(image: &Image) -> String {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let columns = [
        number(image.line.map(u64::from)),
        printable(&image.given),
        image.state.name().to_owned(),
        number(image.task_id),
        printable(image.reason.as_deref().unwrap_or("-")),
    ];
    columns.join("\t") + "\n"
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
    let end = match image.state.is_end() {
        true => format!("\t{}", image.state.name()),
        false => String::new(),
    };
    format!("{task_id}\t{}{end}\n", printable(&image.given))
}

/// Returns id, status and percentage of a task.
pub(crate) fn task_line(image: &Image, progress: Progress) -> String {
    let task_id = image.task_id.unwrap_or_default();
    format!("{task_id}\t{}\t{} %\n", progress.status, progress.percent)
}

/// Returns a task as a JSON object on a line.
pub(crate) fn task_json(
    image: &Image,
    progress: Option<Progress>,
    error: Option<&Error>,
) -> String {
    let url = Some(&image.given).filter(|given| !given.is_empty());
    let status = progress.map(|progress| progress.status);
    json::to_line(&json!({
        "task_id": image.task_id,
        "url": url,
        "status": status.map(|status| match status {
            Status::Unknown(_) => "unknown".to_owned(),
            other => other.to_string().replace(' ', "_"),
        }),
        "status_code": status.map(Status::as_i64),
        "percent": progress.map(|progress| progress.percent),
        "is_end": error.is_some() || status.is_some_and(Status::is_terminal),
        "error": error.map(error_object),
    }))
}

fn error_object(error: &Error) -> Value {
    let kind = match error {
        Error::Config(_) => "config",
        Error::Transport(_) => "transport",
        Error::Http(_) => "http",
        Error::Decode(_) => "decode",
        Error::Api(_) => "api",
        Error::WaitTimeout { .. } => "wait_timeout",
        _ => "other",
    };
    json!({
        "kind": kind,
        "message": explain(error),
        "code": error.code().map(|code| code.0),
        "http_status": error.http_status(),
        "trace_id": error.trace_id(),
        "retry_after": error.retry_after().map(|delay| delay.as_secs()),
        "transient": error.is_transient(),
        "unauthorized": error.is_unauthorized(),
        "banned": error.is_banned(),
    })
}
