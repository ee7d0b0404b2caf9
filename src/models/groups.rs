//! Which pictures show the same place, and where they come from: a CSV file with the columns `file`, `group` and perhaps `source`.
//!
//! Other columns may stand beside them. A picture that the file does not name, or names without a group, is a group of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: there is no column `{column}`; a first line as `file,source,group` names them", path.display())]
    NoColumn { path: PathBuf, column: &'static str },
    #[error("{}: none of the pictures is named in it", path.display())]
    NoneKnown { path: PathBuf },
}

/// What the file says of one picture; empty where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    pub group: String,
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    path: PathBuf,
    of_file: HashMap<String, Origin>,
}

impl Groups {
    pub fn read(path: &Path) -> Result<Self, GroupError> {
        let unreadable = |reason: String| GroupError::Unreadable { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, GroupError> {
        let unreadable = |e: csv::Error| GroupError::Unreadable { path: path.to_owned(), reason: e.to_string() };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(unreadable)?.clone();
        let place = |name: &str| header.iter().position(|column| column == name);
        let needed = |column| place(column).ok_or(GroupError::NoColumn { path: path.to_owned(), column });
        let (file, group, source) = (needed("file")?, needed("group")?, place("source"));
        let mut of_file = HashMap::new();
        for record in reader.records() {
            let record = record.map_err(unreadable)?;
            let field = |index: usize| record.get(index).unwrap_or_default().to_owned();
            let origin = Origin { group: field(group), source: source.map(field).unwrap_or_default() };
            of_file.insert(field(file), origin);
        }
        Ok(Self { path: path.to_owned(), of_file })
    }

    /// What is known of each picture, by its file name. A file that knows none of them belongs to other pictures.
    pub fn origins(&self, pictures: &[PathBuf]) -> Result<Vec<Origin>, GroupError> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let known: Vec<Option<&Origin>> = pictures.iter().map(|path| self.of_file.get(&name(path))).collect();
        if known.iter().all(Option::is_none) {
            return Err(GroupError::NoneKnown { path: self.path.clone() });
        }
        Ok(known.into_iter().map(|origin| origin.cloned().unwrap_or_default()).collect())
    }
}

/// A number per picture, the same for pictures of one group, and how many numbers there are.
#[must_use]
pub fn units(origins: &[Origin]) -> (Vec<usize>, usize) {
    let mut of_group: HashMap<&str, usize> = HashMap::new();
    let mut count = 0;
    let mut next = || {
        count += 1;
        count - 1
    };
    let units = origins
        .iter()
        .map(|origin| match origin.group.as_str() {
            "" => next(),
            group => *of_group.entry(group).or_insert_with(&mut next),
        })
        .collect();
    (units, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Groups, GroupError> {
        Groups::parse(Path::new("manifest.csv"), text)
    }

    #[test]
    fn pictures_of_a_group_are_one_unit_and_others_stand_alone() {
        let text = "file,source,group,boxes\na.jpg,dnit,BR-290,3\nb.jpg,\"lens, wide\",BR-290,0\nc.jpg,dnit,,1\n";
        let pictures = ["x/a.jpg", "x/b.jpg", "x/c.jpg", "x/d.jpg"].map(PathBuf::from);
        let origins = parse(text).unwrap().origins(&pictures).unwrap();
        assert_eq!(origins[1], Origin { group: "BR-290".into(), source: "lens, wide".into() });
        assert_eq!(units(&origins), (vec![0, 0, 1, 2], 3));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(parse("file,source\na,b\n").unwrap_err().to_string().contains("no column `group`"));
        let strangers = parse("file,group\na.jpg,g\n").unwrap().origins(&["b.jpg".into()]);
        assert!(strangers.unwrap_err().to_string().contains("none of the pictures"));
        assert!(parse("file,group\na.jpg,g,h\n").unwrap_err().to_string().starts_with("manifest.csv: "));
    }
}
