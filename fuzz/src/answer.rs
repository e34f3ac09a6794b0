//! Whole HTTP answers as raw bytes, from a real server through the whole client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Client, ClientBuilder, Credentials, Error, NewTask, Progress, Result, Status,
};

use super::body::{data, integer, progress_in};
use super::errors::check_error;
use super::http::bodies;

const TASK: u64 = 403_316;
const RUNNING: Progress = Progress::new(Status::InProgress, 37);
const TOKEN: &str = "s3cr3t-Zq81-token-that-must-not-show";
const SECRET: &str = "s3cr3t-Xy72-of-the-client-that-must-not-show";
/// In the answers of seeds.
const NEW_TOKEN: &str = "fresh-Wv53-token-that-must-not-show";

/// The most bytes of a body that are read.
const MAX_BODY_LEN: usize = 64 * 1024;

/// Far longer than any answer takes: each ends with its connection, so that no bytes whatever may make a call wait.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server that answers each request with the same bytes and closes, or as the service does where there are none.
pub struct Answer {
    service: Service,
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Answer {
    pub fn new() -> Self {
        let service = Service::start().expect("a port of this machine");
        service.task(TASK, [RUNNING]).keep_requests(0);
        let bytes = Arc::new(Mutex::new(None::<Vec<u8>>));
        let given = Arc::clone(&bytes);
        service.reply_with(move |_| {
            let bytes = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
            bytes.map(|bytes| Reply::raw(bytes).close_after())
        });
        Self { service, bytes }
    }

    fn client(&self) -> Client {
        builder(&self.service)
            .access_token(TOKEN)
            .build()
            .expect("valid settings")
    }

    /// The bytes as the answer to each call that there is. Whether any of them was a success.
    pub fn check(&self, bytes: &[u8]) -> bool {
        // Each with a client of its own, because a 429 with `Retry-After` holds all calls of a client.
        let client = self.client();
        let progress = self.call(bytes, &[TOKEN], || client.get_process(TASK), progress_in);
        self.assert_usual(&client);
        let client = self.client();
        let new_task = NewTask::new("https://example.org/cat.png");
        let created = self.call(
            bytes,
            &[TOKEN],
            || client.create_task(&new_task),
            created_in,
        );
        self.assert_usual(&client);

        let credentials = Credentials::new("client-id", SECRET);
        let client = builder(&self.service)
            .credentials(credentials)
            .build()
            .expect("usable settings");
        let token = || client.access_token().map(|token| token.secret().to_owned());
        let token = self.call(bytes, &[SECRET, NEW_TOKEN], token, token_in);
        // Who issues tokens may ask to be left alone for a while, or reject the credentials.
        let is_rejected = matches!(token, Err(Error::Api(_)));
        if !is_rejected
            && token
                .as_ref()
                .err()
                .and_then(Error::retry_after)
                .is_none_or(|pause| pause.is_zero())
        {
            self.assert_usual(&client);
        }
        progress.is_ok() || created.is_ok() || token.is_ok()
    }

    /// One call that gets these bytes. `secrets` are what the client sends, and what it may be sent.
    fn call<T: PartialEq>(
        &self,
        bytes: &[u8],
        secrets: &[&str],
        call: impl Fn() -> Result<T>,
        success: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T> {
        let earlier = self.service.request_count();
        self.answer_with(Some(bytes));
        let result = call();
        self.answer_with(None);
        // The second is for a connection that ended before its answer.
        assert!(
            self.service.request_count() - earlier <= 2,
            "no answer has the client ask again and again"
        );
        match &result {
            Ok(value) => {
                let whole = bodies(bytes)
                    .into_iter()
                    .filter(|body| body.len() <= MAX_BODY_LEN);
                assert!(
                    whole
                        .filter_map(|body| success(&body))
                        .any(|said| said == *value),
                    "a success of no envelope"
                );
            }
            Err(error) => check_failure(error, bytes, secrets),
        }
        result
    }

    /// Nothing of an answer is left for the next one.
    fn assert_usual(&self, client: &Client) {
        match client.get_process(TASK) {
            Ok(progress) => assert_eq!(progress, RUNNING),
            // A 429 with `Retry-After` holds the client.
            Err(error) => assert!(error.is_rate_limited(), "{error:?}"),
        }
    }

    fn answer_with(&self, bytes: Option<&[u8]>) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = bytes.map(<[u8]>::to_vec);
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

/// No retries, so that each answer shows.
fn builder(service: &Service) -> ClientBuilder {
    Client::builder()
        .base_url(service.base_url())
        .retries(0)
        .timeout(TIMEOUT)
}

fn check_failure(error: &Error, bytes: &[u8], secrets: &[&str]) {
    // A refusal is no new token, whatever its message says.
    let secrets = if matches!(error, Error::Api(_)) {
        &secrets[..1]
    } else {
        secrets
    };
    check_error(error, bytes, secrets);
    assert!(
        !error.is_timeout(),
        "a call waited for what does not come: {error:?}"
    );
    assert!(!matches!(error, Error::Config(_)), "{error:?}");
}

fn created_in(body: &[u8]) -> Option<u64> {
    u64::try_from(integer(&data(body, &["taskID"])?)?).ok()
}

/// A token that can stand in a header.
fn token_in(body: &[u8]) -> Option<String> {
    let token = data(body, &["accessToken"])?.as_str()?.to_owned();
    ((1..=4096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .then_some(token)
}
