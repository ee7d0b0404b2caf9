//! RGB pictures out of GStreamer's samples: one pass from the decoder's buffer straight into the picture's own memory.

use gstreamer as gst;
use gstreamer_video as gst_video;
use image::RgbImage;

/// A larger picture is no camera's.
const MAX_SIDE_PX: u32 = 8192;

/// Keeps what the conversion of one format needs; a stream may change its format at any picture.
#[derive(Default)]
pub(super) struct Developer {
    made_for: Option<(gst_video::VideoInfo, gst_video::VideoConverter)>,
}

impl Developer {
    /// The error completes "a picture …".
    pub fn rgb(&mut self, sample: &gst::Sample) -> Result<RgbImage, &'static str> {
        let buffer = sample.buffer().ok_or("has no pixels")?;
        let caps = sample.caps().ok_or("has no format")?;
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| "has no known format")?;
        let (width, height) = (info.width(), info.height());
        if width == 0 || height == 0 || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err("has no sensible size");
        }
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
        let frame = frame.map_err(|_| "is smaller than its format says")?;
        let converter = self.converter_for(&info)?;
        let row_bytes = width as usize * 3;
        let pixels = gst::Buffer::from_mut_slice(vec![0_u8; row_bytes * height as usize]);
        let rgb = gst_video::VideoFrame::from_buffer_writable(pixels, converter.out_info());
        let mut rgb = rgb.map_err(|_| "cannot be written")?;
        converter.frame_ref(&frame, &mut rgb.as_mut_video_frame_ref());
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

#[cfg(test)]
mod tests {
    use super::super::Pipeline;
    use super::*;
    use std::time::Duration;

    /// The first picture of a pipeline, with rows whose length is no multiple of four.
    fn first(convert: &str) -> gst::Sample {
        let head =
            format!("videotestsrc num-buffers=1 ! video/x-raw,format=I420,width=322,height=240 ! {convert} identity");
        let pipeline = Pipeline::build(&head, "").unwrap();
        assert!(pipeline.play().is_ok());
        pipeline.pull(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn pixels_are_those_of_gstreamers_own_converter() {
        let picture = Developer::default().rgb(&first("")).unwrap();
        let sample = first("videoconvert ! video/x-raw,format=RGB !");
        let data = sample.buffer().unwrap().map_readable().unwrap();
        assert_eq!(data.len(), 968 * 240, "GStreamer pads each row of 966 bytes");
        for (row, padded) in picture.as_raw().chunks(966).zip(data.chunks(968)) {
            assert_eq!(row, &padded[..966]);
        }
    }
}
