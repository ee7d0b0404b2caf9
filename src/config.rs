//! Reading configuration: parse, don't validate; all problems at once, each with file, line and what to write instead.
//!
//! A module describes its settings by asking a [`Table`] for each key. Whatever was not asked for is an unknown key; whatever
//! is missing, of the wrong type or out of range is noted with its line, and reading goes on, so that one run shows
//! everything. Paths are taken relative to the configuration file. Every key carries its unit (`max_gap_millis`).
//!
//! ```
//! use std::path::Path;
//! let text = "[broker]\nport = 1883\n";
//! let port = umsicht::config::parse(Path::new("example.toml"), text, |root| {
//!     let broker = root.table("broker");
//!     broker.integer("port", 1..=65_535).or(1883)
//! });
//! assert_eq!(port.unwrap(), 1883);
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {reason}; write the path of a readable configuration file", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}", Report(.0))]
    Wrong(Vec<Problem>),
}

impl From<ConfigError> for crate::failure::Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

/// One thing that is wrong: shown as `file:line: key: what is wrong; write …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub line: usize,
    pub file: PathBuf,
    /// Dotted; empty for a syntax error.
    pub key: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

struct Report<'p>(&'p [Problem]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem:")?,
            n => write!(f, "the configuration has {n} problems:")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Reads a file. `read` gets the top-level table and returns `None` when something it needs is wrong (which is noted).
pub fn read<T>(path: &Path, read: impl FnOnce(&Table) -> Option<T>) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError::Unreadable { path: path.to_owned(), reason: e.to_string() })?;
    parse(path, &text, read)
}

/// Reads one section and leaves the rest of the file alone: for a command that must work while the rest is being edited.
pub fn read_section<T>(
    path: &Path,
    section: &'static str,
    read_it: impl FnOnce(&Table) -> Option<T>,
) -> Result<T, ConfigError> {
    read(path, |root| {
        root.rest_is_known.set(true);
        read_it(&root.table(section))
    })
}

/// As [`read`], from text; `path` appears in messages and is what relative paths start from.
pub fn parse<T>(path: &Path, text: &str, read: impl FnOnce(&Table) -> Option<T>) -> Result<T, ConfigError> {
    let file = File { path, text, problems: RefCell::new(Vec::new()) };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        file.note(error.span().unwrap_or(0..0), "", &format!("this is not TOML: {}", error.message()));
    }
    // After a syntax error the rest is a guess; complaints about it would mislead.
    let value = if errors.is_empty() {
        let table = Table::new(&file, String::new(), 0..0, Some(root.get_ref()));
        read(&table)
    } else {
        None
    };
    let mut problems = file.problems.into_inner();
    problems.sort();
    problems.dedup();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => {
            debug_assert!(!problems.is_empty(), "a reader gave up without saying why");
            Err(ConfigError::Wrong(problems))
        }
    }
}

struct File<'t> {
    path: &'t Path,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl File<'_> {
    fn note(&self, span: Range<usize>, key: &str, what: &str) {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let problem = Problem { line, file: self.path.to_owned(), key: key.to_owned(), what: what.to_owned() };
        self.problems.borrow_mut().push(problem);
    }
}

/// A table of the file, present or not: an absent one is read as if it were empty.
pub struct Table<'t> {
    file: &'t File<'t>,
    /// Dotted, empty at the top.
    path: String,
    span: Range<usize>,
    entries: Option<&'t DeTable<'t>>,
    /// The value was no table, which is noted; complaining about what it lacks would only confuse.
    unusable: bool,
    asked: RefCell<BTreeSet<&'static str>>,
    /// What nobody asked for is somebody else's, or a name that the user chose.
    rest_is_known: Cell<bool>,
}

impl<'t> Table<'t> {
    fn new(file: &'t File<'t>, path: String, span: Range<usize>, entries: Option<&'t DeTable<'t>>) -> Self {
        let (asked, rest_is_known) = (RefCell::default(), Cell::new(false));
        Self { file, path, span, entries, unusable: false, asked, rest_is_known }
    }

    /// Whether the file has this table at all.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    #[must_use]
    pub fn table(&self, key: &'static str) -> Table<'t> {
        let path = self.dotted(key);
        match self.find(key) {
            Some((_, value)) => match value.get_ref() {
                DeValue::Table(entries) => Table::new(self.file, path, value.span(), Some(entries)),
                other => {
                    self.file.note(value.span(), &path, &wrong_type(other, "a table", &format!("a section [{path}]")));
                    let mut table = Table::new(self.file, path, value.span(), None);
                    table.unusable = true;
                    table
                }
            },
            None => {
                let mut table = Table::new(self.file, path, self.span.clone(), None);
                table.unusable = self.unusable;
                table
            }
        }
    }

    /// The tables in this one, by names that the user chose; what is none is noted.
    #[must_use]
    pub fn tables(&self) -> Vec<(String, Table<'t>)> {
        let mut found = Vec::new();
        for (key, value) in self.entries.into_iter().flatten() {
            let name = key.get_ref().to_string();
            let path = self.dotted(&name);
            match value.get_ref() {
                DeValue::Table(entries) => {
                    found.push((name, Table::new(self.file, path, value.span(), Some(entries))));
                }
                other => {
                    let what = wrong_type(other, "a table", &format!("a section [{path}]"));
                    self.file.note(value.span(), &path, &what);
                }
            }
        }
        self.rest_is_known.set(true);
        found
    }

    /// Notes that something which the table needs as a whole is not there.
    pub fn missing(&self, what: &str) {
        if !self.unusable {
            self.file.note(self.span.clone(), &self.path, what);
        }
    }

    #[must_use]
    pub fn text(&self, key: &'static str) -> Setting<'t, String> {
        self.value(key, "a text", "\"…\"", |value| match value {
            DeValue::String(text) if text.trim().is_empty() => {
                Err("is empty; write a text, or leave the key out".into())
            }
            DeValue::String(text) => Ok(Some(text.to_string())),
            _ => Ok(None),
        })
    }

    #[must_use]
    pub fn boolean(&self, key: &'static str) -> Setting<'t, bool> {
        self.value(key, "true or false", "true or false", |value| Ok(value.as_bool()))
    }

    /// A whole number within `range`.
    #[must_use]
    pub fn integer<T>(&self, key: &'static str, range: RangeInclusive<T>) -> Setting<'t, T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display + Copy,
    {
        let bounds = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(key, "a whole number", &bounds, |value| {
            let Some(number) = value.as_integer() else { return Ok(None) };
            let digits = number.as_str();
            let parsed = i64::from_str_radix(digits, number.radix()).ok().and_then(|n| T::try_from(n).ok());
            match parsed.filter(|n| range.contains(n)) {
                Some(n) => Ok(Some(n)),
                None => Err(format!("{digits} is out of range; write {bounds}")),
            }
        })
    }

    /// A number, with or without a decimal point, within `range`.
    #[must_use]
    pub fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Setting<'t, f64> {
        let bounds = format!("a number from {} to {}", range.start(), range.end());
        self.value(key, "a number", &bounds, |value| {
            let text = match value {
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Integer(number) => number.to_string(),
                _ => return Ok(None),
            };
            match text.parse::<f64>().ok().filter(|n| range.contains(n)) {
                Some(n) => Ok(Some(n)),
                None => Err(format!("{text} is out of range; write {bounds}")),
            }
        })
    }

    /// A path; a relative one starts at the configuration file's folder.
    #[must_use]
    pub fn path(&self, key: &'static str) -> Setting<'t, PathBuf> {
        let folder = self.file.path.parent().unwrap_or(Path::new("")).to_owned();
        self.text(key).map(|text| folder.join(text))
    }

    /// One of a few words.
    #[must_use]
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Setting<'t, T> {
        let words = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        self.parsed(key, &words, |text| match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => Err(match nearest(text, choices.iter().map(|(word, _)| *word)) {
                Some(word) => format!("{text:?} is not known here; did you mean \"{word}\"? write {words}"),
                None => format!("{text:?} is not known here; write {words}"),
            }),
        })
    }

    /// A text that becomes something: `read` says what is wrong and what to write instead.
    #[must_use]
    pub fn parsed<T, E: fmt::Display>(
        &self,
        key: &'static str,
        write: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Setting<'t, T> {
        self.value(key, "a text", write, |value| match value {
            DeValue::String(text) => read(text).map(Some).map_err(|e| e.to_string()),
            _ => Ok(None),
        })
    }

    /// Numbers in an array of exactly `N`.
    #[must_use]
    pub fn numbers<const N: usize>(&self, key: &'static str) -> Setting<'t, [f64; N]> {
        let write = format!("[…] with {N} numbers");
        self.value(key, "an array", &write, |value| {
            let Some(items) = value.as_array() else { return Ok(None) };
            let numbers: Option<Vec<f64>> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Float(number) => number.as_str().parse().ok(),
                    DeValue::Integer(number) => number.to_string().parse().ok(),
                    _ => None,
                })
                .collect();
            match numbers.and_then(|numbers| <[f64; N]>::try_from(numbers).ok()) {
                Some(numbers) => Ok(Some(numbers)),
                None => Err(format!("is not an array of {N} numbers; write {write}")),
            }
        })
    }

    /// Texts in an array.
    #[must_use]
    pub fn texts(&self, key: &'static str) -> Setting<'t, Vec<String>> {
        self.value(key, "an array of texts", "[\"…\", \"…\"]", |value| {
            let Some(items) = value.as_array() else { return Ok(None) };
            Ok(items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect())
        })
    }

    /// Notes that what the settings of this table say together cannot be.
    pub fn wrong(&self, key: &'static str, what: &str) {
        let span = self.find(key).map_or(self.span.clone(), |(key, _)| key);
        self.file.note(span, &self.dotted(key), what);
    }

    fn value<T>(
        &self,
        key: &'static str,
        expected: &str,
        write: &str,
        read: impl FnOnce(&DeValue) -> Result<Option<T>, String>,
    ) -> Setting<'t, T> {
        let path = self.dotted(key);
        let found = match self.find(key) {
            None if self.unusable => Found::Wrong,
            None => Found::Absent { note_at: self.span.clone() },
            Some((_, value)) => {
                let noted = |what: &str| {
                    self.file.note(value.span(), &path, what);
                    Found::Wrong
                };
                match read(value.get_ref()) {
                    Ok(Some(value)) => Found::Value(value),
                    Ok(None) => noted(&wrong_type(value.get_ref(), expected, &format!("{key} = {write}"))),
                    Err(what) => noted(&what),
                }
            }
        };
        Setting { file: self.file, path, found }
    }

    fn find(&self, key: &'static str) -> Option<(Range<usize>, &'t Spanned<DeValue<'t>>)> {
        self.asked.borrow_mut().insert(key);
        let (key, value) = self.entries?.get_key_value(key)?;
        Some((key.span(), value))
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Drop for Table<'_> {
    /// What nobody asked for is unknown.
    fn drop(&mut self) {
        if self.rest_is_known.get() {
            return;
        }
        let asked = self.asked.borrow();
        for (key, _) in self.entries.into_iter().flatten() {
            let name: &DeString = key.get_ref();
            if !asked.contains(&**name) {
                let what = match nearest(name, asked.iter().copied()) {
                    Some(near) => format!("unknown key; did you mean `{near}`?"),
                    None if asked.is_empty() => "unknown key; remove it".to_owned(),
                    None => {
                        let known = asked.iter().copied().collect::<Vec<_>>().join(", ");
                        format!("unknown key; remove it, or write one of: {known}")
                    }
                };
                self.file.note(key.span(), &self.dotted(name), &what);
            }
        }
    }
}

/// The value of one key, not yet taken: say whether it may be absent.
pub struct Setting<'t, T> {
    file: &'t File<'t>,
    path: String,
    found: Found<T>,
}

enum Found<T> {
    Value(T),
    Absent {
        note_at: Range<usize>,
    },
    /// Noted already.
    Wrong,
}

impl<T> Setting<'_, T> {
    /// `None` when absent or wrong, which is noted; `write` is an example of the line to write.
    #[must_use]
    pub fn required(self, write: &str) -> Option<T> {
        match self.found {
            Found::Value(value) => Some(value),
            Found::Wrong => None,
            Found::Absent { note_at } => {
                let section = match self.path.rsplit_once('.') {
                    Some((section, _)) => format!(" under [{section}]"),
                    None => " at the top".to_owned(),
                };
                self.file.note(note_at, &self.path, &format!("is missing; write `{write}`{section}"));
                None
            }
        }
    }

    /// `None` only when wrong, which is noted.
    #[must_use]
    pub fn or(self, default: T) -> Option<T> {
        self.optional().map(|value| value.unwrap_or(default))
    }

    /// Outer `None` when wrong, which is noted; inner `None` when absent.
    #[must_use]
    #[allow(clippy::option_option)]
    pub fn optional(self) -> Option<Option<T>> {
        match self.found {
            Found::Value(value) => Some(Some(value)),
            Found::Absent { .. } => Some(None),
            Found::Wrong => None,
        }
    }
}

impl<'t, T> Setting<'t, T> {
    #[must_use]
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Setting<'t, U> {
        let found = match self.found {
            Found::Value(value) => Found::Value(with(value)),
            Found::Absent { note_at } => Found::Absent { note_at },
            Found::Wrong => Found::Wrong,
        };
        Setting { file: self.file, path: self.path, found }
    }
}

fn wrong_type(found: &DeValue, expected: &str, write: &str) -> String {
    let found = match found {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    format!("is {found} but must be {expected}; write {write}")
}

fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
