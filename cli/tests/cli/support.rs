//! A stand-in with one running task.

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};

/// A token that no text contains by chance.
pub(crate) const TOKEN: &str = "s3cr3t-Zq81-token-that-must-not-show";
pub(crate) const TASK: u64 = 403_316;
pub(crate) const RUNNING: Progress = Progress::new(Status::InProgress, 37);

pub(crate) fn service() -> Service {
    let service = Service::start().unwrap();
    service.task(TASK, [RUNNING]);
    service
}
