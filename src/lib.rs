//! Follow an offline migration task of the 123pan image host to its end, from a program without an async runtime.
//!
//! A blocking client for build scripts, cron jobs, small utilities and plug-ins. It keeps one connection open, starts
//! no thread but for a DNS lookup, and needs `ureq`, `serde` and `serde_json`, nothing else.
//!
//! ```
//! # use pan123_offline::{Progress, testing::Service};
//! # let service = Service::start()?;
//! # service.task(403316, [Progress::new(pan123_offline::Status::Succeeded, 100)]);
//! # let (token, base_url) = ("token", service.base_url());
//! use pan123_offline::{Client, Status};
//!
//! let client = Client::builder().access_token(token).base_url(base_url).build()?;
//! let progress = client.get_process(403316)?; // ask once …
//! assert_eq!((progress.status, progress.percent), (Status::Succeeded, 100));
//! client.wait(403316).run()?; // … or wait for the end
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Client::watch`] follows any number of tasks at once, [`Client::create_task`] makes new ones, and [`Credentials`]
//! get the token for it all and share it between processes.
//!
//! # What to know
//!
//! | | |
//! |---|---|
//! | Token | `Client::new("…")`, [`Credentials`], or the environment with [`Client::from_env`]. It shows up in no `Debug`, no error and no log; ureq's own `log` records at level trace are the exception, which dump whole requests. |
//! | Time | A call takes 30 s at most, its retries included: [`ClientBuilder::timeout`]. DNS lookups included. |
//! | Retries | Two, of what passes: code or HTTP 429, HTTP 5xx from a gateway, a timeout, a failed connection. Never 401 and 403. |
//! | Waiting | A task is asked again after 1 s to 15 s; all polls together keep to 5 a second: [`Watch`]. |
//! | Limits | An answer's head may have 8 KiB; 64 KiB of a body are read. |
//! | Redirects | Not followed: the token would go along or get lost. |
//! | Addresses | `https`, or `http` to a loopback address. |
//! | Proxy | From the environment, in curl's order; never for a loopback address. SOCKS is not supported. |
//! | DNS | A name is looked up only for a new connection, at most once a minute unless connecting fails; where the lookup fails, the last known addresses are used. |
//! | Threads | None, except during a DNS lookup: a short-lived one. A `Client` may be shared between threads. |
//!
//! # Errors
//!
//! [`Error`] has a variant for each layer, so that nothing is lost and a caller can decide: [`Error::is_transient`],
//! [`Error::is_unauthorized`], [`Error::is_banned`], [`Error::code`]. An answer without a `code` is an error, never a
//! success.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with Mozilla's root certificates compiled in; needs a C compiler to build |
//! | `native-tls` | | TLS by the system's library, with the system's root certificates |
//! | `platform-verifier` | | rustls, with certificates judged as the operating system does |
//! | `testing` | | module `testing`: a stand-in for the service on loopback, for your own tests; only std |
//! | `cli` | | the command `pan123-offline`, and what only it needs; nothing for a library |
//!
//! Without a TLS feature the crate builds without a C compiler, and `build()` refuses https.
//!
//! # Where the facts come from
//!
//! What the service does is from its own open-platform document, and, where the docs here say "seen", from what other
//! clients of it met. The document does not say which HTTP status an error comes with; both ways work here.
//!
//! # Each fault, and what a caller sees
//!
#![doc = include_str!("faults.md")]
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
mod endpoints;
mod envelope;
mod error;
mod error_code;
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
pub use migrate::{Migration, MigrationEvent};
pub use new_task::NewTask;
pub use task::{Progress, Status};
/// The HTTP client of this crate, for [`ClientBuilder::configure_agent`].
pub use ureq;
pub use watch::{NextTimeoutError, PollPolicy, Update, Wait, WaitIter, Watch};
