//! A terminal emulator with the control sequences of progress bars.

/// The rows of a terminal, and those that have scrolled out at the top.
#[derive(Default)]
pub(crate) struct Screen {
    height: usize,
    width: usize,
    /// The rows from the first that scrolled out to the last that was written.
    lines: Vec<Vec<char>>,
    /// The index of the first row on the terminal.
    top: usize,
    row: usize,
    column: usize,
}

impl Screen {
    /// Creates an empty terminal and writes this output to it.
    pub(crate) fn showing([height, width]: [usize; 2], output: &str) -> Self {
        let mut screen = Self {
            height,
            width,
            lines: vec![Vec::new()],
            ..Self::default()
        };
        let mut rest = output.chars();
        while let Some(character) = rest.next() {
            match rest.as_str().strip_prefix('[') {
                Some(sequence) if character == '\u{1b}' => rest = screen.obey(sequence).chars(),
                _ => screen.put(character),
            }
        }
        screen
    }

    /// All lines, without the blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.lines.iter().map(String::from_iter);
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    fn put(&mut self, character: char) {
        match character {
            '\r' => self.column = 0,
            '\n' => self.line_feed(),
            other => {
                assert!(!other.is_control(), "{other:?} is for no terminal");
                if self.column == self.width {
                    self.column = 0;
                    self.line_feed();
                }
                let line = &mut self.lines[self.row];
                line.resize(line.len().max(self.column + 1), ' ');
                line[self.column] = other;
                self.column += 1;
            }
        }
    }

    fn line_feed(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
        self.top = self.top.max((self.row + 1).saturating_sub(self.height));
    }

    /// Applies a control sequence, and returns the bytes after it.
    fn obey<'a>(&mut self, sequence: &'a str) -> &'a str {
        let end = sequence
            .find(|character: char| character.is_ascii_alphabetic())
            .expect("a whole sequence");
        let (parameter, last) = (&sequence[..end], &sequence[end..=end]);
        let number = parameter.parse().unwrap_or(1);
        match (last, parameter) {
            ("A", _) => self.row = self.row.saturating_sub(number).max(self.top),
            ("B", _) => (0..number).for_each(|_| self.line_feed()),
            ("J", "0") => {
                self.lines.truncate(self.row + 1);
                self.lines[self.row].truncate(self.column);
            }
            ("K", "2") => self.lines[self.row].clear(),
            ("K", "" | "0") => self.lines[self.row].truncate(self.column),
            ("m", _) | ("h" | "l", "?25") => {}
            _ => panic!("ESC [ {parameter} {last} is for no progress bar"),
        }
        &sequence[end + 1..]
    }
}
