//! Checks of the library with arbitrary bytes. The fuzz targets call them, and `tests/corpus.rs`
//! replays the seeds through them.
//!
//! A check panics if one of its conditions is not met, and returns whether the bytes were a
//! success.

mod body;
mod errors;
mod http;
mod json;
mod response;
mod token_cache;

pub use body::{callback, envelope, progress};
pub use response::ResponseCheck;
pub use token_cache::TokenCacheCheck;
