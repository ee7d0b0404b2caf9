//! Pictures out of a GStreamer pipeline: video files now, cameras by another description of the pipeline's head.
//!
//! A picture's time is the one the container gives it (variable frame rates are honoured). The pipeline is set to NULL on
//! every way out. Nothing waits for ever: a file that gives no picture within [`FIRST_PICTURE_TIMEOUT`] is an error.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use image::RgbImage;
use time::OffsetDateTime;

use crate::edge::frame::CameraImage;
use crate::edge::source::{CapturedImage, FrameSource, SourceError};

/// Opening a decoder on a slow device takes seconds, not more.
const FIRST_PICTURE_TIMEOUT: Duration = Duration::from_secs(10);
const NEXT_PICTURE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one wait for a picture lasts before the bus is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Two pictures wait at most: memory stays bounded and decoding runs a little ahead.
const TAIL: &str = "videoconvert ! video/x-raw,format=RGB ! \
    appsink name=pictures sync=false max-buffers=2 enable-last-sample=false";

pub struct GstreamerSource {
    /// For messages.
    input: String,
    pipeline: RunningPipeline,
    pictures: AppSink,
    starts_at: OffsetDateTime,
    delivered: u64,
}

impl GstreamerSource {
    /// A video file whose first picture was taken at `starts_at`.
    pub fn open_file(path: &Path, starts_at: OffsetDateTime) -> Result<Self, SourceError> {
        let input = path.display().to_string();
        let unusable = |reason: String| SourceError::Unusable { input: input.clone(), reason };
        let about = std::fs::metadata(path).map_err(|e| unusable(format!("cannot be read: {e}")))?;
        if !about.is_file() {
            return Err(unusable("is not a file; give a video file".into()));
        }
        if about.len() == 0 {
            return Err(unusable("is empty".into()));
        }
        let location = path.to_str().ok_or_else(|| unusable("its name is not UTF-8; rename it".into()))?;
        Self::start(&input, "filesrc name=input ! decodebin", &[("location", location)], starts_at)
    }

    /// `head` must hold an element named `input`, which gets the properties; it ends in decoded video.
    fn start(
        input: &str,
        head: &str,
        properties: &[(&str, &str)],
        starts_at: OffsetDateTime,
    ) -> Result<Self, SourceError> {
        let unusable = |reason: String| SourceError::Unusable { input: input.to_owned(), reason };
        initialise().map_err(unusable)?;
        let element = gst::parse::launch(&format!("{head} ! {TAIL}")).map_err(|e| {
            let hint = "install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good";
            unusable(format!("GStreamer cannot build the pipeline ({e}); {hint}"))
        })?;
        let missing = |what: &str| unusable(format!("GStreamer's pipeline has no {what}"));
        let pipeline = element.downcast::<gst::Pipeline>().map_err(|_| missing("frame around it"))?;
        let pipeline = RunningPipeline(pipeline);
        let first = pipeline.0.by_name("input").ok_or_else(|| missing("input"))?;
        for (name, value) in properties {
            first.set_property_from_str(name, value);
        }
        let pictures = pipeline.0.by_name("pictures").and_then(|e| e.downcast::<AppSink>().ok());
        let pictures = pictures.ok_or_else(|| missing("output"))?;
        let source = Self { input: input.to_owned(), pipeline, pictures, starts_at, delivered: 0 };
        if source.pipeline.0.set_state(gst::State::Playing).is_err() {
            let reason = source.error_on_bus().unwrap_or_else(|| "GStreamer cannot start the pipeline".into());
            return Err(source.failed(reason));
        }
        Ok(source)
    }

    fn error_on_bus(&self) -> Option<String> {
        let bus = self.pipeline.0.bus()?;
        let message = bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => {
                let details = error.debug().map(|d| d.to_string()).unwrap_or_default();
                // The last line of the details says what happened; the first names a line of GStreamer's source.
                let detail = details.lines().last().filter(|l| !l.contains("gst_")).unwrap_or_default().trim();
                let text = error.error().to_string();
                let reason = if detail.is_empty() { text } else { format!("{text} ({detail})") };
                let hint = if error.error().matches(gst::CoreError::MissingPlugin) {
                    "; install gstreamer1.0-libav and gstreamer1.0-plugins-bad"
                } else {
                    ""
                };
                Some(format!("GStreamer says: {reason}{hint}"))
            }
            _ => None,
        }
    }

    fn failed(&self, reason: String) -> SourceError {
        let input = self.input.clone();
        if self.delivered == 0 {
            SourceError::Unusable { input, reason }
        } else {
            SourceError::Interrupted { input, reason: format!("after {} pictures: {reason}", self.delivered) }
        }
    }

    fn picture_from(&self, sample: &gst::Sample) -> Result<CapturedImage, SourceError> {
        let failed = |what: &str| self.failed(format!("a picture {what}"));
        let buffer = sample.buffer().ok_or_else(|| failed("has no pixels"))?;
        let caps = sample.caps().ok_or_else(|| failed("has no format"))?;
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| failed("has no known format"))?;
        let pts = buffer.pts().ok_or_else(|| failed("has no time"))?;
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let stream_time = segment.and_then(|s| s.to_stream_time(pts)).unwrap_or(pts);
        let stream_time = Duration::from_nanos(stream_time.nseconds());
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
        let frame = frame.map_err(|_| failed("cannot be read"))?;
        let image = rgb_image(&frame).ok_or_else(|| failed("is smaller than its format says"))?;
        Ok(CapturedImage { captured_at: self.starts_at + stream_time, stream_time, image: CameraImage::new(image) })
    }
}

impl FrameSource for GstreamerSource {
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        let timeout = if self.delivered == 0 { FIRST_PICTURE_TIMEOUT } else { NEXT_PICTURE_TIMEOUT };
        let started = Instant::now();
        loop {
            let wait = gst::ClockTime::from_nseconds(u64::try_from(POLL.as_nanos()).unwrap_or(u64::MAX));
            if let Some(sample) = self.pictures.try_pull_sample(wait) {
                let picture = self.picture_from(&sample)?;
                self.delivered += 1;
                return Ok(Some(picture));
            }
            if let Some(reason) = self.error_on_bus() {
                return Err(self.failed(reason));
            }
            if self.pictures.is_eos() {
                return if self.delivered == 0 { Err(self.failed("holds no picture".into())) } else { Ok(None) };
            }
            if started.elapsed() > timeout {
                let reason =
                    format!("gave no picture for {} s; is it a video with H.264 or a like codec?", timeout.as_secs());
                return Err(self.failed(reason));
            }
        }
    }
}

/// A pipeline that is stopped when it is dropped; GStreamer leaks threads and memory otherwise.
struct RunningPipeline(gst::Pipeline);

impl Drop for RunningPipeline {
    fn drop(&mut self) {
        // Nothing can be done about a pipeline that refuses to stop.
        let _ = self.0.set_state(gst::State::Null);
    }
}

pub(super) fn initialise() -> Result<(), String> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    RESULT.get_or_init(|| gst::init().map_err(|e| format!("GStreamer does not start: {e}"))).clone()
}

/// Copies the rows without their padding.
fn rgb_image(frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Option<RgbImage> {
    let (width, height) = (frame.width(), frame.height());
    let row_bytes = usize::try_from(width).ok()? * 3;
    let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
    let data = frame.plane_data(0).ok()?;
    let mut pixels = Vec::with_capacity(row_bytes * usize::try_from(height).ok()?);
    for row in data.chunks(stride).take(usize::try_from(height).ok()?) {
        pixels.extend_from_slice(row.get(..row_bytes)?);
    }
    RgbImage::from_raw(width, height, pixels)
}
