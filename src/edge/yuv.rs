//! A picture as decoders give it: a plane of luma and two of chroma at half its width and height (I420).
//!
//! Kept like this, a frame is half as large as in RGB, and the network's input can be scaled before colours are converted; RGB at
//! full size is made only for what needs it, the pictures of damages.
//!
//! Conversion: ITU-R BT.601 or BT.709 as the stream says, limited (16–235) or full range; with E' in 0..1 and chroma in
//! −½..½, `R = Y + 2(1−Kr)·V`, `B = Y + 2(1−Kb)·U`, `G = (Y − Kr·R − Kb·B) / (1−Kr−Kb)` (BT.709-6, item 3.2 and 3.3).

use image::RgbImage;

/// Which standard a stream's colours follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YuvMatrix {
    /// Share of red in luma.
    red_share: f32,
    /// Share of blue in luma.
    blue_share: f32,
    full_range: bool,
}

impl YuvMatrix {
    /// Standard definition, and what cameras mean that say nothing.
    #[must_use]
    pub fn bt601(full_range: bool) -> Self {
        Self { red_share: 0.299, blue_share: 0.114, full_range }
    }

    /// High definition.
    #[must_use]
    pub fn bt709(full_range: bool) -> Self {
        Self { red_share: 0.2126, blue_share: 0.0722, full_range }
    }

    /// As factors on bytes.
    #[must_use]
    pub fn factors(&self) -> Factors {
        let (luma, chroma, black) =
            if self.full_range { (1.0, 1.0, 0.0) } else { (255.0 / 219.0, 255.0 / 224.0, 16.0) };
        let (kr, kb) = (self.red_share, self.blue_share);
        let kg = 1.0 - kr - kb;
        Factors {
            luma,
            black,
            red_from_v: 2.0 * (1.0 - kr) * chroma,
            blue_from_u: 2.0 * (1.0 - kb) * chroma,
            green_from_u: -2.0 * (1.0 - kb) * kb / kg * chroma,
            green_from_v: -2.0 * (1.0 - kr) * kr / kg * chroma,
        }
    }
}

/// Bytes of luma and chroma → red, green and blue in 0..255, not rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    luma: f32,
    black: f32,
    red_from_v: f32,
    blue_from_u: f32,
    green_from_u: f32,
    green_from_v: f32,
}

impl Factors {
    #[inline]
    #[must_use]
    pub fn rgb(&self, y: u8, u: u8, v: u8) -> [f32; 3] {
        let y = (f32::from(y) - self.black) * self.luma;
        let (u, v) = (f32::from(u) - 128.0, f32::from(v) - 128.0);
        [
            (y + self.red_from_v * v).clamp(0.0, 255.0),
            (y + self.green_from_u * u + self.green_from_v * v).clamp(0.0, 255.0),
            (y + self.blue_from_u * u).clamp(0.0, 255.0),
        ]
    }
}

/// Planes without padding between their rows.
#[derive(Clone, PartialEq)]
pub struct YuvImage {
    width_px: u32,
    height_px: u32,
    luma: Vec<u8>,
    chroma_u: Vec<u8>,
    chroma_v: Vec<u8>,
    matrix: YuvMatrix,
}

impl YuvImage {
    /// `None` when the planes do not have the size that the picture's size asks for.
    #[must_use]
    pub fn new(
        (width_px, height_px): (u32, u32),
        [luma, chroma_u, chroma_v]: [Vec<u8>; 3],
        matrix: YuvMatrix,
    ) -> Option<Self> {
        let (chroma_width, chroma_height) = chroma_size(width_px, height_px);
        let area = |width: u32, height: u32| width as usize * height as usize;
        let chroma_area = area(chroma_width, chroma_height);
        let fits =
            luma.len() == area(width_px, height_px) && chroma_u.len() == chroma_area && chroma_v.len() == chroma_area;
        fits.then_some(Self { width_px, height_px, luma, chroma_u, chroma_v, matrix })
    }

    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    #[must_use]
    pub fn chroma_size_px(&self) -> (u32, u32) {
        chroma_size(self.width_px, self.height_px)
    }

    #[must_use]
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// Of one pixel, stretched to 0..255 where the stream uses less.
    #[must_use]
    pub fn luma_at(&self, x_px: u32, y_px: u32) -> u8 {
        let luma = self.luma[(y_px * self.width_px + x_px) as usize];
        if self.matrix.full_range {
            return luma;
        }
        // 255 / 219 in 8-bit fractions.
        ((i32::from(luma) - 16) * 298 / 256).clamp(0, 255) as u8
    }

    /// U and V.
    #[must_use]
    pub fn chroma(&self) -> [&[u8]; 2] {
        [&self.chroma_u, &self.chroma_v]
    }

    #[must_use]
    pub fn factors(&self) -> Factors {
        self.matrix.factors()
    }

    /// The whole picture in RGB; each chroma value colours four pixels.
    #[must_use]
    pub fn to_rgb(&self) -> RgbImage {
        let (width, chroma_width) = (self.width_px as usize, self.chroma_size_px().0 as usize);
        let factors = self.factors();
        let mut pixels = vec![0; 3 * self.luma.len()];
        for (row, (target, luma)) in
            pixels.chunks_exact_mut(3 * width.max(1)).zip(self.luma.chunks_exact(width.max(1))).enumerate()
        {
            let chroma_row = row / 2 * chroma_width;
            let chroma = &self.chroma_u[chroma_row..chroma_row + chroma_width];
            let chroma = chroma.iter().zip(&self.chroma_v[chroma_row..chroma_row + chroma_width]);
            for ((rgb, luma), (&u, &v)) in target.chunks_mut(6).zip(luma.chunks(2)).zip(chroma) {
                for (pixel, &y) in rgb.chunks_exact_mut(3).zip(luma) {
                    pixel.copy_from_slice(&factors.rgb(y, u, v).map(|value| (value + 0.5) as u8));
                }
            }
        }
        RgbImage::from_raw(self.width_px, self.height_px, pixels).expect("three bytes per value of luma")
    }
}

fn chroma_size(width_px: u32, height_px: u32) -> (u32, u32) {
    (width_px.div_ceil(2), height_px.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition of the standard, in the other direction.
    fn yuv_of([r, g, b]: [f32; 3], kr: f32, kb: f32, full_range: bool) -> [u8; 3] {
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
        let (luma, chroma, black) = if full_range { (1.0, 1.0, 0.0) } else { (219.0 / 255.0, 224.0 / 255.0, 16.0) };
        [y * luma + black, u * chroma + 128.0, v * chroma + 128.0].map(|value| value.round() as u8)
    }

    proptest! {
        #[test]
        fn colours_come_back(r in 0u8.., g in 0u8.., b in 0u8.., full_range: bool, high_definition: bool) {
            let (matrix, kr, kb) = if high_definition {
                (YuvMatrix::bt709(full_range), 0.2126, 0.0722)
            } else {
                (YuvMatrix::bt601(full_range), 0.299, 0.114)
            };
            let [y, u, v] = yuv_of([r, g, b].map(f32::from), kr, kb, full_range);
            let image = YuvImage::new((1, 1), [vec![y], vec![u], vec![v]], matrix).unwrap();
            let back = image.to_rgb().get_pixel(0, 0).0;
            // Three bytes cannot hold all colours of three others exactly.
            for (wanted, found) in [r, g, b].into_iter().zip(back) {
                prop_assert!(wanted.abs_diff(found) <= 3, "{:?} {back:?}", [r, g, b]);
            }
        }
    }

    #[test]
    fn odd_sizes_have_a_chroma_value_for_each_pixel_and_planes_of_another_size_are_refused() {
        let planes = |luma: usize, chroma: usize| [vec![100; luma], vec![128; chroma], vec![128; chroma]];
        let image = YuvImage::new((3, 5), planes(15, 6), YuvMatrix::bt601(true)).unwrap();
        assert!(image.to_rgb().pixels().all(|pixel| pixel.0 == [100; 3]));
        assert!(YuvImage::new((3, 5), planes(15, 5), YuvMatrix::bt601(true)).is_none());
        assert!(YuvImage::new((4, 5), planes(15, 6), YuvMatrix::bt601(true)).is_none());
    }
}
