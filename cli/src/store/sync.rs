//! Brings the state up to date with the list, in one transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::{CUT_OFF, Store, StoreError, write_meta};
use crate::image::State;
use crate::list::{List, Remark, parse};
use crate::names::hash;
use crate::task_ids::Task;

/// The key of the list that was entered last.
const LIST: &str = "list";

/// Enters a line. An image that has a task, or may have one, keeps its state.
const ENTER: &str = "INSERT INTO image (url, line, given, name, state, reason) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
    ON CONFLICT (url) DO UPDATE SET line = ?2, given = ?3, name = ?4, \
    state = iif(state IN ('new', 'invalid'), ?5, state), \
    reason = iif(state IN ('new', 'invalid'), ?6, reason) \
    WHERE (line, given, name) IS NOT (?2, ?3, ?4) \
    OR (state IN ('new', 'invalid') AND (state, reason) IS NOT (?5, ?6))";

/// Finds another image for which this name was sent, unless that of the URL was created, too.
const SENT: &str = "SELECT 1 FROM image WHERE file_name = ?1 AND url <> ?2 AND NOT EXISTS \
    (SELECT 1 FROM image WHERE url = ?2 AND state NOT IN ('new', 'invalid'))";

impl Store {
    /// Enters the list, and returns the number of lines that repeat a URL. Images that have left it without a task are
    /// forgotten, and those in the states of `recreate` are new. Calls `tell` for lines that are not in the state as they
    /// are.
    pub(crate) fn sync(
        &mut self,
        list: &List,
        recreate: &[State],
        mut tell: impl FnMut(&Remark<'_>),
    ) -> Result<u64, StoreError> {
        // A list that is as it was needs no parsing. Other versions may have other rules.
        let version = format!("{} {}", env!("CARGO_PKG_VERSION"), hash(&list.text));
        let is_known = self.meta(LIST)?.as_deref() == Some(&version);
        if is_known {
            self.for_each(&[State::Invalid], |image| {
                tell(&Remark {
                    line: image.line.unwrap_or_default(),
                    text: &image.given,
                    reason: image.reason.as_deref().unwrap_or_default(),
                    is_invalid: true,
                });
                Ok::<_, StoreError>(())
            })?;
        }
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        if !is_known {
            enter(&transaction, list, tell)?;
        }
        transaction.execute(
            "UPDATE image SET state = 'unknown', reason = ?1, changed_at = unixepoch() \
             WHERE state = 'creating'",
            [CUT_OFF],
        )?;
        for state in recreate {
            transaction.execute(
                "UPDATE image SET state = 'new', reason = NULL, task_id = NULL, percent = NULL, \
                 changed_at = unixepoch() WHERE state = ?1 AND line IS NOT NULL",
                [state],
            )?;
        }
        // With the rows, so that both are of one list whatever interrupts this.
        write_meta(&transaction, LIST, &version)?;
        transaction.commit()?;
        self.recount()?;
        let lines = list.lines().count() as u64;
        Ok(lines.saturating_sub(self.counts.total()))
    }

    /// Enters tasks to follow. A task that is given twice is followed once.
    pub(crate) fn add_tasks(&mut self, tasks: &[Task]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let sql = "INSERT OR IGNORE INTO image (url, line, given, state, task_id) \
                   VALUES (?1, ?2, ?3, 'open', ?4)";
        for (line, (task_id, url)) in (1_u32..).zip(tasks) {
            let given = url.as_deref().unwrap_or_default();
            let values = params![task_id.to_string(), line, given, *task_id as i64];
            transaction.prepare_cached(sql)?.execute(values)?;
        }
        transaction.commit()?;
        self.recount()
    }
}

/// Enters the lines. Of those that have one URL, the first counts.
fn enter(
    transaction: &Transaction<'_>,
    list: &List,
    mut tell: impl FnMut(&Remark<'_>),
) -> Result<(), StoreError> {
    let mut is_sent = transaction.prepare(SENT)?;
    let mut find = transaction
        .prepare("SELECT id, name, state NOT IN ('new', 'invalid') FROM image WHERE url = ?1")?;
    let mut insert = transaction.prepare(ENTER)?;
    // The rows of the lines, and the key of each name.
    let mut seen = HashSet::new();
    let mut names: HashMap<&str, String> = HashMap::new();
    for (line, text) in list.lines() {
        let mut parsed = parse(text);
        if let Ok(line) = &parsed
            && let Some(name) = line.name
        {
            let key = &line.url.key;
            if names.entry(name).or_insert_with(|| key.clone()) != key {
                parsed = Err("its name is given to another URL, too".to_owned());
            } else if is_sent.exists(params![name, key])? {
                parsed = Err("its name was sent for another image".to_owned());
            }
        }
        let (key, given, name, state, reason) = match &parsed {
            Ok(line) => (&*line.url.key, line.given, line.name, State::New, None),
            Err(reason) => (text, text, None, State::Invalid, Some(&**reason)),
        };
        let known = find.query_row([key], |row| <(i64, Option<String>, bool)>::try_from(row));
        let known = known.optional()?;
        let (mut is_duplicate, mut remark) = (false, reason);
        if let Some((id, known_name, has_task)) = &known {
            is_duplicate = !seen.insert(*id);
            if name.is_some() && known_name.as_deref() != name {
                remark = match (is_duplicate, has_task) {
                    (true, _) => Some("its name is not used: another line has the URL, too"),
                    (false, true) => Some("its name comes too late: the task was created before"),
                    (false, false) => None,
                };
            }
        }
        let warning = parsed.as_ref().ok().and_then(|line| line.warning);
        if let Some(reason) = remark.or(warning) {
            let is_invalid = parsed.is_err();
            tell(&Remark {
                line,
                text,
                reason,
                is_invalid,
            });
        }
        if !is_duplicate {
            insert.execute(params![key, line, given, name, state, reason])?;
        }
        if known.is_none() {
            seen.insert(transaction.last_insert_rowid());
        }
    }
    forget_others(transaction, &seen)
}

/// Takes the images that are no longer in the list out of it.
fn forget_others(transaction: &Transaction<'_>, seen: &HashSet<i64>) -> Result<(), StoreError> {
    let mut ids = transaction.prepare("SELECT id FROM image WHERE line IS NOT NULL")?;
    let ids = ids.query_map([], |row| row.get(0))?;
    let left = ids.filter(|id| id.as_ref().map_or(true, |id| !seen.contains(id)));
    let left = left.collect::<Result<Vec<i64>, _>>()?;
    let mut remove = transaction.prepare("UPDATE image SET line = NULL WHERE id = ?1")?;
    for id in left {
        remove.execute([id])?;
    }
    let sql = "DELETE FROM image WHERE line IS NULL AND state IN ('new', 'invalid')";
    transaction.execute(sql, [])?;
    Ok(())
}
