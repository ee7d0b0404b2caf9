//! Decoding and scaling and nothing else: the least that a video costs, which `umsicht edge bench` compares with.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::{initialise, stop};
use crate::edge::source::SourceError;

/// Gives pictures of one size and throws them away.
pub struct BareDecoder {
    pipeline: gst::Pipeline,
    pictures: AppSink,
    input: String,
}

impl BareDecoder {
    pub fn open(path: &Path, (width_px, height_px): (u32, u32)) -> Result<Self, SourceError> {
        let input = path.display().to_string();
        let unusable = |reason: String| SourceError::Unusable { input: input.clone(), reason };
        initialise().map_err(unusable)?;
        let description = format!(
            "filesrc name=input ! decodebin ! videoconvertscale add-borders=true ! \
             video/x-raw,format=RGB,width={width_px},height={height_px},pixel-aspect-ratio=1/1 ! \
             appsink name=pictures sync=false max-buffers=2 enable-last-sample=false"
        );
        let element = gst::parse::launch(&description).map_err(|e| unusable(e.to_string()))?;
        let pipeline = element.downcast::<gst::Pipeline>().map_err(|_| unusable("is no pipeline".into()))?;
        let file = pipeline.by_name("input").ok_or_else(|| unusable("the pipeline has no input".into()))?;
        file.set_property("location", path);
        let pictures = pipeline.by_name("pictures").and_then(|e| e.downcast::<AppSink>().ok());
        let pictures = pictures.ok_or_else(|| unusable("the pipeline has no output".into()))?;
        pipeline.set_state(gst::State::Playing).map_err(|e| unusable(e.to_string()))?;
        Ok(Self { pipeline, pictures, input })
    }

    /// Whether there was another picture.
    pub fn pull(&mut self) -> Result<bool, SourceError> {
        let patience = gst::ClockTime::from_seconds(10);
        match self.pictures.try_pull_sample(patience) {
            Some(_) => Ok(true),
            None if self.pictures.is_eos() => Ok(false),
            None => {
                Err(SourceError::Interrupted { input: self.input.clone(), reason: "gave no picture for 10 s".into() })
            }
        }
    }
}

impl Drop for BareDecoder {
    fn drop(&mut self) {
        stop(&self.pipeline);
    }
}
