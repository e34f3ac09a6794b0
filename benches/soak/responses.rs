//! The responses of the stand-in, with the faults.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Mutex;

use pan123_offline::testing::{Reply, Request, Service};

use crate::faults::{FAULTS, Frequency, GOOD, IDS_PER_FAULT, REVOKE, progress_of};

pub(crate) const SECRET: &str = "secret-of-the-soak";

/// Runs the stand-in until standard input ends.
pub(crate) fn serve() {
    // Runs to the end of the process.
    let service: &'static Service = Box::leak(Box::new(Service::start().unwrap()));
    service.keep_requests(0).credentials("client", SECRET);
    for (fault, at) in FAULTS.iter().zip(0..) {
        if at == GOOD as u64 || fault.frequency == Frequency::Once {
            for id in at * IDS_PER_FAULT..(at + 1) * IDS_PER_FAULT {
                service.task(id, [progress_of(id)]);
            }
        }
    }
    let struck = Mutex::new(HashSet::new());
    // Returns true for every other request of the same number.
    let strikes = move |number: u64| {
        let mut struck = struck.lock().unwrap();
        let now = struck.insert(number);
        if !now {
            struck.remove(&number);
        }
        now
    };
    service.reply_with(move |request| reply(service, request, &strikes));
    println!("{}", service.base_url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Returns the response to a request; `None` for the stand-in's own, which needs a valid token.
fn reply(service: &Service, request: &Request, strikes: &dyn Fn(u64) -> bool) -> Option<Reply> {
    if request.path.ends_with("/access_token") {
        // This call fails, and the one after it gets the token.
        return strikes(REVOKE).then(Reply::nothing);
    }
    let number = request.task_id().or_else(|| number_in_url(&request.body))?;
    let good = match request.task_id() {
        Some(_) => Reply::progress(progress_of(number)),
        None => Reply::json(format!(
            r#"{{"code":0,"message":"ok","data":{{"taskID":{number}}}}}"#
        )),
    };
    if number == REVOKE {
        service.revoke_tokens();
        return Some(good);
    }
    let at = (number / IDS_PER_FAULT) as usize;
    // A created task has no fault.
    let fault = FAULTS.get(at)?;
    let is_good = at == GOOD
        || fault.frequency == Frequency::Once && request.task_id().is_some() && !strikes(number);
    (!is_good).then(|| (fault.reply)(good))
}

fn number_in_url(body: &[u8]) -> Option<u64> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["url"]
        .as_str()?
        .strip_prefix("https://example.org/")?
        .strip_suffix(".png")?
        .parse()
        .ok()
}
