//! `create`: creates tasks, without a state.

use std::time::Duration;

use pan123_offline::PollPolicy;

use super::migrate::tell;
use super::{DEFAULT_CREATE_GAP, client, warn_of_cache};
use crate::args::{Common, Create};
use crate::engine::{self, Plan};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, usage};
use crate::list::List;
use crate::output::{Form, Output};
use crate::settings::ResolvedSettings;
use crate::store::Store;

/// Maximum number of attempts for a creation, without --wait.
const MAX_ATTEMPTS: u32 = 3;

pub(super) fn create(common: &Common, args: &Create) -> Result<ExitStatus, Failure> {
    engine::check(&args.new_task)?;
    if args.urls.iter().any(|url| url == "-") {
        return Err(usage(
            "`create` takes URLs; for a list use `migrate`, which remembers what was created: \
             `migrate --state FILE -` reads standard input",
        ));
    }
    let mut urls = args.urls.clone();
    if let Some(name) = &args.file_name {
        let [url] = &mut urls[..] else {
            return Err(usage("--file-name is for one URL"));
        };
        *url += &format!("\t{name}");
    }
    let settings = ResolvedSettings::resolve(common)?;
    let (client, observer) = client(common, &settings, 0)?;
    let list = List::of_arguments(&urls);
    let mut store = Store::in_memory()?;
    store.sync(&list, &[], |remark| tell(&list, remark, common.quiet))?;
    let output = Output::new(common, Form::Urls, urls.len(), false);
    let mut policy = PollPolicy::new();
    if !args.wait {
        policy = policy.max_consecutive_errors(MAX_ATTEMPTS);
        policy = policy.error_window(Duration::ZERO);
    }
    let plan = Plan {
        form: Form::Urls,
        new_task: args.new_task.clone(),
        follows: args.wait,
        timeout: args.timeout,
        create_gap: common.rate.unwrap_or(DEFAULT_CREATE_GAP),
        policy,
        ..Plan::default()
    };
    let status = engine::run(&client, observer, store, output, plan);
    warn_of_cache(&client);
    status
}
