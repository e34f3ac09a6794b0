//! Brings the state up to date with the list, in one transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::{CUT_OFF, Store, StoreError};
use crate::image::State;
use crate::list::{List, Parsed, Remark, parse};
use crate::task_ids::Task;

/// The images without a name, in the order in which they came into the state.
const IN_ORDER: &str = "SELECT id, line, given FROM image WHERE state <> 'invalid' AND name IS NULL \
    AND id <= (SELECT max(id) FROM image) ORDER BY id";

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
        tell: impl FnMut(&Remark<'_>),
    ) -> Result<u64, StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let (seen, duplicates) = enter(&transaction, list, tell)?;
        forget_others(&transaction, &seen)?;
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
        transaction.commit()?;
        self.recount()?;
        Ok(duplicates)
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

/// Enters the lines. Returns the rows of their images, and the number of lines that repeat one.
fn enter(
    transaction: &Transaction<'_>,
    list: &List,
    mut tell: impl FnMut(&Remark<'_>),
) -> Result<(HashSet<i64>, u64), StoreError> {
    let mut in_order = transaction.prepare(IN_ORDER)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let mut in_order = in_order.query_map([], read)?.peekable();
    let mut set_line = transaction.prepare("UPDATE image SET line = ?2 WHERE id = ?1")?;
    let mut is_sent = transaction.prepare(SENT)?;
    let mut find = transaction
        .prepare("SELECT id, name, state NOT IN ('new', 'invalid') FROM image WHERE url = ?1")?;
    let mut insert = transaction.prepare(ENTER)?;
    let (mut seen, mut duplicates) = (HashSet::new(), 0);
    // The key of each name.
    let mut names: HashMap<&str, String> = HashMap::new();
    for (line, text) in list.lines() {
        // Most lines are where they were, and need no parsing.
        let is_next = |row: &rusqlite::Result<(i64, Option<u32>, String)>| {
            row.as_ref().map_or(true, |(_, _, given)| given == text)
        };
        if let Some((id, known_line, _)) = in_order.next_if(is_next).transpose()? {
            if !seen.insert(id) {
                duplicates += 1;
            } else if known_line != Some(line) {
                set_line.execute(params![id, line])?;
            }
            continue;
        }
        let mut parsed = parse(text);
        if let Ok(Parsed {
            url,
            name: Some(name),
            ..
        }) = &parsed
        {
            let first = names.entry(name).or_insert_with(|| url.key.clone());
            let is_given = *first != url.key;
            if is_given {
                parsed = Err("its name is given to another URL, too".to_owned());
            } else if is_sent.exists(params![name, url.key])? {
                parsed = Err("its name was sent for another image".to_owned());
            }
        }
        let (key, given, name, state, reason) = match &parsed {
            Ok(Parsed {
                url, given, name, ..
            }) => (&*url.key, *given, *name, State::New, None),
            Err(reason) => (text, text, None, State::Invalid, Some(&**reason)),
        };
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let known: Option<(i64, Option<String>, bool)> = find.query_row([key], read).optional()?;
        let (mut is_duplicate, mut remark) = (false, None);
        if let Some((id, known_name, has_task)) = &known {
            while in_order
                .next_if(|row| row.as_ref().is_ok_and(|row| row.0 <= *id))
                .is_some()
            {}
            is_duplicate = !seen.insert(*id);
            if name.is_some() && known_name.as_deref() != name {
                remark = match (is_duplicate, has_task) {
                    (true, _) => Some("its name is not used: another line has the URL, too"),
                    (false, true) => Some("its name comes too late: the task was created before"),
                    (false, false) => None,
                };
            }
        }
        let warning = parsed.as_ref().ok().and_then(|parsed| parsed.warning);
        if let Some(reason) = reason.or(remark).or(warning) {
            let is_invalid = parsed.is_err();
            tell(&Remark {
                line,
                text,
                reason,
                is_invalid,
            });
        }
        if is_duplicate {
            duplicates += 1;
            continue;
        }
        insert.execute(params![key, line, given, name, state, reason])?;
        if known.is_none() {
            seen.insert(transaction.last_insert_rowid());
        }
    }
    Ok((seen, duplicates))
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
