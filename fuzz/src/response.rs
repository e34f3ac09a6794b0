//! Checks of whole HTTP responses as raw bytes, sent by a real server to the whole client.

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
/// A token in the responses of seeds.
const NEW_TOKEN: &str = "fresh-Wv53-token-that-must-not-show";

/// Maximum length of a body that the client reads.
const MAX_BODY_LEN: usize = 64 * 1024;

/// Far longer than any response takes. The server closes the connection after each response, so no
/// bytes may make a call wait.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server that responds to each request with the same bytes and closes the connection. Without
/// bytes it responds as the service does.
pub struct ResponseCheck {
    service: Service,
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
}

impl ResponseCheck {
    pub fn new() -> Self {
        let service = Service::start().expect("a port of this machine");
        service.task(TASK, [RUNNING]);
        let bytes = Arc::new(Mutex::new(None::<Vec<u8>>));
        let given = Arc::clone(&bytes);
        service.reply_with(move |_| {
            let bytes = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
            bytes.map(Reply::raw)
        });
        Self { service, bytes }
    }

    fn client(&self) -> Client {
        builder(&self.service)
            .access_token(TOKEN)
            .build()
            .expect("valid settings")
    }

    /// Sends the bytes as the response to each kind of call. Returns whether any call succeeded.
    pub fn check(&self, bytes: &[u8]) -> bool {
        // A client for each call: a 429 with `Retry-After` delays all calls of a client.
        let client = self.client();
        let progress = self.call(bytes, &[TOKEN], || client.get_process(TASK), progress_in);
        self.assert_next_call_succeeds(&client);
        let client = self.client();
        let new_task = NewTask::new("https://example.org/cat.png");
        let created = self.call(
            bytes,
            &[TOKEN],
            || client.create_task(&new_task),
            created_in,
        );
        self.assert_next_call_succeeds(&client);

        let credentials = Credentials::new("client-id", SECRET);
        let client = builder(&self.service)
            .credentials(credentials)
            .build()
            .expect("usable settings");
        let token = || client.access_token().map(|token| token.secret().to_owned());
        let token = self.call(bytes, &[SECRET, NEW_TOKEN], token, token_in);
        // The token endpoint may send a `Retry-After`, or reject the credentials.
        let is_rejected = matches!(token, Err(Error::Api(_)));
        if !is_rejected
            && token
                .as_ref()
                .err()
                .and_then(Error::retry_after)
                .is_none_or(|delay| delay.is_zero())
        {
            self.assert_next_call_succeeds(&client);
        }
        progress.is_ok() || created.is_ok() || token.is_ok()
    }

    /// Makes one call that gets these bytes as its response. `secrets` are the secrets that the
    /// client sends or may receive.
    fn call<T: PartialEq>(
        &self,
        bytes: &[u8],
        secrets: &[&str],
        call: impl Fn() -> Result<T>,
        success: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T> {
        let earlier = self.service.request_count();
        self.respond_with(Some(bytes));
        let result = call();
        self.respond_with(None);
        // The second request is the replay after a connection that was closed without a response.
        assert!(
            self.service.request_count() - earlier <= 2,
            "too many requests for one call"
        );
        match &result {
            Ok(value) => {
                let whole = bodies(bytes)
                    .into_iter()
                    .filter(|body| body.len() <= MAX_BODY_LEN);
                assert!(
                    whole
                        .filter_map(|body| success(&body))
                        .any(|expected| expected == *value),
                    "a success without the envelope of one"
                );
            }
            Err(error) => check_call_error(error, bytes, secrets),
        }
        result
    }

    /// Asserts that no bytes of a response are taken for the next one.
    fn assert_next_call_succeeds(&self, client: &Client) {
        match client.get_process(TASK) {
            Ok(progress) => assert_eq!(progress, RUNNING),
            // After a 429 with `Retry-After` the client sends nothing.
            Err(error) => assert!(error.is_rate_limited(), "{error:?}"),
        }
    }

    fn respond_with(&self, bytes: Option<&[u8]>) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = bytes.map(<[u8]>::to_vec);
    }
}

impl Default for ResponseCheck {
    fn default() -> Self {
        Self::new()
    }
}

/// A builder without retries, so that each response becomes a result.
fn builder(service: &Service) -> ClientBuilder {
    Client::builder()
        .base_url(service.base_url())
        .retries(0)
        .timeout(TIMEOUT)
}

fn check_call_error(error: &Error, bytes: &[u8], secrets: &[&str]) {
    // The new token is unknown to the client if the response was an error.
    let secrets = if matches!(error, Error::Api(_)) {
        &secrets[..1]
    } else {
        secrets
    };
    check_error(error, bytes, secrets);
    assert!(
        !error.is_timeout(),
        "a call waited for bytes that never arrive: {error:?}"
    );
    assert!(!matches!(error, Error::Config(_)), "{error:?}");
}

fn created_in(body: &[u8]) -> Option<u64> {
    u64::try_from(integer(&data(body, &["taskID"])?)?).ok()
}

/// The token of a body, if it is valid in a header.
fn token_in(body: &[u8]) -> Option<String> {
    let token = data(body, &["accessToken"])?.as_str()?.to_owned();
    ((1..=4096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .then_some(token)
}
