//! Starts the stand-in for the service, prints its URL, and runs until standard input is closed.
//! New tasks take some polls each; every seventh fails.
//!
//! ```console
//! cargo run --example service
//! PAN123_ACCESS_TOKEN=any PAN123_BASE_URL=http://127.0.0.1:… pan123-offline migrate urls.txt
//! ```

use std::io;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};

const FAILS_EVERY: u64 = 7;

fn main() -> io::Result<()> {
    let service = Service::start()?;
    service.new_tasks(|task_id, _url| {
        let end = if task_id % FAILS_EVERY == 0 {
            Progress::new(Status::Failed, 75)
        } else {
            Progress::new(Status::Succeeded, 100)
        };
        let start = Progress::new(Status::InProgress, 0);
        vec![start, Progress::new(Status::InProgress, 50), end]
    });
    println!("{}", service.base_url());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
