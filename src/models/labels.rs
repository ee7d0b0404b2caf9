//! YOLO text labels: a file per picture, a line per box: `class cx cy w h`, as parts of the picture's width and height; a sixth
//! column (a score) may follow. A picture without a file shows nothing that is labelled.

use std::path::{Path, PathBuf};

use crate::edge::detection::BoundingBox;

#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}:{line}: {what}", path.display())]
    Line { path: PathBuf, line: usize, what: String },
    #[error(
        "{}:{line}: {name:?} is no class of the model ({}); name it in --ignore-classes if it is not to be judged",
        path.display(), known.join(", ")
    )]
    UnknownClass { path: PathBuf, line: usize, name: String, known: Vec<String> },
    #[error("{option} names {name:?}, which is neither a class of the model ({}) nor of the labels", known.join(", "))]
    UnknownName { option: &'static str, name: String, known: Vec<String> },
}

/// The model's class that a label's name stands for: by name, or by the part before the first underscore.
#[must_use]
pub fn model_class(name: &str, model_classes: &[String]) -> Option<usize> {
    let position = |wanted: &str| model_classes.iter().position(|class| class == wanted);
    position(name).or_else(|| position(name.split_once('_')?.0))
}

/// What the numbers in label files mean.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMap {
    names: Vec<String>,
    /// Per number: the model's class.
    classes: Vec<Option<usize>>,
}

impl ClassMap {
    /// Reads a file with one name per line. Names under `ignored` need not be classes of the model.
    pub fn read(path: &Path, model_classes: &[String], ignored: &[String]) -> Result<Self, LabelError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| LabelError::Unreadable { path: path.to_owned(), reason: e.to_string() })?;
        Self::parse(path, &text, model_classes, ignored)
    }

    fn parse(path: &Path, text: &str, model_classes: &[String], ignored: &[String]) -> Result<Self, LabelError> {
        let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
        let classes: Vec<Option<usize>> = names.iter().map(|name| model_class(name, model_classes)).collect();
        for (index, name) in names.iter().enumerate() {
            if classes[index].is_none() && !ignored.contains(name) {
                return Err(LabelError::UnknownClass {
                    path: path.to_owned(),
                    line: index + 1,
                    name: name.clone(),
                    known: model_classes.to_vec(),
                });
            }
        }
        let map = Self { names, classes };
        for name in ignored {
            map.resolve("--ignore-classes", name, model_classes)?;
        }
        Ok(map)
    }

    /// The model's class that a name on the command line means; `None` where only the labels know it.
    pub fn resolve(
        &self,
        option: &'static str,
        name: &str,
        model_classes: &[String],
    ) -> Result<Option<usize>, LabelError> {
        match model_class(name, model_classes) {
            Some(class) => Ok(Some(class)),
            None if self.names.iter().any(|known| known == name) => Ok(None),
            None => Err(LabelError::UnknownName { option, name: name.to_owned(), known: model_classes.to_vec() }),
        }
    }
}

/// A line of a label file, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelLine {
    pub box_in_image: BoundingBox,
    /// `None` where the model has no such class.
    pub class: Option<usize>,
}

/// Reads the labels of one picture; `None` when it has no file.
pub fn read(path: &Path, map: &ClassMap, width_px: u32, height_px: u32) -> Result<Option<Vec<LabelLine>>, LabelError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, map, width_px, height_px).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(LabelError::Unreadable { path: path.to_owned(), reason: e.to_string() }),
    }
}

fn parse(path: &Path, text: &str, map: &ClassMap, width_px: u32, height_px: u32) -> Result<Vec<LabelLine>, LabelError> {
    let (width, height) = (width_px as f32, height_px as f32);
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: String| LabelError::Line { path: path.to_owned(), line: index + 1, what };
        let fields: Vec<&str> = line.split_whitespace().collect();
        if !(5..=6).contains(&fields.len()) {
            let what =
                format!("{} columns; a label is `class cx cy w h`, with a score as a sixth at most", fields.len());
            return Err(wrong(what));
        }
        let class: usize = fields[0].parse().map_err(|_| wrong(format!("{:?} is no class number", fields[0])))?;
        if class >= map.names.len() {
            return Err(wrong(format!("class {class}, but --classes has {} names (0 is the first)", map.names.len())));
        }
        let mut values = [0.0f32; 5];
        for (value, field) in values.iter_mut().zip(&fields[1..]) {
            *value = field.parse().map_err(|_| wrong(format!("{field:?} is no number")))?;
        }
        let [cx, cy, w, h, _] = values;
        if !values[..4].iter().all(|value| (-0.5..=1.5).contains(value)) {
            return Err(wrong("a value is not a part of the picture's side (0 to 1)".into()));
        }
        let corner = |centre: f32, size: f32, side: f32| ((centre + 0.5 * size) * side).clamp(0.0, side);
        let cut = BoundingBox::new(
            corner(cx, -w, width),
            corner(cy, -h, height),
            corner(cx, w, width),
            corner(cy, h, height),
        );
        // A box without extent cannot be found by anybody.
        if let Some(box_in_image) = cut {
            lines.push(LabelLine { box_in_image, class: map.classes[class] });
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn road() -> Vec<String> {
        ["D00", "D10", "D40"].map(String::from).into()
    }

    fn map(text: &str, ignored: &[&str]) -> Result<ClassMap, LabelError> {
        let ignored: Vec<String> = ignored.iter().map(|name| (*name).to_owned()).collect();
        ClassMap::parse(Path::new("classes.txt"), text, &road(), &ignored)
    }

    #[test]
    fn names_map_whole_or_by_the_part_before_the_underscore() {
        assert_eq!(map("D00_longitudinal_crack\nD40\n", &[]).unwrap().classes, [Some(0), Some(2)]);
        assert_eq!(model_class("licence_plate", &["licence_plate".to_owned()]), Some(0));
        assert_eq!(model_class("D00x", &road()), None);
    }

    #[test]
    fn an_unknown_name_is_an_error_unless_ignored() {
        let error = map("D00\nmanhole\n", &[]).unwrap_err().to_string();
        assert!(error.starts_with("classes.txt:2: \"manhole\"") && error.contains("--ignore-classes"), "{error}");
        let ignored = map("D00\nmanhole\n", &["manhole", "D00"]).unwrap();
        assert_eq!(ignored.classes, [Some(0), None]);
        assert!(map("D00\n", &["manhole"]).unwrap_err().to_string().contains("--ignore-classes names \"manhole\""));
    }

    #[test]
    fn a_line_becomes_a_box_in_pixels_cut_at_the_edge() {
        let map = map("D00\nD40\n", &[]).unwrap();
        let lines =
            parse(Path::new("a.txt"), "1 0.5 0.5 0.5 0.25\n\n0 0.0 0.5 0.2 0.2 0.77\n", &map, 200, 100).unwrap();
        assert_eq!(lines[0].box_in_image, BoundingBox::new(50.0, 37.5, 150.0, 62.5).unwrap());
        assert_eq!(lines[0].class, Some(2));
        assert_eq!(lines[1].box_in_image.x0, 0.0);
        assert!((lines[1].box_in_image.x1 - 20.0).abs() < 1e-4);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let map = map("D00\n", &[]).unwrap();
        for (text, says) in [
            ("0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1", "a.txt:2: 4 columns"),
            ("1 0.5 0.5 0.1 0.1", "a.txt:1: class 1"),
            ("0 0.5 x 0.1 0.1", "a.txt:1: \"x\""),
            ("0 320 240 10 10", "a.txt:1: a value"),
            ("0 nan 0.5 0.1 0.1", "a.txt:1: a value"),
        ] {
            let error = parse(Path::new("a.txt"), text, &map, 640, 480).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
