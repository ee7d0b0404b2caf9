//! The list of measured objects: CSV with a header, one object per line.

use std::path::{Path, PathBuf};

use crate::geo::LatLon;
use crate::schema::DamageClass;

const HEADER: &str = "name,lat,lon,length_metres,width_metres,class";
/// Fewer say nothing about shares and percentiles.
pub const MIN_OBJECTS: usize = 5;

/// Something on the road that was measured by tape or RTK.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceObject {
    pub name: String,
    /// Of its middle.
    pub position: LatLon,
    /// Along the direction of travel.
    pub length_metres: f64,
    /// Across it.
    pub width_metres: f64,
    /// `None`: whatever the model calls it.
    pub class: Option<DamageClass>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsError {
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
    #[error("{}: holds {found} objects; measure at least {MIN_OBJECTS}, along about 200 m", path.display())]
    TooFew { path: PathBuf, found: usize },
}

pub fn read(path: &Path) -> Result<Vec<ReferenceObject>, ObjectsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ObjectsError::Unreadable { path: path.to_owned(), reason: e.to_string() })?;
    parse(path, &text)
}

/// All mistakes at once, each with its line.
pub fn parse(path: &Path, text: &str) -> Result<Vec<ReferenceObject>, ObjectsError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map(|h| h.iter().map(str::to_owned).collect()).unwrap_or_default();
    let place = |line: u64| format!("{}:{line}", path.display());
    let header = header.join(",");
    if header != HEADER && Some(header.as_str()) != HEADER.strip_suffix(",class") {
        return Err(ObjectsError::Wrong(vec![format!(
            "{}: is not the header; write {HEADER} (class may be left out)",
            place(1)
        )]));
    }
    let mut objects: Vec<ReferenceObject> = Vec::new();
    let mut wrong = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                match object(&record) {
                    Ok(object) if objects.iter().any(|o| o.name == object.name) => {
                        wrong.push(format!(
                            "{}: the name {:?} is there twice; give each its own",
                            place(line),
                            object.name
                        ));
                    }
                    Ok(object) => objects.push(object),
                    Err(what) => wrong.push(format!("{}: {what}", place(line))),
                }
            }
            Err(error) => wrong.push(format!("{}: {error}", place(error.position().map_or(0, csv::Position::line)))),
        }
    }
    if !wrong.is_empty() {
        return Err(ObjectsError::Wrong(wrong));
    }
    if objects.len() < MIN_OBJECTS {
        return Err(ObjectsError::TooFew { path: path.to_owned(), found: objects.len() });
    }
    Ok(objects)
}

fn object(record: &csv::StringRecord) -> Result<ReferenceObject, String> {
    let field = |k: usize| record.get(k).unwrap_or_default();
    let number = |k: usize, name: &str, example: &str| {
        let text = field(k);
        text.parse::<f64>()
            .ok()
            .filter(|n| n.is_finite())
            .ok_or_else(|| format!("{name} is {text:?}; write a number with a point, e.g. {example}"))
    };
    let name = field(0);
    if name.is_empty() {
        return Err("has no name; write e.g. gully-3".into());
    }
    let (lat, lon) = (number(1, "lat", "50.021537")?, number(2, "lon", "8.693412")?);
    let position = LatLon::new(lat, lon).ok_or("lat and lon are no place on earth; write degrees, latitude first")?;
    let size = |k: usize, name: &str| {
        let metres = number(k, name, "0.6")?;
        if (0.02..=50.0).contains(&metres) {
            Ok(metres)
        } else {
            Err(format!("{name} is {metres}; write metres from 0.02 to 50"))
        }
    };
    let class = match field(5) {
        "" => None,
        code => Some(code.parse::<DamageClass>().map_err(|_| {
            format!("class {code:?} is not known; write D00, D10, D20, D40 or Repair, or leave it empty")
        })?),
    };
    let (length_metres, width_metres) = (size(3, "length_metres")?, size(4, "width_metres")?);
    Ok(ReferenceObject { name: name.to_owned(), position, length_metres, width_metres, class })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_and_without_classes() {
        let lines: String = (0..5).map(|k| format!("hole-{k},50.0{k},8.6,0.5,0.4,{}\n", ["D40", ""][k % 2])).collect();
        let objects = parse(Path::new("o.csv"), &format!("{HEADER}\n{lines}")).unwrap();
        assert_eq!(objects.len(), 5);
        assert_eq!((objects[0].class, objects[1].class), (Some(DamageClass::Pothole), None));
        let bare: String = (0..5).map(|k| format!("hole-{k}, 50.0{k}, 8.6, 0.5, 0.4\n")).collect();
        let objects = parse(Path::new("o.csv"), &format!("name,lat,lon,length_metres,width_metres\n{bare}")).unwrap();
        assert!(objects.iter().all(|o| o.class.is_none()));
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let text = format!(
            "{HEADER}\na,50,8,0.5,0.4,D40\n,50,8,1,1,\nb,5000,8,1,1,\nc,50,8,\"0,5\",1,\nd,50,8,1,1,D99\na,50,8,1,1,\n"
        );
        let ObjectsError::Wrong(told) = parse(Path::new("o.csv"), &text).unwrap_err() else { panic!("not told") };
        let lines: Vec<&str> = told.iter().map(|t| t.split(": ").next().unwrap()).collect();
        assert_eq!(lines, ["o.csv:3", "o.csv:4", "o.csv:5", "o.csv:6", "o.csv:7"], "{told:#?}");
        assert!(told[2].contains("with a point") && told[3].contains("D40"), "{told:#?}");
        let header = parse(Path::new("o.csv"), "name;lat;lon\n").unwrap_err();
        assert!(header.to_string().contains(HEADER), "{header}");
        let few = parse(Path::new("o.csv"), &format!("{HEADER}\na,50,8,1,1,\n")).unwrap_err();
        assert!(few.to_string().contains("at least 5"), "{few}");
    }
}
