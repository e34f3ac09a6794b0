//! Brings the state up to date with the list, in one transaction.

use std::collections::HashSet;

use rusqlite::{CachedStatement, OptionalExtension, Row, Rows, TransactionBehavior, params};

use super::error::Cause;
use super::{CUT_OFF, Store, StoreError, seconds_since_epoch};
use crate::image::State;
use crate::list::{Entry, List, Parser};

/// The images that are created again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recreate {
    /// Those whose task failed, or that the service refused.
    pub(crate) failed: bool,
    /// Those of which it is unknown whether a task exists.
    pub(crate) unknown: bool,
}

/// The differences that a user should know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncReport {
    /// The number of lines that repeat a URL.
    pub(crate) duplicates: u64,
    /// The lines whose name differs from the one that was sent.
    pub(crate) late_names: Vec<u32>,
}

/// What the state has of a line.
struct Known {
    id: i64,
    line: Option<u32>,
    given: String,
    name: Option<String>,
    state: State,
    reason: Option<String>,
}

impl Store {
    /// Enters the list. Images that have left it without a task are forgotten. Calls `tell` for each line that is not
    /// in the state as it is.
    pub(crate) fn sync(
        &mut self,
        list: &List,
        recreate: Recreate,
        mut tell: impl FnMut(&Entry<'_>),
    ) -> Result<SyncReport, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut report = SyncReport::default();
        let mut seen = HashSet::new();
        let mut parser = Parser::default();
        {
            let mut in_order = transaction.prepare(
                "SELECT id, line, given FROM image WHERE state <> 'invalid' AND name IS NULL \
                 AND id <= (SELECT max(id) FROM image) ORDER BY id",
            )?;
            let mut in_order = InOrder::new(in_order.query([])?)?;
            let mut set_line = transaction.prepare("UPDATE image SET line = ?2 WHERE id = ?1")?;
            let mut lookup = transaction.prepare_cached(
                "SELECT id, line, given, name, state, reason FROM image WHERE url = ?1",
            )?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO image (url, line, given, name, state, reason) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let mut update = transaction.prepare_cached(
                "UPDATE image SET line = ?2, given = ?3, name = ?4, state = ?5, reason = ?6 \
                 WHERE id = ?1",
            )?;
            for (line, text) in list.lines() {
                // Most lines are where they were, and need no parsing.
                if let Some((id, known_line)) = in_order.next_if(text)? {
                    if !seen.insert(id) {
                        report.duplicates += 1;
                    } else if known_line != Some(line) {
                        set_line.execute(params![id, line])?;
                    }
                    continue;
                }
                let entry = parser.entry(line, text);
                tell(&entry);
                let (key, name, state, reason) = match &entry.parsed {
                    Ok(parsed) => (&*parsed.url.key, parsed.name, State::New, None),
                    Err(reason) => (entry.text, None, State::Invalid, Some(reason.as_str())),
                };
                let Some(known) = find(&mut lookup, key)? else {
                    insert.execute(params![
                        key,
                        entry.line,
                        entry.given(),
                        name,
                        state.name(),
                        reason
                    ])?;
                    seen.insert(transaction.last_insert_rowid());
                    continue;
                };
                in_order.skip_to(known.id)?;
                if !seen.insert(known.id) {
                    report.duplicates += 1;
                    continue;
                }
                // An image that has a task, or may have one, keeps its state.
                let is_open_to_change = matches!(known.state, State::New | State::Invalid);
                let (state, reason) = match is_open_to_change {
                    true => (state, reason),
                    false => (known.state, known.reason.as_deref()),
                };
                let is_late = !is_open_to_change && name.is_some();
                if is_late && known.name.as_deref() != name {
                    report.late_names.push(entry.line);
                }
                let is_same = known.line == Some(entry.line)
                    && known.given == entry.given()
                    && known.name.as_deref() == name
                    && known.state == state
                    && known.reason.as_deref() == reason;
                if !is_same {
                    update.execute(params![
                        known.id,
                        entry.line,
                        entry.given(),
                        name,
                        state.name(),
                        reason
                    ])?;
                }
            }
            forget_others(&transaction, &seen)?;
            let now = seconds_since_epoch();
            transaction.execute(
                "UPDATE image SET state = 'unknown', reason = ?1, changed_at = ?2 \
                 WHERE state = 'creating'",
                params![CUT_OFF, now],
            )?;
            for (is_wanted, states) in [
                (recreate.failed, "'failed', 'refused'"),
                (recreate.unknown, "'unknown'"),
            ] {
                if is_wanted {
                    let sql = format!(
                        "UPDATE image SET state = 'new', reason = NULL, task_id = NULL, percent = NULL, \
                         changed_at = ?1 WHERE state IN ({states}) AND line IS NOT NULL"
                    );
                    transaction.execute(&sql, [now])?;
                }
            }
        }
        transaction.commit()?;
        self.counts = self.count("line IS NOT NULL")?;
        Ok(report)
    }
}

impl Store {
    /// Enters tasks to follow, with their URLs where they are known. A task that is given twice is followed once.
    pub(crate) fn add_tasks(&mut self, tasks: &[(u64, Option<String>)]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for (line, (task_id, url)) in (1_u32..).zip(tasks) {
            transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO image (url, line, given, state, task_id) \
                     VALUES (?1, ?2, ?3, 'open', ?4)",
                )?
                .execute(params![
                    task_id.to_string(),
                    line,
                    url.as_deref().unwrap_or_default(),
                    *task_id as i64
                ])?;
        }
        transaction.commit()?;
        self.counts = self.count("line IS NOT NULL")?;
        Ok(())
    }
}

fn find(lookup: &mut CachedStatement<'_>, key: &str) -> Result<Option<Known>, StoreError> {
    let read = |row: &Row<'_>| {
        let state: String = row.get(4)?;
        let known = Known {
            id: row.get(0)?,
            line: row.get(1)?,
            given: row.get(2)?,
            name: row.get(3)?,
            state: State::New,
            reason: row.get(5)?,
        };
        Ok((known, state))
    };
    let Some((known, state)) = lookup.query_row([key], read).optional()? else {
        return Ok(None);
    };
    let state = State::from_name(&state).ok_or(Cause::Damaged)?;
    Ok(Some(Known { state, ..known }))
}

/// The valid images without a name, in the order in which they came into the state.
struct InOrder<'a> {
    rows: Rows<'a>,
    next: Option<(i64, Option<u32>, String)>,
}

impl<'a> InOrder<'a> {
    fn new(rows: Rows<'a>) -> Result<Self, StoreError> {
        let mut in_order = Self { rows, next: None };
        in_order.advance()?;
        Ok(in_order)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.next = match self.rows.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?, row.get(2)?)),
            None => None,
        };
        Ok(())
    }

    /// Takes the next image if it is this line of the list. Returns its row and its line so far.
    fn next_if(&mut self, text: &str) -> Result<Option<(i64, Option<u32>)>, StoreError> {
        let found = match &self.next {
            Some((id, line, given)) if given == text => (*id, *line),
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(found))
    }

    /// Goes on after the image in this row.
    fn skip_to(&mut self, row: i64) -> Result<(), StoreError> {
        while self.next.as_ref().is_some_and(|(id, _, _)| *id <= row) {
            self.advance()?;
        }
        Ok(())
    }
}

/// Takes the images that are no longer in the list out of it.
fn forget_others(connection: &rusqlite::Connection, seen: &HashSet<i64>) -> Result<(), StoreError> {
    let mut left = Vec::new();
    let mut statement = connection.prepare("SELECT id FROM image WHERE line IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if !seen.contains(&id) {
            left.push(id);
        }
    }
    let mut forget =
        connection.prepare("DELETE FROM image WHERE id = ?1 AND state IN ('new', 'invalid')")?;
    let mut remove = connection.prepare("UPDATE image SET line = NULL WHERE id = ?1")?;
    for id in left {
        if forget.execute([id])? == 0 {
            remove.execute([id])?;
        }
    }
    Ok(())
}
