//! Video files.
//!
//! A picture's time is the one the container gives it (variable frame rates are honoured). Nothing waits for ever: a file
//! that gives no picture within [`FIRST_PICTURE_TIMEOUT`] is an error.

use std::path::Path;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use time::OffsetDateTime;

use super::picture::Developer;
use super::{Complaint, Pipeline};
use crate::edge::source::{CapturedImage, FrameSource, SourceError};

/// Opening a decoder on a slow device takes seconds, not more.
const FIRST_PICTURE_TIMEOUT: Duration = Duration::from_secs(10);
const NEXT_PICTURE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one wait for a picture lasts before the bus is looked at.
const POLL: Duration = Duration::from_millis(100);

pub struct VideoFile {
    /// For messages.
    input: String,
    pipeline: Pipeline,
    developer: Developer,
    starts_at: OffsetDateTime,
    delivered: u64,
}

impl VideoFile {
    /// A video file whose first picture was taken at `starts_at`.
    pub fn open(path: &Path, starts_at: OffsetDateTime) -> Result<Self, SourceError> {
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
        // Two pictures wait at most: memory stays bounded and decoding runs a little ahead.
        let pipeline = Pipeline::build("filesrc name=input ! decodebin", "max-buffers=2").map_err(unusable)?;
        pipeline.element("input").map_err(unusable)?.set_property_from_str("location", location);
        let started = pipeline.play();
        let source = Self { input: input.clone(), pipeline, developer: Developer::default(), starts_at, delivered: 0 };
        started.map_err(|complaint| {
            let reason = complaint.as_ref().map(Complaint::explained);
            source.failed(reason.unwrap_or_else(|| "GStreamer cannot start the pipeline".into()))
        })?;
        Ok(source)
    }

    fn failed(&self, reason: String) -> SourceError {
        let input = self.input.clone();
        if self.delivered == 0 {
            SourceError::Unusable { input, reason }
        } else {
            SourceError::Interrupted { input, reason: format!("after {} pictures: {reason}", self.delivered) }
        }
    }

    fn picture_from(&mut self, sample: &gst::Sample) -> Result<CapturedImage, SourceError> {
        let image = self.developer.image(sample).map_err(|what| self.failed(format!("a picture {what}")))?;
        let pts = sample.buffer().and_then(|buffer| buffer.pts());
        let pts = pts.ok_or_else(|| self.failed("a picture has no time".into()))?;
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let stream_time = segment.and_then(|s| s.to_stream_time(pts)).unwrap_or(pts);
        let stream_time = Duration::from_nanos(stream_time.nseconds());
        Ok(CapturedImage { captured_at: self.starts_at + stream_time, stream_time, image })
    }
}

impl FrameSource for VideoFile {
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError> {
        let timeout = if self.delivered == 0 { FIRST_PICTURE_TIMEOUT } else { NEXT_PICTURE_TIMEOUT };
        let started = Instant::now();
        loop {
            if let Some(sample) = self.pipeline.pull(POLL) {
                let picture = self.picture_from(&sample)?;
                self.delivered += 1;
                return Ok(Some(picture));
            }
            if let Some(complaint) = self.pipeline.complaint() {
                return Err(self.failed(complaint.explained()));
            }
            if self.pipeline.pictures.is_eos() {
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
