//! A folder of pictures as a video: JPEG, PNG and WebP, in the order of their names, in pure Rust.
//!
//! Their times come from a fixed interval, or from a CSV file with the header `file,stream_time_seconds`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::ImageReader;
use time::OffsetDateTime;

use crate::edge::frame::CameraImage;
use crate::edge::source::{CapturedImage, FrameSource, SourceError};

const CSV_HEADER: &str = "file,stream_time_seconds";
/// A larger picture is no camera's.
const MAX_SIDE_PX: u32 = 8192;

#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    Interval(Duration),
    /// Path of the CSV file.
    Table(PathBuf),
}

#[derive(Debug)]
pub struct ImageSequence {
    pictures: std::vec::IntoIter<(Duration, PathBuf)>,
    starts_at: OffsetDateTime,
}

impl ImageSequence {
    pub fn open(folder: &Path, timing: &Timing, starts_at: OffsetDateTime) -> Result<Self, SourceError> {
        let unusable = |reason: String| SourceError::Unusable { input: folder.display().to_string(), reason };
        let entries = std::fs::read_dir(folder).map_err(|e| unusable(format!("cannot be read: {e}")))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| unusable(format!("cannot be read: {e}")))?.path();
            let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
            if matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png" | "webp")) {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(unusable("holds no picture; put .jpg, .png or .webp files into it".into()));
        }
        paths.sort();
        let pictures: Vec<_> = match timing {
            Timing::Interval(interval) => {
                (0..).zip(paths).map(|(i, path)| (interval.saturating_mul(i), path)).collect()
            }
            Timing::Table(table) => timed(paths, table)?,
        };
        Ok(Self { pictures: pictures.into_iter(), starts_at })
    }
}

impl FrameSource for ImageSequence {
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        let Some((stream_time, path)) = self.pictures.next() else { return Ok(None) };
        let unusable = |reason: String| SourceError::Unusable { input: path.display().to_string(), reason };
        let mut reader = ImageReader::open(&path)
            .and_then(ImageReader::with_guessed_format)
            .map_err(|e| unusable(format!("cannot be read: {e}")))?;
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(MAX_SIDE_PX);
        limits.max_image_height = Some(MAX_SIDE_PX);
        reader.limits(limits);
        let image = reader.decode().map_err(|e| unusable(format!("is no picture that can be read: {e}")))?;
        let image = CameraImage::new(image.into_rgb8());
        Ok(Some(CapturedImage { captured_at: self.starts_at + stream_time, stream_time, image }))
    }
}

/// Pictures in order of time; each needs its line in the table.
fn timed(paths: Vec<PathBuf>, table: &Path) -> Result<Vec<(Duration, PathBuf)>, SourceError> {
    let unusable = |line: usize, reason: &str| SourceError::Unusable {
        input: if line > 0 { format!("{}:{line}", table.display()) } else { table.display().to_string() },
        reason: reason.to_owned(),
    };
    let text = std::fs::read_to_string(table).map_err(|e| unusable(0, &format!("cannot be read: {e}")))?;
    let mut lines = (1..).zip(text.lines());
    if lines.next().is_none_or(|(_, header)| header.trim() != CSV_HEADER) {
        return Err(unusable(1, &format!("is not the header; write {CSV_HEADER}")));
    }
    let mut times = BTreeMap::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = line.rsplit_once(',').and_then(|(file, seconds)| {
            let time = Duration::try_from_secs_f64(seconds.trim().parse().ok()?).ok()?;
            Some((file.trim().to_owned(), time))
        });
        let (file, time) =
            parsed.ok_or_else(|| unusable(number, "is not a file name and seconds; write e.g. 0001.jpg,0.04"))?;
        times.insert(file, time);
    }
    let mut pictures = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let time = times.get(&name).ok_or_else(|| unusable(0, &format!("has no line for {name}")))?;
        pictures.push((*time, path));
    }
    pictures.sort();
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    const START: OffsetDateTime = time::macros::datetime!(2026-03-17 09:30 UTC);

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            RgbImage::new(4, 2).save(folder.path().join(name)).unwrap();
        }
        folder
    }

    #[test]
    fn pictures_come_in_order_of_name_at_the_interval() {
        let folder = folder_with(&["b.png", "a.jpg"]);
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        let interval = Timing::Interval(Duration::from_millis(40));
        let mut source = ImageSequence::open(folder.path(), &interval, START).unwrap();
        let first = source.next_image().unwrap().unwrap();
        let second = source.next_image().unwrap().unwrap();
        assert_eq!((first.captured_at, second.captured_at), (START, START + Duration::from_millis(40)));
        assert!(source.next_image().unwrap().is_none());
    }

    #[test]
    fn a_table_gives_the_times_and_its_mistakes_are_named_by_line() {
        let folder = folder_with(&["a.png", "b.png"]);
        let table = folder.path().join("times.csv");
        std::fs::write(&table, "file,stream_time_seconds\nb.png,0.5\na.png,2\n").unwrap();
        let timing = Timing::Table(table.clone());
        let mut source = ImageSequence::open(folder.path(), &timing, START).unwrap();
        assert_eq!(source.next_image().unwrap().unwrap().stream_time, Duration::from_millis(500));
        std::fs::write(&table, "file,stream_time_seconds\nb.png,soon\n").unwrap();
        let error = ImageSequence::open(folder.path(), &timing, START).unwrap_err();
        assert!(error.to_string().contains("times.csv:2: is not a file name and seconds"), "{error}");
    }

    #[test]
    fn a_broken_picture_is_named() {
        let folder = folder_with(&[]);
        std::fs::write(folder.path().join("a.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
        let interval = Timing::Interval(Duration::from_millis(40));
        let error = ImageSequence::open(folder.path(), &interval, START).unwrap().next_image().unwrap_err();
        assert!(error.to_string().contains("a.png: is no picture that can be read"), "{error}");
    }
}
