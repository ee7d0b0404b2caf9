//! Drawn masks of damage: palette PNGs of the picture's size, 0 nothing, 1 crack, 2 pothole.
//!
//! The numbers count, not the colours, so the palette is not applied. A grey PNG of 8 bits holds the numbers as its values.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Decoder, Transformations};

#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} has {}×{} pixels, its picture {}×{}", path.display(), mask.0, mask.1, picture.0, picture.1)]
    Size { path: PathBuf, mask: (u32, u32), picture: (u32, u32) },
}

/// Whether each pixel is damaged, row by row; `None` when there is no such file.
pub fn read(path: &Path, width_px: u32, height_px: u32) -> Result<Option<Vec<bool>>, MaskError> {
    let unreadable = |reason: String| MaskError::Unreadable { path: path.to_owned(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    let mut decoder = Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| unreadable(e.to_string()))?;
    let (color, depth) = reader.output_color_type();
    let is_numbers = matches!(color, ColorType::Indexed | ColorType::Grayscale) && depth != BitDepth::Sixteen;
    if !is_numbers {
        return Err(unreadable(format!("is {color:?} of {depth:?} bits; a mask is a palette PNG")));
    }
    let mask = (reader.info().width, reader.info().height);
    if mask != (width_px, height_px) {
        return Err(MaskError::Size { path: path.to_owned(), mask, picture: (width_px, height_px) });
    }
    let mut bytes = vec![0; reader.output_buffer_size().unwrap_or_default()];
    let frame = reader.next_frame(&mut bytes).map_err(|e| unreadable(e.to_string()))?;
    let rows = bytes.chunks_exact(frame.line_size.max(1));
    let bits = depth as usize;
    Ok(Some(rows.flat_map(|row| (0..width_px as usize).map(move |x| value(row, x, bits) > 0)).collect()))
}

/// Pixel `x` of a row that holds `bits` bits per pixel, the first one in the highest bits.
fn value(row: &[u8], x: usize, bits: usize) -> u8 {
    let bit = x * bits;
    let shifted = row[bit / 8] >> (8 - bits - bit % 8);
    if bits == 8 { shifted } else { shifted & ((1 << bits) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, width: u32, height: u32, depth: BitDepth, rows: &[u8]) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(vec![0, 0, 0, 255, 255, 255, 90, 90, 90]);
        encoder.write_header().unwrap().write_image_data(rows).unwrap();
    }

    #[test]
    fn numbers_are_read_at_every_depth_whatever_their_colour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        // 5×2: 0 1 0 0 2 / 0 0 0 2 1
        write(&path, 5, 2, BitDepth::Two, &[0b00_01_00_00, 0b10_00_00_00, 0b00_00_00_10, 0b01_00_00_00]);
        let expected = [false, true, false, false, true, false, false, false, true, true];
        assert_eq!(read(&path, 5, 2).unwrap().unwrap(), expected);
        write(&path, 5, 2, BitDepth::Eight, &[0, 1, 0, 0, 2, 0, 0, 0, 2, 1]);
        assert_eq!(read(&path, 5, 2).unwrap().unwrap(), expected);
        write(&path, 5, 2, BitDepth::One, &[0b0100_1000, 0b0001_1000]);
        assert_eq!(read(&path, 5, 2).unwrap().unwrap(), expected);
    }

    #[test]
    fn another_size_is_refused_and_no_mask_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        assert!(read(&path, 5, 2).unwrap().is_none());
        write(&path, 5, 1, BitDepth::Eight, &[0; 5]);
        let error = read(&path, 5, 2).unwrap_err().to_string();
        assert!(error.ends_with("has 5×1 pixels, its picture 5×2"), "{error}");
        image::RgbImage::new(5, 2).save(&path).unwrap();
        assert!(read(&path, 5, 2).unwrap_err().to_string().contains("palette"));
    }
}
