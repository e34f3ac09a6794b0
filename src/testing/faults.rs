//! The answers a user has ordered in place of the usual ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::lock;
use super::reply::Reply;
use super::request::{Request, RequestView};

pub(super) type Hook = Arc<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
pub(super) struct Faults(Mutex<Orders>);

#[derive(Default)]
struct Orders {
    queue: VecDeque<Reply>,
    hook: Option<Hook>,
}

impl Faults {
    pub(super) fn push(&self, reply: Reply) {
        lock(&self.0).queue.push_back(reply);
    }

    pub(super) fn set_hook(&self, hook: Hook) {
        lock(&self.0).hook = Some(hook);
    }

    /// What was ordered for this request; `None` for the usual answer.
    pub(super) fn reply_to(&self, request: &RequestView<'_>) -> Option<Reply> {
        let mut orders = lock(&self.0);
        if let Some(reply) = orders.queue.pop_front() {
            return Some(reply);
        }
        let hook = orders.hook.clone()?;
        // The hook is the user's code: it may take its time, and may call the service's methods.
        drop(orders);
        hook(&request.to_request())
    }
}
