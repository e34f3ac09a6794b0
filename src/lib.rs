//! A blocking client that follows offline migration tasks of the 123pan image host to their end, for programs without an
//! async runtime: build scripts, cron jobs, small utilities, plug-ins.
//!
//! It reuses one keep-alive connection, starts no threads except a short-lived one for a DNS lookup, and depends on
//! `ureq`, `serde` and `serde_json` only.
//!
//! ```no_run
//! use pan123_offline::Client;
//!
//! fn main() -> Result<(), pan123_offline::Error> {
//!     let client = Client::from_env()?; // PAN123_ACCESS_TOKEN, or Client::new("…")
//!     let progress = client.get_process(403316)?; // one request
//!     println!("{}: {} %", progress.status, progress.percent);
//!     client.wait(403316).run()?; // until the task has ended
//!     Ok(())
//! }
//! ```
//!
//! [`Client::watch`] follows any number of tasks, [`Client::create_task`] creates one, and [`Client::migrate`] creates
//! many and follows them. [`Credentials`] request the access token and share it between processes.
//!
//! # Behaviour
//!
//! | | |
//! |---|---|
//! | Errors | [`Error`] has a variant for each layer, and predicates for a caller's decision. A response without a `code` is an error, never a success. |
//! | Token | `Client::new("…")`, [`Credentials`], or the environment with [`Client::from_env`]. It is in no `Debug`, error or log; the one exception is ureq's own `log` records at level trace, which contain whole requests. |
//! | Timeout | 30 s for a call, including DNS lookup, connecting and retries: [`ClientBuilder::timeout`]. |
//! | Retries | Two by default, for transient errors only, such as 429, 5xx, a timeout, a failed connection: [`Error::is_transient`]. After a 401, a client with [`Credentials`] sends the request again with another token. |
//! | Waiting | A task is polled every 1 s to 15 s: [`PollPolicy`]. Polls and creations of a migration are at least 200 ms apart: [`ClientBuilder::min_request_gap`]. |
//! | Retry-After | An error response with `Retry-After` pauses the client and its clones. |
//! | DNS | A name is looked up only for a new connection, once a minute at most while connecting succeeds. If a lookup fails, the last known addresses are used. |
//! | Limits | A response header may have 8 KiB. 64 KiB of a body are read, 1 MiB of a page of images. |
//! | Redirects | Not followed: the token would be sent elsewhere, or be lost. |
//! | Addresses | `https`, or `http` for a loopback address. |
//! | Proxy | From the environment, in curl's order; never for a loopback address. SOCKS is not supported. |
//!
//! The module [`docs`](https://docs.rs/pan123-offline/latest/pan123_offline/docs/) has the details: errors and retries, the
//! result of each fault, access tokens, polls and their ends.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with Mozilla's root certificates compiled in; needs a C compiler |
//! | `native-tls` | | TLS by the system's library with the system's root certificates |
//! | `platform-verifier` | | rustls, with certificates verified by the operating system |
//! | `testing` | | module `testing`: a stand-in for the service on loopback, for your own tests; std only |
//!
//! Without a TLS feature the crate builds without a C compiler, and `build()` rejects https.
//!
//! # Sources
//!
//! The behaviour of the service is that of its open-platform document and, where the docs here say "seen", of responses
//! that other clients received. The document does not say which HTTP status an error has; any works here.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops at what fails")
)]

mod auth;
mod callback;
mod client;
mod credentials;
#[cfg(any(docsrs, doctest))]
pub mod docs;
mod endpoint;
mod envelope;
mod error;
mod error_code;
mod images;
mod json;
mod migrate;
mod new_task;
mod proxy;
mod redact;
mod retry;
mod session;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
mod transport;
mod watch;

pub use auth::TokenCacheError;
pub use callback::{Callback, CallbackStatus};
pub use client::{Client, ClientBuilder};
pub use credentials::{AccessToken, Credentials};
pub use envelope::Envelope;
pub use error::{
    ApiError, ConfigError, DecodeError, Error, HttpError, Result, TransportError,
    TransportErrorKind,
};
pub use error_code::ErrorCode;
pub use images::{Image, Images};
pub use migrate::Migration;
pub use new_task::NewTask;
pub use task::{Progress, Status};
/// The HTTP client of this crate, for [`ClientBuilder::configure_agent`].
pub use ureq;
pub use watch::{MigrationEvent, NextTimeoutError, PollPolicy, Update, Wait, WaitIter, Watch};
