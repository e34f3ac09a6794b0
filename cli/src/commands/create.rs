//! `create`: creates tasks, without a state.

use std::time::Duration;

use pan123_offline::PollPolicy;

use super::{DEFAULT_CREATE_RATE, client, gap, warn_of_cache};
use crate::args::{Common, Create};
use crate::engine::{self, Limits, Plan};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, usage};
use crate::list::{List, excerpt};
use crate::output::{Event, Form, Output};
use crate::settings::ResolvedSettings;
use crate::store::{Recreate, Store};

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
    let list = List::of_arguments(&urls);
    let settings = ResolvedSettings::resolve(common)?;
    let (client, observer) = client(common, &settings, 0)?;
    let mut store = Store::in_memory()?;
    store.sync(&list, Recreate::default(), |_| ())?;
    let mut output = Output::new(common, Form::Urls, urls.len(), false);
    for entry in list.entries() {
        let text = excerpt(entry.text);
        match entry.parsed {
            Err(reason) => output.show(&Event::Error(&format!("{text}: {reason}")))?,
            Ok(parsed) => {
                if let Some(warning) = parsed.warning {
                    output.show(&Event::Note(&format!("{text}: warning: {warning}")))?;
                }
            }
        }
    }
    let policy = match args.wait {
        true => PollPolicy::new(),
        false => PollPolicy::new()
            .max_consecutive_errors(MAX_ATTEMPTS)
            .error_window(Duration::ZERO),
    };
    let plan = Plan {
        form: Form::Urls,
        new_task: args.new_task.clone(),
        limits: Limits {
            follows: args.wait,
            timeout: args.timeout,
            create_gap: gap(common.rate.unwrap_or(DEFAULT_CREATE_RATE)),
            policy,
        },
        report: None,
    };
    let status = engine::run(&client, &observer, store, output, plan);
    warn_of_cache(&client);
    status
}
