//! Responses that a user has scripted in place of the documented ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::lock;
use super::reply::Reply;
use super::request::{Request, RequestView};

pub(super) type Hook = Arc<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
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

    /// Returns the scripted response to this request; `None` for the documented one.
    pub(super) fn reply_to(&self, request: &RequestView<'_>) -> Option<Reply> {
        let mut state = lock(&self.0);
        if let Some(reply) = state.queue.pop_front() {
            return Some(reply);
        }
        let hook = state.hook.clone()?;
        // The hook is the user's closure: it may block, and may call the service's methods.
        drop(state);
        hook(&request.to_request())
    }
}
