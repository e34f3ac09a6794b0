//! The three calls, and their results in the notation of `src/docs/faults.md`.

use pan123_offline::testing::{Reply, Request};
use pan123_offline::{Client, ClientBuilder, Credentials, Error, NewTask, Result};

use crate::support::{RUNNING, TASK, TOKEN, all_texts, builder};

pub(crate) const SECRET: &str = "s3cr3t-Xk47-client-secret-that-must-not-show";

/// The id of a task that no call of these tests creates.
const STRAY_TASK: u64 = 999;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    GetProcess,
    CreateTask,
    /// The token request of the first `get_process` with credentials.
    Token,
}

impl Call {
    pub(crate) const ALL: [Self; 3] = [Self::GetProcess, Self::CreateTask, Self::Token];

    pub(crate) fn is_sent_as(self, request: &Request) -> bool {
        request.path
            == match self {
                Self::GetProcess => "/api/v1/oss/offline/download/process",
                Self::CreateTask => "/api/v1/oss/offline/download",
                Self::Token => "/api/v1/access_token",
            }
    }

    /// The response of a success.
    pub(crate) fn success(self) -> Reply {
        Reply::json(self.success_body())
    }

    pub(crate) fn success_body(self) -> String {
        self.body(37, TASK, TOKEN)
    }

    /// A response of the same format that is not for this call.
    pub(crate) fn stray(self) -> String {
        self.body(99, STRAY_TASK, "a-stray-token")
    }

    fn body(self, percent: u8, task_id: u64, token: &str) -> String {
        envelope(&match self {
            Self::GetProcess => format!(r#"{{"status":0,"process":{percent}}}"#),
            Self::CreateTask => format!(r#"{{"taskID":{task_id}}}"#),
            Self::Token => format!(r#"{{"accessToken":"{token}"}}"#),
        })
    }

    pub(crate) fn builder(self, base_url: &str) -> ClientBuilder {
        match self {
            Self::Token => builder(base_url).credentials(Credentials::new("client-id", SECRET)),
            _ => builder(base_url),
        }
    }

    /// Makes the call. Returns whether its value is the expected one. `padding` makes the request
    /// longer by that many bytes, if the call allows it.
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

/// Returns a cell of the table: the result, and the number of requests. Results that must never
/// occur are in capitals.
pub(crate) fn notation(result: &Result<bool>, requests: usize) -> String {
    let error = match result {
        Ok(true) => return format!("ok, {requests}×"),
        Ok(false) => return format!("A WRONG RESPONSE, {requests}×"),
        Err(error) => error,
    };
    let layer = layer(error);
    let texts = all_texts(error);
    let is_login_refused = texts.contains("no access token was issued");
    let consistent = error.is_timeout() == (layer == "Timeout")
        && error.is_unauthorized() == (layer.contains("401") || is_login_refused)
        && error.is_banned() == layer.contains("403");
    let words = [
        (true, layer.as_str()),
        (error.is_transient(), "transient"),
        (error.may_have_taken_effect(), "maybe sent"),
        (
            !consistent,
            "WITH A WRONG is_timeout(), is_unauthorized() OR is_banned()",
        ),
        (
            texts.contains(TOKEN) || texts.contains(SECRET),
            "WITH A SECRET IN IT",
        ),
        (true, &format!("{requests}×")),
    ];
    words
        .iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, word)| *word)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the layer of an error, with its status or code.
fn layer(error: &Error) -> String {
    match error {
        Error::Transport(e) => format!("{:?}", e.kind),
        Error::Http(e) => format!("HTTP {}", e.status),
        Error::Decode(_) => "Decode".to_owned(),
        Error::Api(e) => match e.http_status {
            Some(200) => format!("code {}", e.code),
            status => format!("code {} in HTTP {}", e.code, status.unwrap_or_default()),
        },
        other => format!("{other:?}"),
    }
}
