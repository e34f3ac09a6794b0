//! The access token: what it may look like, where it comes from, and where it is kept.
//!
//! A token that was given is used as it is. With credentials one is asked for when it is first needed, and replaced
//! when the service refuses it: once, by one thread, while the others wait for it. There is no timer, since only the
//! service knows when a token ends; no second replacement within a minute, since clients that ask in a loop have had
//! their address banned; and pauses between requests that fail in passing.

mod cache;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::cache::Cache;
pub use self::cache::TokenCacheError;
use crate::envelope::{self, Object};
use crate::error::{DecodeError, Error, Result, Sent, TransportError, TransportErrorKind};
use crate::transport::{Request, RequestOptions, RequestTemplate, Response, Transport};

/// The longest token that is taken, in bytes; the service's own have some hundred.
pub(crate) const LONGEST_TOKEN: usize = 4 * 1024;

/// The shortest secret that is looked for in answers.
const SHORTEST_SECRET: usize = 16;

/// How many requests for a token may fail in passing one after another without a pause: those of one usual call.
const FREE_FAILURES: u32 = 3;

/// How soon after a replacement there may be another one.
const BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(60);

const ACCESS_TOKEN: &str = "/api/v1/access_token";

/// An access token of the service. It shows itself nowhere but in [`secret()`](Self::secret).
///
/// ```
/// use pan123_offline::AccessToken;
///
/// let token = AccessToken::from("eyJhbGciOi…");
/// assert_eq!(format!("{token:?}"), "AccessToken([redacted])");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token itself. Mind where it goes.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Checks that the token can stand in a header.
    pub(crate) fn check(&self, setting: &'static str) -> Result<()> {
        self.flaw().map_or(Ok(()), |flaw| Err(Error::config(setting, flaw)))
    }

    fn flaw(&self) -> Option<&'static str> {
        if self.0.is_empty() {
            Some("it is empty; a token comes from POST /api/v1/access_token")
        } else if self.0.len() > LONGEST_TOKEN {
            Some("it is longer than 4096 bytes")
        } else if self.0.trim() != self.0 {
            Some("it has blanks or line breaks around it; trim it")
        } else if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            Some("it may only hold visible ASCII characters")
        } else {
            None
        }
    }
}

impl From<String> for AccessToken {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for AccessToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

/// A client id and its secret, for which the service issues access tokens.
///
/// The service keeps three tokens alive for a client id; a fourth ends an older one. So whoever starts often, as build
/// scripts and cron jobs do, should share one: with [`cache_file()`](Self::cache_file).
///
/// ```no_run
/// use pan123_offline::{Client, Credentials};
///
/// let credentials = Credentials::new("client id", "client secret").cache_file("/var/lib/my-job/pan123-token");
/// let client = Client::builder().credentials(credentials).build()?;
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    client_id: String,
    client_secret: String,
    cache_file: Option<PathBuf>,
}

impl Credentials {
    /// The pair as the service's open platform shows it.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), client_secret: client_secret.into(), cache_file: None }
    }

    /// Keeps the token in a file between runs and shares it between processes. Default: none.
    ///
    /// The file is readable by its owner only, and replaced whole. Beside it there is a lock file of the same name with
    /// `.lock`, waited for at most half of a call's time, and while it is written a file with `.tmp`. The folder must
    /// exist, and nobody else should be able to write to it.
    ///
    /// A cache that does not work fails no call: see [`Client::token_cache_error`](crate::Client::token_cache_error).
    /// One that is damaged, or from another client id or base URL, is replaced.
    #[must_use]
    pub fn cache_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_file = Some(path.into());
        self
    }

    pub(crate) fn check(&self, names: [&'static str; 2]) -> Result<()> {
        for (name, value) in names.into_iter().zip([&self.client_id, &self.client_secret]) {
            if value.is_empty() {
                return Err(Error::config(name, "it is empty"));
            }
            if value.trim() != value {
                return Err(Error::config(name, "it has blanks or line breaks around it; trim it"));
            }
        }
        match &self.cache_file {
            Some(path) if path.as_os_str().is_empty() => Err(Error::config("cache_file", "it is empty")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("client_secret", &"[redacted]")
            .field("cache_file", &self.cache_file)
            .finish()
    }
}

/// Where a client's token comes from.
pub(crate) enum Auth {
    Given(Arc<Token>),
    Issued(Box<Issuer>),
}

/// A token in use, with the request that carries it.
#[derive(Debug)]
pub(crate) struct Token {
    text: AccessToken,
    pub(crate) template: RequestTemplate,
    /// Tells a late refusal of an older token from one of this.
    generation: u64,
}

impl Token {
    fn new(text: AccessToken, generation: u64, transport: &Transport) -> Result<Arc<Self>> {
        let template = transport.template(Some(&format!("Bearer {}", text.secret())))?;
        Ok(Arc::new(Self { text, template, generation }))
    }

    pub(crate) fn secret(&self) -> &str {
        self.text.secret()
    }
}

impl Auth {
    pub(crate) fn given(token: AccessToken, transport: &Transport) -> Result<Self> {
        Token::new(token, 0, transport).map(Self::Given)
    }

    pub(crate) fn issued(credentials: Credentials, transport: &Transport) -> Self {
        let cache = credentials
            .cache_file
            .as_ref()
            .map(|path| Cache::new(path.clone(), transport.base_url().to_string(), credentials.client_id.clone()));
        Self::Issued(Box::new(Issuer { credentials, cache, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// The token there is.
    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        match self {
            Self::Given(token) => Some(Arc::clone(token)),
            Self::Issued(issuer) => issuer.lock().current.clone(),
        }
    }

    /// The first token, asked for.
    pub(crate) fn first(&self, transport: &Transport, until: Instant) -> Result<Arc<Token>> {
        match self {
            Self::Given(token) => Ok(Arc::clone(token)),
            Self::Issued(issuer) => issuer.first(transport, until),
        }
    }

    /// Another token in place of one that was refused; `None` if there can be none now.
    pub(crate) fn replace(&self, refused: &Token, transport: &Transport, until: Instant) -> Result<Option<Arc<Token>>> {
        match self {
            Self::Given(_) => Ok(None),
            Self::Issued(issuer) => issuer.replace(refused, transport, until),
        }
    }

    pub(crate) fn cache_error(&self) -> Option<TokenCacheError> {
        match self {
            Self::Given(_) => None,
            Self::Issued(issuer) => issuer.lock().cache_error.clone(),
        }
    }
}

/// What an answer says, without the secret of its request: an error quotes what the service said, and it may have said
/// that.
pub(crate) fn read_answer<T: DeserializeOwned>(answer: Response<'_>, secret: &str) -> Result<T> {
    envelope::decode(answer.status, answer.body).map_err(|error| {
        // What is that short is a test's, and may be part of any word.
        let error = if secret.len() < SHORTEST_SECRET { error } else { redacted::<T>(error, &answer, secret) };
        error.with_retry_after(answer.retry_after())
    })
}

fn redacted<T: DeserializeOwned>(error: Error, answer: &Response<'_>, secret: &str) -> Error {
    let quoted = answer.body.windows(secret.len()).any(|part| part == secret.as_bytes());
    let body = || String::from_utf8_lossy(answer.body).replace(secret, "[redacted]");
    let again = quoted.then(|| envelope::decode::<T>(answer.status, body().as_bytes()).err()).flatten();
    let error = again.unwrap_or(error).without(secret);
    // JSON has more than one way to write a letter, and what is quoted is quoted as it was written.
    if !quoted && unescaped(answer.body).contains(secret) { error.without_body() } else { error }
}

/// A text with the escapes of JSON undone that a secret may be written with.
fn unescaped(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut parts = text.split("\\u");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let letter = part.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        match letter {
            Some(letter) => plain.extend([letter.to_string().as_str(), &part[4..]]),
            None => plain.push_str(part),
        }
    }
    plain.replace('\\', "")
}

/// Issues tokens for credentials, one at a time.
pub(crate) struct Issuer {
    credentials: Credentials,
    cache: Option<Cache>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Token>>,
    /// A thread is about to get a token.
    busy: bool,
    /// How often one was, and what came of it the last time.
    rounds: u64,
    outcome: Option<Result<Option<Arc<Token>>>>,
    /// Why the last request for a token brought none, if it did not.
    failure: Option<Error>,
    allowance: Allowance,
    cache_error: Option<TokenCacheError>,
}

impl Issuer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self, transport: &Transport, until: Instant) -> Result<Arc<Token>> {
        let state = self.lock();
        if let Some(token) = &state.current {
            return Ok(Arc::clone(token));
        }
        let refused = || Error::config("credentials", "the service refused them less than a minute ago");
        match self.get(state, None, transport, until)? {
            Some(token) => Ok(token),
            None => Err(self.lock().failure.clone().unwrap_or_else(refused)),
        }
    }

    fn replace(&self, refused: &Token, transport: &Transport, until: Instant) -> Result<Option<Arc<Token>>> {
        let state = self.lock();
        match &state.current {
            Some(current) if current.generation != refused.generation => Ok(Some(Arc::clone(current))),
            _ => self.get(state, Some(&refused.text), transport, until),
        }
    }

    /// Gets a token, or waits for the thread that does.
    fn get(
        &self,
        mut state: MutexGuard<'_, State>,
        refused: Option<&AccessToken>,
        transport: &Transport,
        until: Instant,
    ) -> Result<Option<Arc<Token>>> {
        if state.busy {
            return self.wait(state, until);
        }
        state.busy = true;
        let (allowance, failure, generation) = (state.allowance, state.failure.clone(), state.rounds);
        drop(state);
        let busy = Busy(self);
        let mut attempt = Attempt { issuer: self, transport, until, allowance, failure, cache_error: None };
        let outcome = attempt
            .token(refused)
            .and_then(|text| text.map(|text| Token::new(text, generation, transport)).transpose());

        let Attempt { allowance, failure, cache_error, .. } = attempt;
        let mut state = self.lock();
        if let Ok(Some(token)) = &outcome {
            state.current = Some(Arc::clone(token));
        }
        (state.allowance, state.failure, state.cache_error) = (allowance, failure, cache_error);
        busy.ends(&mut state, outcome.clone());
        outcome
    }

    fn ended(&self, state: &mut State, outcome: Result<Option<Arc<Token>>>) {
        (state.busy, state.outcome) = (false, Some(outcome));
        state.rounds += 1;
        self.changed.notify_all();
    }

    /// Waits for what another thread gets; its failure is this one's, too.
    fn wait(&self, mut state: MutexGuard<'_, State>, until: Instant) -> Result<Option<Arc<Token>>> {
        let round = state.rounds;
        loop {
            if let Some(outcome) = state.outcome.as_ref().filter(|_| state.rounds > round) {
                return outcome.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = "timed out waiting for the token that another thread asks for; raise `timeout`";
                let error = TransportError::new(TransportErrorKind::Timeout, what.to_owned(), Sent::No, None);
                return Err(Error::Transport(error));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What keeps other threads waiting, until it ends: by a panic in a user's middleware, too.
struct Busy<'a>(&'a Issuer);

impl Busy<'_> {
    fn ends(self, state: &mut State, outcome: Result<Option<Arc<Token>>>) {
        self.0.ended(state, outcome);
        std::mem::forget(self);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let what = "the thread that asked for a token panicked".to_owned();
        let error = TransportError::new(TransportErrorKind::Other, what, Sent::No, None);
        self.0.ended(&mut self.0.lock(), Err(Error::Transport(error)));
    }
}

/// One thread's way to a token: from the cache, or from the service.
struct Attempt<'a> {
    issuer: &'a Issuer,
    transport: &'a Transport,
    until: Instant,
    allowance: Allowance,
    failure: Option<Error>,
    cache_error: Option<TokenCacheError>,
}

impl Attempt<'_> {
    /// `None` if there is no other token in the cache, and the service may not be asked again so soon.
    fn token(&mut self, refused: Option<&AccessToken>) -> Result<Option<AccessToken>> {
        // A file is whole at any moment, so it is read without the lock first.
        if let Some(token) = self.cached(refused) {
            return Ok(Some(token));
        }
        if !self.allowance.allows(refused.is_some(), Instant::now()) {
            // What failed in passing the last time may still pass, so it does not count as a refusal.
            let passing = self.failure.clone().filter(Error::is_transient);
            return passing.map_or(Ok(None), Err);
        }
        let Some(cache) = &self.issuer.cache else {
            return self.ask(refused.is_some()).map(Some);
        };
        match cache.lock(self.left() / 2) {
            Ok(_lock) => {
                // Another process may have got one while this one waited.
                if let Some(token) = self.cached(refused) {
                    return Ok(Some(token));
                }
                let token = self.ask(refused.is_some())?;
                self.cache_error = cache.write(&token).err();
                Ok(Some(token))
            }
            Err(error) => {
                self.cache_error = Some(error);
                self.ask(refused.is_some()).map(Some)
            }
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The token in the file, unless it is the refused one.
    fn cached(&mut self, refused: Option<&AccessToken>) -> Option<AccessToken> {
        match self.issuer.cache.as_ref()?.read() {
            Ok(token) => token.filter(|token| token.flaw().is_none() && Some(token) != refused),
            Err(error) => {
                self.cache_error = Some(error);
                None
            }
        }
    }

    /// Asks the service: `POST /api/v1/access_token`.
    fn ask(&mut self, replacing: bool) -> Result<AccessToken> {
        let result = self.request();
        let now = Instant::now();
        match &result {
            Err(error) if error.is_transient() => self.allowance.failed(error.retry_after(), now),
            _ => self.allowance.used(replacing, now),
        }
        let result = result.map_err(|error| error.before_sending().without_quotes());
        self.failure = result.as_ref().err().cloned();
        result
    }

    fn request(&self) -> Result<AccessToken> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            #[serde(rename = "clientID")]
            client_id: &'a str,
            client_secret: &'a str,
        }

        let Credentials { client_id, client_secret, .. } = &self.issuer.credentials;
        let body = serde_json::to_vec(&Body { client_id, client_secret })
            .map_err(|e| Error::config("credentials", format!("they cannot be sent: {e}")))?;
        let limits = RequestOptions { timeout: Some(self.left()), new_connection: true };
        let endpoint = self.transport.endpoint(ACCESS_TOKEN)?;
        let message = Request::Post(&endpoint, &body);
        let read = |answer: Response<'_>| read_answer(answer, client_secret);
        let Object(NewToken { access_token }) =
            self.transport.send(&self.transport.template(None)?, message, limits, read)??;
        let token = AccessToken::from(access_token);
        match token.flaw() {
            None => Ok(token),
            Some(flaw) => {
                Err(Error::Decode(DecodeError::new(format!("its `accessToken` is unusable: {flaw}"), b"", None)))
            }
        }
    }
}

/// What the service answers when asked for a token. When it ends is not read: the service says so itself, by a 401.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewToken {
    access_token: String,
}

/// When the service may be asked for a token. Pure: the time is handed in.
#[derive(Debug, Clone, Copy, Default)]
struct Allowance {
    /// The first issue is free; whatever comes after it is a replacement.
    asked: bool,
    replaced: Option<Instant>,
    /// Failures in a row that may pass, and until when the last one is waited out.
    failures: u32,
    not_before: Option<Instant>,
}

impl Allowance {
    fn allows(&self, replacing: bool, now: Instant) -> bool {
        let soon = self.replaced.is_some_and(|then| now.saturating_duration_since(then) < BETWEEN_REPLACEMENTS);
        let waits = self.not_before.is_some_and(|moment| now < moment);
        !waits && !(soon && (replacing || self.asked))
    }

    /// A token was issued or refused.
    fn used(&mut self, replacing: bool, now: Instant) {
        if replacing || self.asked {
            self.replaced = Some(now);
        }
        self.asked = true;
        (self.failures, self.not_before) = (0, None);
    }

    /// A request failed in passing. The first ones are the business of a call's retries. As each may have made a token
    /// that nobody has, more of them are kept apart.
    fn failed(&mut self, asked_for: Option<Duration>, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let pause = match self.failures.checked_sub(FREE_FAILURES) {
            None | Some(0) => Duration::ZERO,
            Some(more) => Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(more - 1)),
        };
        self.not_before = now.checked_add(asked_for.unwrap_or_default().max(pause).min(BETWEEN_REPLACEMENTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replacement_a_minute_beside_the_first_issue() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut allowance = Allowance::default();
        assert!(allowance.allows(false, at(0)));
        allowance.used(false, at(0));
        assert!(allowance.allows(true, at(1)), "the first issue does not count");
        allowance.used(true, at(1));
        for second in [1, 30, 60] {
            assert!(!allowance.allows(true, at(second)) && !allowance.allows(false, at(second)), "{second}");
        }
        assert!(allowance.allows(true, at(61)));

        // A token from the cache was refused: its replacement counts although nothing was issued before.
        let mut allowance = Allowance::default();
        allowance.used(true, at(0));
        assert!(!allowance.allows(true, at(59)));

        // After three failures that may pass there are pauses, of a minute at most.
        let mut allowance = Allowance::default();
        let mut now = 0.0;
        for pause in [0.0, 0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let at = |seconds| start + Duration::from_secs_f64(seconds);
            assert!(allowance.allows(false, at(now)) && allowance.allows(true, at(now)), "{pause}");
            allowance.failed(None, at(now));
            if pause > 0.0 {
                let soon = at(now + pause - 0.001);
                assert!(!allowance.allows(false, soon) && !allowance.allows(true, soon), "{pause}");
            }
            now += pause;
        }
        allowance.used(false, at(1000));
        allowance.failed(Some(Duration::from_secs(7)), at(1000));
        assert!(!allowance.allows(true, at(1006)) && allowance.allows(true, at(1007)));
        allowance.failed(Some(Duration::MAX), at(2000));
        assert!(!allowance.allows(true, at(2059)) && allowance.allows(true, at(2060)));

        // A first issue that was refused may be tried once more.
        let mut allowance = Allowance::default();
        allowance.used(false, at(0));
        assert!(allowance.allows(false, at(1)));
        allowance.used(false, at(1));
        assert!(!allowance.allows(false, at(2)));
    }
}
