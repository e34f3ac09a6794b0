//! The results files. Also part of the crate's test that compares them with the
//! READMEs, so this file uses nothing but std and `serde_json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The files in `benches/results/`, without `.json`; each is written by one command.
pub const FILES: [&str; 4] = ["calls", "cost", "command", "soak"];

/// The content of all files: a figure has a value for each program, or null if a tool was missing.
pub struct Results {
    files: BTreeMap<&'static str, Value>,
}

/// Figures as they are measured: name of the figure, program, value.
#[derive(Default)]
pub struct Figures(Map<String, Value>);

impl Results {
    /// Reads `benches/results/`. A file that has not been written yet has no figures.
    pub fn read(folder: &Path) -> Self {
        let read = |name: &str| {
            let text = fs::read_to_string(folder.join(format!("{name}.json"))).ok()?;
            Some(serde_json::from_str(&text).expect("a results file is JSON"))
        };
        Self {
            files: FILES
                .iter()
                .filter_map(|&name| Some((name, read(name)?)))
                .collect(),
        }
    }

    /// Returns a figure of a program; `None` if it was not measured.
    pub fn get(&self, figure: &str, program: &str) -> Option<f64> {
        let figures = self.files.values().map(|file| &file["figures"][figure]);
        figures
            .filter_map(|programs| programs[program].as_f64())
            .next()
    }

    /// Returns the quotient of two programs' figures.
    pub fn ratio(&self, figure: &str, program: &str, other: &str) -> Option<f64> {
        Some(self.get(figure, program)? / self.get(figure, other)?)
    }

    /// Returns the programs with a figure, in the order of their values.
    pub fn programs_by(&self, figure: &str) -> Vec<&str> {
        let figures = self.files.values().map(|file| &file["figures"][figure]);
        let programs = figures.filter_map(Value::as_object).flatten();
        let mut programs: Vec<_> = programs.map(|(name, _)| name.as_str()).collect();
        let value = |program: &&str| self.get(figure, program).unwrap_or(f64::INFINITY);
        programs.sort_by(|a, b| value(a).total_cmp(&value(b)));
        programs
    }

    /// Returns a text about the run that made a file.
    pub fn about(&self, file: &str, key: &str) -> &str {
        let file = self.files.get(file).unwrap_or(&Value::Null);
        file[key].as_str().unwrap_or("not measured")
    }

    /// Returns the versions of the programs in a file, by their names.
    pub fn versions(&self, file: &str) -> Vec<(&str, &str)> {
        let versions = self
            .files
            .get(file)
            .and_then(|it| it["versions"].as_object());
        versions
            .into_iter()
            .flatten()
            .filter_map(|(name, version)| Some((name.as_str(), version.as_str()?)))
            .collect()
    }
}

impl Figures {
    pub fn set(&mut self, figure: &str, program: &str, value: Option<f64>) {
        // Further digits are noise.
        let rounded = value.map(|value| (value * 1000.0).round() / 1000.0);
        let programs = self.0.entry(figure).or_insert_with(|| json!({}));
        programs[program] = json!(rounded);
    }

    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Adds the figures that another process printed.
    pub fn add_json(&mut self, text: &str) -> serde_json::Result<()> {
        self.0.extend(serde_json::from_str::<Map<_, _>>(text)?);
        Ok(())
    }

    /// Writes a file: `about` the run, and the figures.
    pub fn write(self, folder: &Path, file: &str, mut about: Map<String, Value>) {
        about.insert("figures".to_owned(), Value::Object(self.0));
        let text = serde_json::to_string_pretty(&Value::Object(about)).unwrap();
        fs::write(folder.join(format!("{file}.json")), text + "\n").unwrap();
    }
}
