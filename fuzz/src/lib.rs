//! What must hold for any bytes at all: the fuzz targets try it, and `tests/corpus.rs` replays the seeds through it.
//!
//! Each check panics where something does not hold, and says whether the bytes were a success.

mod answer;
mod body;
mod errors;
mod http;
mod json;
mod token_cache;

pub use answer::Answer;
pub use body::{callback, envelope, progress};
pub use token_cache::TokenCache;
