//! The three calls, and what their caller sees, in the notation of `src/docs/faults.md`.

use pan123_offline::testing::{Reply, Request};
use pan123_offline::{
    Client, ClientBuilder, Credentials, Error, NewTask, Progress, Result, Status,
};

use crate::support::{RUNNING, TASK, TOKEN, all_texts, builder};

pub(crate) const SECRET: &str = "s3cr3t-Xk47-client-secret-that-must-not-show";

/// What no answer to a call of these tests says.
const STRAY: Progress = Progress::new(Status::InProgress, 99);
const STRAY_TASK: u64 = 999;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    GetProcess,
    CreateTask,
    /// The request that a first `get_process` with credentials needs before its own.
    Token,
}

impl Call {
    pub(crate) const ALL: [Self; 3] = [Self::GetProcess, Self::CreateTask, Self::Token];

    pub(crate) fn is_asked_by(self, request: &Request) -> bool {
        request.path
            == match self {
                Self::GetProcess => "/api/v1/oss/offline/download/process",
                Self::CreateTask => "/api/v1/oss/offline/download",
                Self::Token => "/api/v1/access_token",
            }
    }

    /// The answer that the call hopes for.
    pub(crate) fn good(self) -> Reply {
        Reply::json(match self {
            Self::GetProcess => envelope(&process(RUNNING)),
            Self::CreateTask => envelope(&format!(r#"{{"taskID":{TASK}}}"#)),
            Self::Token => envelope(&format!(r#"{{"accessToken":"{TOKEN}"}}"#)),
        })
    }

    /// An answer of the same form that is not for this call.
    pub(crate) fn stray(self) -> String {
        match self {
            Self::GetProcess => envelope(&process(STRAY)),
            Self::CreateTask => envelope(&format!(r#"{{"taskID":{STRAY_TASK}}}"#)),
            Self::Token => envelope(r#"{"accessToken":"a-stray-token"}"#),
        }
    }

    pub(crate) fn builder(self, base_url: &str) -> ClientBuilder {
        match self {
            Self::Token => builder(base_url).credentials(Credentials::new("client-id", SECRET)),
            _ => builder(base_url),
        }
    }

    /// Makes the call; true if what it returns is right. `padding` makes the request longer where that is possible.
    pub(crate) fn make(self, client: &Client, padding: usize) -> Result<bool> {
        match self {
            Self::GetProcess | Self::Token => {
                client.get_process(TASK).map(|progress| progress == RUNNING)
            }
            Self::CreateTask => {
                let url = format!("https://example.org/{}.png", "x".repeat(padding));
                client
                    .create_task(&NewTask::new(url))
                    .map(|task_id| task_id != STRAY_TASK)
            }
        }
    }
}

pub(crate) fn envelope(data: &str) -> String {
    format!(r#"{{"code":0,"message":"ok","data":{data},"x-traceID":"1"}}"#)
}

fn process(
    Progress {
        status, percent, ..
    }: Progress,
) -> String {
    format!(r#"{{"status":{},"process":{percent}}}"#, status.as_i64())
}

/// A cell of the table: what the call returned, and how often the service was asked. What may never be is in capitals.
pub(crate) fn notation(result: &Result<bool>, times: usize) -> String {
    let error = match result {
        Ok(true) => return format!("ok, {times}×"),
        Ok(false) => return format!("A WRONG RESPONSE, {times}×"),
        Err(error) => error,
    };
    let layer = layer(error);
    let consistent = error.is_timeout() == (layer == "Timeout")
        && error.is_unauthorized() == layer.contains("401")
        && error.is_banned() == layer.contains("403");
    let texts = all_texts(error);
    let words = [
        (true, layer.as_str()),
        (error.is_transient(), "transient"),
        (error.may_have_been_sent(), "maybe sent"),
        (
            !consistent,
            "WITH A WRONG is_timeout(), is_unauthorized() OR is_banned()",
        ),
        (
            texts.contains(TOKEN) || texts.contains(SECRET),
            "WITH A SECRET IN IT",
        ),
        (true, &format!("{times}×")),
    ];
    words
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, word)| *word)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The layer an error is of, and what it says there.
fn layer(error: &Error) -> String {
    match error {
        Error::Transport(e) => format!("{:?}", e.kind()),
        Error::Http(e) => format!("HTTP {}", e.status()),
        Error::Decode(_) => "Decode".to_owned(),
        Error::Api(e) => match e.http_status() {
            Some(200) => format!("code {}", e.code()),
            status => format!("code {} in HTTP {}", e.code(), status.unwrap_or_default()),
        },
        other => format!("{other:?}"),
    }
}
