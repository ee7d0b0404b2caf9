//! Pictures out of GStreamer's samples: one pass from the decoder's buffer straight into the picture's own memory. Planes of
//! luma and chroma are taken as they are; whatever else a decoder gives becomes RGB.

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use image::RgbImage;

use crate::edge::frame::CameraImage;
use crate::edge::yuv::{YuvImage, YuvMatrix};

/// A larger picture is no camera's.
const MAX_SIDE_PX: u32 = 8192;

/// Keeps what the conversion of one format needs; a stream may change its format at any picture.
#[derive(Default)]
pub(super) struct Developer {
    made_for: Option<(gst_video::VideoInfo, gst_video::VideoConverter)>,
}

impl Developer {
    /// The error completes "a picture …".
    pub fn image(&mut self, sample: &gst::Sample) -> Result<CameraImage, &'static str> {
        let buffer = sample.buffer().ok_or("has no pixels")?;
        let caps = sample.caps().ok_or("has no format")?;
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| "has no known format")?;
        let (width, height) = (info.width(), info.height());
        if width == 0 || height == 0 || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err("has no sensible size");
        }
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
        let frame = frame.map_err(|_| "is smaller than its format says")?;
        if let Some(planes) = planes(&frame) {
            return Ok(CameraImage::from_yuv(planes));
        }
        self.rgb(&frame, &info).map(CameraImage::new)
    }

    fn rgb(
        &mut self,
        frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
        info: &gst_video::VideoInfo,
    ) -> Result<RgbImage, &'static str> {
        let (width, height) = (info.width(), info.height());
        let converter = self.converter_for(info)?;
        let row_bytes = width as usize * 3;
        let pixels = gst::Buffer::from_mut_slice(vec![0_u8; row_bytes * height as usize]);
        let rgb = gst_video::VideoFrame::from_buffer_writable(pixels, converter.out_info());
        let mut rgb = rgb.map_err(|_| "cannot be written")?;
        converter.frame_ref(frame, &mut rgb.as_mut_video_frame_ref());
        let pixels = rgb.into_buffer().try_into_inner::<Vec<u8>>().map_err(|_| "cannot be taken out")?;
        RgbImage::from_raw(width, height, pixels).ok_or("is smaller than its format says")
    }

    fn converter_for(&mut self, info: &gst_video::VideoInfo) -> Result<&gst_video::VideoConverter, &'static str> {
        if self.made_for.as_ref().is_none_or(|(made_for, _)| made_for != info) {
            // Rows without padding, as `RgbImage` has them.
            let stride = [i32::try_from(info.width()).unwrap_or(i32::MAX) * 3];
            let rgb = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, info.width(), info.height())
                .stride(&stride)
                .offset(&[0])
                .size(info.width() as usize * 3 * info.height() as usize)
                .fps(info.fps())
                .interlace_mode(info.interlace_mode())
                .build()
                .map_err(|_| "has no sensible size")?;
            let converter = gst_video::VideoConverter::new(info, &rgb, None);
            self.made_for = Some((info.clone(), converter.map_err(|_| "has a format that cannot become RGB")?));
        }
        self.made_for.as_ref().map(|(_, converter)| converter).ok_or("has no known format")
    }
}

/// What most decoders give: 4:2:0 in three planes, or in two as hardware likes it.
fn planes(frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Option<YuvImage> {
    let info = frame.info();
    let (width, height) = (info.width(), info.height());
    let (chroma_width, chroma_height) = (width.div_ceil(2) as usize, height.div_ceil(2) as usize);
    let luma = packed(frame, 0, width as usize, height as usize)?;
    let [u, v] = match info.format() {
        gst_video::VideoFormat::I420 => {
            [1, 2].map(|plane| packed(frame, plane, chroma_width, chroma_height)).map(Option::unwrap_or_default)
        }
        gst_video::VideoFormat::Nv12 => {
            let pairs = packed(frame, 1, 2 * chroma_width, chroma_height)?;
            [0, 1].map(|k| pairs.iter().skip(k).step_by(2).copied().collect())
        }
        _ => return None,
    };
    YuvImage::new((width, height), [luma, u, v], matrix(info))
}

/// The rows of a plane without their padding.
fn packed(
    frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
    plane: u32,
    row_bytes: usize,
    rows: usize,
) -> Option<Vec<u8>> {
    let stride = usize::try_from(*frame.plane_stride().get(plane as usize)?).ok().filter(|stride| *stride > 0)?;
    let data = frame.plane_data(plane).ok()?;
    let mut bytes = Vec::with_capacity(row_bytes * rows);
    for row in data.chunks(stride).take(rows) {
        bytes.extend_from_slice(row.get(..row_bytes)?);
    }
    Some(bytes)
}

/// A stream that does not say follows what its size is usual with, as GStreamer sets it.
fn matrix(info: &gst_video::VideoInfo) -> YuvMatrix {
    let colours = info.colorimetry();
    let full_range = colours.range() == gst_video::VideoColorRange::Range0_255;
    match colours.matrix() {
        gst_video::VideoColorMatrix::Bt709 => YuvMatrix::bt709(full_range),
        _ => YuvMatrix::bt601(full_range),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pipeline;
    use super::*;
    use std::time::Duration;

    /// The first picture of a pipeline, with rows whose length is no multiple of four.
    fn first(format: &str, convert: &str) -> gst::Sample {
        let head = format!(
            "videotestsrc num-buffers=1 ! video/x-raw,format={format},width=322,height=240 ! {convert} identity"
        );
        let pipeline = Pipeline::build(&head, "").unwrap();
        assert!(pipeline.play().is_ok());
        pipeline.pull(Duration::from_secs(10)).unwrap()
    }

    /// How far each byte of our picture is from that of GStreamer's own converter.
    fn differences(format: &str) -> Vec<u8> {
        let picture = Developer::default().image(&first(format, "")).unwrap();
        let sample = first(format, "videoconvert ! video/x-raw,format=RGB !");
        let data = sample.buffer().unwrap().map_readable().unwrap();
        assert_eq!(data.len(), 968 * 240, "GStreamer pads each row of 966 bytes");
        let rows = picture.unredacted().as_raw().chunks(966).zip(data.chunks(968));
        rows.flat_map(|(row, padded)| row.iter().zip(padded).map(|(a, b)| a.abs_diff(*b)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn pixels_are_those_of_gstreamers_own_converter() {
        assert!(differences("Y42B").iter().all(|difference| *difference == 0));
    }

    #[test]
    fn planes_show_the_same_colours() {
        for format in ["I420", "NV12"] {
            let differences = differences(format);
            let sum: u64 = differences.iter().map(|difference| u64::from(*difference)).sum();
            // Where colours meet, chroma is spread in another way; everywhere else they agree.
            let agree = differences.iter().filter(|difference| **difference <= 3).count();
            assert!(agree as f64 / differences.len() as f64 > 0.85, "{format}: {agree} of {}", differences.len());
            assert!(sum as f64 / (differences.len() as f64) < 4.0, "{format}: {sum}");
        }
    }
}
