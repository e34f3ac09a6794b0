//! Lines of a file or of standard input, read one at a time.

use std::io::{self, BufRead, Read};

/// One line, without its end.
pub(crate) struct Line<'a> {
    /// The line's number, from 1.
    pub(crate) number: u32,
    /// The line's bytes without `\n`; of a line that is too long, its start.
    pub(crate) bytes: &'a [u8],
    /// The line ends in `\n`; only the last line of a file may lack it.
    pub(crate) is_complete: bool,
    pub(crate) is_too_long: bool,
    /// The number of bytes from the start of the file to the end of this line.
    pub(crate) end: u64,
}

/// Reads lines of at most `max_len` bytes into one buffer. Skips the rest of a longer line.
pub(crate) struct LineReader<R> {
    reader: R,
    max_len: usize,
    buffer: Vec<u8>,
    number: u32,
    end: u64,
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(reader: R, max_len: usize) -> Self {
        Self {
            reader,
            max_len,
            buffer: Vec::new(),
            number: 0,
            end: 0,
        }
    }

    /// Reads the next line; `None` at the end of the file.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut is_complete = self.read_part()?;
        if self.buffer.is_empty() && !is_complete {
            return Ok(None);
        }
        self.number = self
            .number
            .checked_add(1)
            .ok_or_else(|| io::Error::other("more than 4,294,967,295 lines"))?;
        let is_too_long = self.buffer.len() > self.max_len;
        if is_too_long && !is_complete {
            let start = self.buffer.clone();
            while !is_complete && !self.buffer.is_empty() {
                is_complete = self.read_part()?;
            }
            self.buffer = start;
        }
        Ok(Some(Line {
            number: self.number,
            bytes: &self.buffer,
            is_complete,
            is_too_long,
            end: self.end,
        }))
    }

    /// Returns the number of the line that was read last.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Fills the buffer up to the end of the line or one byte more than `max_len`. Returns whether
    /// the line ends there.
    fn read_part(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        // One byte more for the line's end, and one to see that it is too long.
        let mut part = self.reader.by_ref().take(self.max_len as u64 + 2);
        self.end += part.read_until(b'\n', &mut self.buffer)? as u64;
        Ok(self.buffer.pop_if(|byte| *byte == b'\n').is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, bytes, completeness, excess and end of each line.
    fn lines(text: &str, max_len: usize) -> Vec<(u32, String, bool, bool, u64)> {
        // A small buffer, so that lines span several reads.
        let reader = io::BufReader::with_capacity(3, text.as_bytes());
        let mut reader = LineReader::new(reader, max_len);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            let text = String::from_utf8(line.bytes.to_vec()).unwrap();
            lines.push((
                line.number,
                text,
                line.is_complete,
                line.is_too_long,
                line.end,
            ));
        }
        lines
    }

    #[test]
    fn reads_each_line_with_its_number_and_end() {
        let row = |number, text: &str, is_complete, end| {
            (number, text.to_owned(), is_complete, false, end)
        };
        assert_eq!(lines("", 9), []);
        assert_eq!(
            lines("one\n\ntwo\r\n", 9),
            [
                row(1, "one", true, 4),
                row(2, "", true, 5),
                row(3, "two\r", true, 10)
            ]
        );
        assert_eq!(
            lines("one\ntwo", 9),
            [row(1, "one", true, 4), row(2, "two", false, 7)]
        );
    }

    #[test]
    fn skips_the_rest_of_a_line_that_is_too_long() {
        let rows = lines("12345678\n1234\n12345\n123456789012", 4);
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.0, &row.1[..4], row.2, row.3, row.4))
            .collect();
        assert_eq!(
            rows,
            [
                (1, "1234", true, true, 9),
                (2, "1234", true, false, 14),
                (3, "1234", true, true, 20),
                (4, "1234", false, true, 32)
            ]
        );
    }
}
