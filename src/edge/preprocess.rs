//! Camera picture → network input: letterboxed, planes of floats; and the way back for boxes.
//!
//! Frames: *image* is the original picture, *input* the network's. A picture keeps its shape, is centred, and the rest is the
//! pad value. The inner size is rounded to whole pixels, so the two axes scale by slightly different factors, and the way
//! back uses exactly these. Two passes: one resize in bytes, one that splits, scales and places; no memory is taken per frame
//! once the size of the pictures is known.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::edge::detection::BoundingBox;
use crate::edge::frame::CameraImage;
use crate::edge::infer::model::{ChannelOrder, Fit, InputSpec};
use crate::edge::infer::{InferError, Tensor};
use crate::edge::yuv::{Factors, YuvImage};

/// Where a picture of one size lies in the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    image_width_px: u32,
    image_height_px: u32,
    inner_width_px: u32,
    inner_height_px: u32,
    left_px: u32,
    top_px: u32,
}

impl Letterbox {
    /// `None` for an empty picture.
    #[must_use]
    pub fn new(image_width_px: u32, image_height_px: u32, input: &InputSpec) -> Option<Self> {
        if image_width_px == 0 || image_height_px == 0 {
            return None;
        }
        let (width, height) = (u32::try_from(input.width).ok()?, u32::try_from(input.height).ok()?);
        let whole = |inner_width_px: u32, inner_height_px: u32| Self {
            image_width_px,
            image_height_px,
            inner_width_px,
            inner_height_px,
            left_px: (width - inner_width_px) / 2,
            top_px: (height - inner_height_px) / 2,
        };
        if input.fit == Fit::Stretch {
            return Some(whole(width, height));
        }
        let ratio = (f64::from(width) / f64::from(image_width_px)).min(f64::from(height) / f64::from(image_height_px));
        let inner = |side: u32, limit: u32| ((f64::from(side) * ratio).round_ties_even() as u32).clamp(1, limit);
        Some(whole(inner(image_width_px, width), inner(image_height_px, height)))
    }

    /// Pixels of the network's input → pixels of the picture, cut at its edges; `None` where nothing is left.
    #[must_use]
    pub fn image_from_input(&self, [x0, y0, x1, y1]: [f32; 4]) -> Option<BoundingBox> {
        let axis = |input_px: f32, offset_px: u32, image_px: u32, inner_px: u32| {
            let px = (f64::from(input_px) - f64::from(offset_px)) * f64::from(image_px) / f64::from(inner_px);
            px.clamp(0.0, f64::from(image_px)) as f32
        };
        let x = |input_px| axis(input_px, self.left_px, self.image_width_px, self.inner_width_px);
        let y = |input_px| axis(input_px, self.top_px, self.image_height_px, self.inner_height_px);
        BoundingBox::new(x(x0), y(y0), x(x1), y(y1))
    }

    /// Pixels of the picture → pixels of the network's input.
    #[must_use]
    pub fn input_from_image(&self, image: &BoundingBox) -> [f32; 4] {
        let axis = |image_px: f32, offset_px: u32, side_px: u32, inner_px: u32| {
            (f64::from(image_px) * f64::from(inner_px) / f64::from(side_px) + f64::from(offset_px)) as f32
        };
        let x = |px| axis(px, self.left_px, self.image_width_px, self.inner_width_px);
        let y = |px| axis(px, self.top_px, self.image_height_px, self.inner_height_px);
        [x(image.x0), y(image.y0), x(image.x1), y(image.y1)]
    }
}

/// Fills the network's input, frame after frame.
pub struct Preprocessor {
    spec: InputSpec,
    resizer: Resizer,
    options: ResizeOptions,
    resized: Vec<u8>,
    /// Padding is written once, when the size of the pictures changes.
    placed: Option<Letterbox>,
    input: Tensor,
}

impl Preprocessor {
    #[must_use]
    pub fn new(spec: InputSpec) -> Self {
        let input = Tensor::filled(&[1, 3, spec.height, spec.width], 0.0);
        // Averages over all pixels it shrinks, so that thin cracks do not flicker from frame to frame.
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
        Self { spec, resizer: Resizer::new(), options, resized: Vec::new(), placed: None, input }
    }

    /// The input tensor for a picture, and where the picture lies in it.
    pub fn prepare(&mut self, image: &CameraImage) -> Result<(&Tensor, Letterbox), InferError> {
        let (width_px, height_px) = (image.width_px(), image.height_px());
        let unusable = || InferError::Picture { width_px, height_px };
        let letterbox = Letterbox::new(width_px, height_px, &self.spec).ok_or_else(unusable)?;
        if self.placed != Some(letterbox) {
            self.fill_with_padding();
            self.resized.resize(3 * letterbox.inner_width_px as usize * letterbox.inner_height_px as usize, 0);
            self.placed = Some(letterbox);
        }
        match image.unredacted_planes() {
            Some(planes) => self.shrink_planes(planes, &letterbox).ok_or_else(unusable)?,
            None => self.shrink(image.unredacted(), &letterbox).ok_or_else(unusable)?,
        }
        Ok((&self.input, letterbox))
    }

    fn shrink(&mut self, pixels: &RgbImage, letterbox: &Letterbox) -> Option<()> {
        let source = ImageRef::new(pixels.width(), pixels.height(), pixels.as_raw(), PixelType::U8x3).ok()?;
        let (inner_width, inner_height) = (letterbox.inner_width_px, letterbox.inner_height_px);
        let mut target = Image::from_slice_u8(inner_width, inner_height, &mut self.resized, PixelType::U8x3).ok()?;
        self.resizer.resize(&source, &mut target, &self.options).ok()?;
        self.place(letterbox);
        Some(())
    }

    /// Each plane is scaled for itself, and colours are converted at the network's size: half the bytes of RGB.
    fn shrink_planes(&mut self, planes: &YuvImage, letterbox: &Letterbox) -> Option<()> {
        let (inner_width, inner_height) = (letterbox.inner_width_px, letterbox.inner_height_px);
        let luma_size = (planes.width_px(), planes.height_px());
        let [chroma_u, chroma_v] = planes.chroma();
        let sources =
            [(planes.luma(), luma_size), (chroma_u, planes.chroma_size_px()), (chroma_v, planes.chroma_size_px())];
        let area = inner_width as usize * inner_height as usize;
        for (target, (source, (width, height))) in self.resized.chunks_exact_mut(area).zip(sources) {
            let source = ImageRef::new(width, height, source, PixelType::U8).ok()?;
            let mut target = Image::from_slice_u8(inner_width, inner_height, target, PixelType::U8).ok()?;
            self.resizer.resize(&source, &mut target, &self.options).ok()?;
        }
        self.place_planes(letterbox, &planes.factors());
        Some(())
    }

    fn fill_with_padding(&mut self) {
        let pad = f32::from(self.spec.pad_value);
        let (plane, [red, green, blue]) = (self.spec.width * self.spec.height, self.spec.normalisation());
        let in_order = match self.spec.order {
            ChannelOrder::Rgb => [red, green, blue],
            ChannelOrder::Bgr => [blue, green, red],
        };
        for (values, (factor, summand)) in self.input.data.chunks_exact_mut(plane).zip(in_order) {
            values.fill(pad * factor + summand);
        }
    }

    /// Interleaved bytes → planes of floats inside the padding.
    fn place(&mut self, letterbox: &Letterbox) {
        let [of_red, of_green, of_blue] = self.spec.normalisation();
        let inner_width = letterbox.inner_width_px as usize;
        let rows = inner_rows(&self.spec, &mut self.input, letterbox);
        for ([red, green, blue], bytes) in rows.zip(self.resized.chunks_exact(3 * inner_width)) {
            for (((rgb, r), g), b) in bytes.chunks_exact(3).zip(red).zip(green).zip(blue) {
                *r = f32::from(rgb[0]) * of_red.0 + of_red.1;
                *g = f32::from(rgb[1]) * of_green.0 + of_green.1;
                *b = f32::from(rgb[2]) * of_blue.0 + of_blue.1;
            }
        }
    }

    /// Planes of luma and chroma at the inner size → planes of floats inside the padding.
    fn place_planes(&mut self, letterbox: &Letterbox, factors: &Factors) {
        let [of_red, of_green, of_blue] = self.spec.normalisation();
        let inner_width = letterbox.inner_width_px as usize;
        let area = inner_width * letterbox.inner_height_px as usize;
        let (luma, chroma) = self.resized.split_at(area);
        let (chroma_u, chroma_v) = chroma.split_at(area);
        let bytes = luma.chunks_exact(inner_width).zip(chroma_u.chunks_exact(inner_width));
        let bytes = bytes.zip(chroma_v.chunks_exact(inner_width));
        let rows = inner_rows(&self.spec, &mut self.input, letterbox);
        for ([red, green, blue], ((luma, chroma_u), chroma_v)) in rows.zip(bytes) {
            let values = luma.iter().zip(chroma_u).zip(chroma_v);
            for ((((&y, &u), &v), r), (g, b)) in values.zip(red).zip(green.iter_mut().zip(blue)) {
                let rgb = factors.rgb(y, u, v);
                *r = rgb[0] * of_red.0 + of_red.1;
                *g = rgb[1] * of_green.0 + of_green.1;
                *b = rgb[2] * of_blue.0 + of_blue.1;
            }
        }
    }
}

/// The rows of the input's red, green and blue planes that lie inside the padding, from the top.
fn inner_rows<'i>(
    spec: &InputSpec,
    input: &'i mut Tensor,
    letterbox: &Letterbox,
) -> impl Iterator<Item = [&'i mut [f32]; 3]> {
    let (left, inner_width) = (letterbox.left_px as usize, letterbox.inner_width_px as usize);
    let (width, top) = (spec.width, letterbox.top_px as usize);
    let (first, rest) = input.data.split_at_mut(spec.width * spec.height);
    let (green, last) = rest.split_at_mut(spec.width * spec.height);
    let (red, blue) = match spec.order {
        ChannelOrder::Rgb => (first, last),
        ChannelOrder::Bgr => (last, first),
    };
    let rows = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
    rows.skip(top)
        .take(letterbox.inner_height_px as usize)
        .map(move |((red, green), blue)| [red, green, blue].map(|row| &mut row[left..left + inner_width]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    fn spec(width: usize, height: usize, order: ChannelOrder) -> InputSpec {
        let (mean, std) = ([0.0; 3], [1.0; 3]);
        InputSpec { width, height, pad_value: 114, scale: 1.0, order, fit: Fit::Letterbox, mean, std }
    }

    /// The value at (x, y) in each plane.
    fn at(input: &Tensor, x: usize, y: usize) -> [f32; 3] {
        let (height, width) = (input.shape[2], input.shape[3]);
        std::array::from_fn(|plane| input.data[plane * width * height + y * width + x])
    }

    #[test]
    fn the_picture_is_centred_the_rest_is_padding_and_channels_stand_in_order() {
        let picture = RgbImage::from_pixel(100, 50, Rgb([10, 20, 30]));
        let mut rgb = Preprocessor::new(spec(64, 64, ChannelOrder::Rgb));
        let (input, _) = rgb.prepare(&CameraImage::new(picture.clone())).unwrap();
        assert_eq!(at(input, 0, 0), [114.0; 3]);
        assert_eq!(at(input, 31, 15), [114.0; 3]);
        assert_eq!(at(input, 0, 16), [10.0, 20.0, 30.0]);
        assert_eq!(at(input, 63, 47), [10.0, 20.0, 30.0]);
        assert_eq!(at(input, 63, 48), [114.0; 3]);
        let mut bgr = Preprocessor::new(spec(64, 64, ChannelOrder::Bgr));
        let (input, _) = bgr.prepare(&CameraImage::new(picture.clone())).unwrap();
        assert_eq!(at(input, 0, 16), [30.0, 20.0, 10.0]);
    }

    #[test]
    fn a_picture_of_another_size_leaves_nothing_of_the_one_before() {
        let mut reused = Preprocessor::new(spec(64, 64, ChannelOrder::Rgb));
        reused.prepare(&CameraImage::new(RgbImage::from_pixel(50, 100, Rgb([255, 255, 255])))).unwrap();
        let wide = RgbImage::from_fn(90, 41, |x, y| Rgb([x as u8, y as u8, 7]));
        let mut fresh = Preprocessor::new(spec(64, 64, ChannelOrder::Rgb));
        assert_eq!(
            reused.prepare(&CameraImage::new(wide.clone())).unwrap().0,
            fresh.prepare(&CameraImage::new(wide.clone())).unwrap().0
        );
    }

    #[test]
    fn planes_give_what_their_picture_gives() {
        let plane = |width: u32, height: u32, step: f32| -> Vec<u8> {
            let value = |x: u32, y: u32| 128.0 + 60.0 * ((x as f32 * step).sin() + (y as f32 * step).cos()) / 2.0;
            (0..width * height).map(|i| value(i % width, i / width) as u8).collect()
        };
        let planes = [plane(101, 57, 0.1), plane(51, 29, 0.07), plane(51, 29, 0.13)];
        let planes = YuvImage::new((101, 57), planes, crate::edge::yuv::YuvMatrix::bt709(false)).unwrap();
        for order in [ChannelOrder::Rgb, ChannelOrder::Bgr] {
            let (mut first, mut second) =
                (Preprocessor::new(spec(64, 48, order)), Preprocessor::new(spec(64, 48, order)));
            let from_planes = first.prepare(&CameraImage::from_yuv(planes.clone())).unwrap().0;
            let from_rgb = second.prepare(&CameraImage::new(planes.to_rgb())).unwrap().0;
            let off: Vec<f32> = from_planes.data.iter().zip(&from_rgb.data).map(|(a, b)| (a - b).abs()).collect();
            // Chroma is scaled up smoothly here and stands in steps there.
            assert!(off.iter().sum::<f32>() / (off.len() as f32) < 1.0, "{order:?}");
            assert!(off.iter().all(|off| *off < 12.0), "{order:?} {:?}", off.iter().copied().fold(0.0, f32::max));
        }
    }

    #[test]
    fn an_edge_in_the_picture_lies_where_the_letterbox_says() {
        // Left half black, right half white, on a picture that must shrink and be padded at top and bottom.
        let picture = RgbImage::from_fn(1280, 720, |x, _| if x < 400 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        let mut preprocessor = Preprocessor::new(spec(512, 320, ChannelOrder::Rgb));
        let (input, letterbox) = preprocessor.prepare(&CameraImage::new(picture.clone())).unwrap();
        let edge = letterbox.input_from_image(&BoundingBox::new(400.0, 0.0, 1280.0, 720.0).unwrap())[0];
        let row: Vec<f32> = (0..512).map(|x| at(input, x, 160)[0]).collect();
        // The dark part's width in input pixels, by area.
        let dark: f32 = row.iter().map(|value| 1.0 - value / 255.0).sum();
        assert!((dark - edge).abs() < 0.02, "{dark} {edge}");
    }

    #[test]
    fn each_channel_has_its_own_normalisation_in_either_order_and_padding_too() {
        let picture = RgbImage::from_pixel(100, 50, Rgb([10, 20, 30]));
        for (order, inside) in [(ChannelOrder::Rgb, [4.5, 4.75, 4.0]), (ChannelOrder::Bgr, [4.0, 4.75, 4.5])] {
            let mut preprocessor = Preprocessor::new(InputSpec {
                scale: 0.5,
                mean: [0.5, 0.5, 3.0],
                std: [1.0, 2.0, 3.0],
                ..spec(64, 64, order)
            });
            let (input, _) = preprocessor.prepare(&CameraImage::new(picture.clone())).unwrap();
            let outside = if order == ChannelOrder::Rgb { [56.5, 28.25, 18.0] } else { [18.0, 28.25, 56.5] };
            for (place, expected) in [((0, 16), inside), ((0, 0), outside)] {
                let found = at(input, place.0, place.1);
                assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-5), "{found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn a_stretched_picture_fills_the_input() {
        let stretched = InputSpec { fit: Fit::Stretch, ..spec(64, 64, ChannelOrder::Rgb) };
        let letterbox = Letterbox::new(128, 32, &stretched).unwrap();
        let image = BoundingBox::new(32.0, 8.0, 64.0, 16.0).unwrap();
        assert_eq!(letterbox.input_from_image(&image), [16.0, 16.0, 32.0, 32.0]);
        assert_eq!(letterbox.image_from_input([16.0, 16.0, 32.0, 32.0]), Some(image));
        let picture = RgbImage::from_pixel(128, 32, Rgb([10, 20, 30]));
        let mut preprocessor = Preprocessor::new(stretched);
        assert_eq!(at(preprocessor.prepare(&CameraImage::new(picture.clone())).unwrap().0, 0, 0), [10.0, 20.0, 30.0]);
    }

    #[test]
    fn an_empty_picture_is_refused() {
        let mut preprocessor = Preprocessor::new(spec(64, 64, ChannelOrder::Rgb));
        assert!(matches!(
            preprocessor.prepare(&CameraImage::new(RgbImage::new(0, 10))),
            Err(InferError::Picture { .. })
        ));
    }

    proptest! {
        #[test]
        fn boxes_return_to_where_they_were(
            width in 1u32..4000, height in 1u32..3000, input_width in 1usize..20, input_height in 1usize..20,
            fractions in prop::array::uniform4(0.0f32..1.0),
        ) {
            let spec = spec(32 * input_width, 32 * input_height, ChannelOrder::Rgb);
            let letterbox = Letterbox::new(width, height, &spec).unwrap();
            let [a, b, c, d] = fractions;
            let (w, h) = (width as f32, height as f32);
            let image = BoundingBox::new(a.min(b) * w, c.min(d) * h, a.max(b) * w, c.max(d) * h);
            prop_assume!(image.is_some_and(|b| b.x1 - b.x0 > 0.01 * w && b.y1 - b.y0 > 0.01 * h));
            let image = image.unwrap();
            let input = letterbox.input_from_image(&image);
            prop_assert!(input[0] >= 0.0 && input[2] <= spec.width as f32 + 0.01);
            prop_assert!(input[1] >= 0.0 && input[3] <= spec.height as f32 + 0.01);
            let back = letterbox.image_from_input(input).unwrap();
            for (found, sent) in [(back.x0, image.x0), (back.y0, image.y0), (back.x1, image.x1), (back.y1, image.y1)] {
                prop_assert!((found - sent).abs() < 1e-3 * w.max(h), "{back:?} {image:?}");
            }
        }
    }
}
