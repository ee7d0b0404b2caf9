//! Pictures out of GStreamer pipelines: video files and live cameras.
//!
//! A pipeline ends in an `appsink` that gets what the decoder made; a picture becomes RGB when it is fetched, so that one
//! that is dropped costs no conversion. A pipeline is set to NULL on every way out.

pub mod bare;
pub mod file;
pub mod live;
mod picture;

use std::sync::OnceLock;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

/// A pipeline that is stopped when it is dropped; GStreamer leaks threads and memory otherwise.
struct Pipeline {
    whole: gst::Pipeline,
    pictures: AppSink,
}

/// What a pipeline says when it breaks.
struct Complaint {
    error: glib::Error,
    /// For people, without advice.
    text: String,
}

impl Pipeline {
    /// `head` ends in decoded video; `sink` are the properties of the appsink.
    fn build(head: &str, sink: &str) -> Result<Self, String> {
        initialise()?;
        let tail = format!("appsink name=pictures sync=false enable-last-sample=false caps=video/x-raw {sink}");
        let element = gst::parse::launch(&format!("{head} ! {tail}")).map_err(|e| {
            let hint = "install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good";
            format!("GStreamer cannot build the pipeline ({e}); {hint}")
        })?;
        let missing = |what: &str| format!("GStreamer's pipeline has no {what}");
        let whole = element.downcast::<gst::Pipeline>().map_err(|_| missing("frame around it"))?;
        let pictures = whole.by_name("pictures").and_then(|e| e.downcast::<AppSink>().ok());
        let pictures = pictures.ok_or_else(|| missing("output"))?;
        Ok(Self { whole, pictures })
    }

    fn element(&self, name: &str) -> Result<gst::Element, String> {
        self.whole.by_name(name).ok_or_else(|| format!("GStreamer's pipeline has no {name}"))
    }

    /// The error is empty when GStreamer gives no reason on the bus.
    fn play(&self) -> Result<(), Option<Complaint>> {
        self.whole.set_state(gst::State::Playing).map(|_| ()).map_err(|_| self.complaint())
    }

    fn pull(&self, wait: Duration) -> Option<gst::Sample> {
        self.pictures.try_pull_sample(gst::ClockTime::from_nseconds(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The first error on the bus. Whatever else lies there is thrown away, so that it does not pile up.
    fn complaint(&self) -> Option<Complaint> {
        let message = self.whole.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => {
                let details = error.debug().map(|d| d.to_string()).unwrap_or_default();
                // The last line of the details says what happened; the first names a line of GStreamer's source.
                let detail = details.lines().last().filter(|l| !l.contains("gst_")).unwrap_or_default().trim();
                let text = error.error().to_string();
                let text = if detail.is_empty() { text } else { format!("{text} ({detail})") };
                Some(Complaint { error: error.error(), text })
            }
            _ => None,
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        stop(&self.whole);
    }
}

/// The element `input` first: while its threads run, decodebin may still be adding elements, and one that is added to a pipeline
/// that has just stopped goes on playing, for which GStreamer ends the program.
fn stop(pipeline: &gst::Pipeline) {
    // Nothing can be done about a pipeline that refuses to stop.
    if let Some(input) = pipeline.by_name("input") {
        input.set_locked_state(true);
        let _ = input.set_state(gst::State::Null);
    }
    let _ = pipeline.set_state(gst::State::Null);
}

impl Complaint {
    /// With advice when a plugin is missing, which any pipeline can say.
    fn explained(&self) -> String {
        let hint = if self.error.matches(gst::CoreError::MissingPlugin) {
            "; install gstreamer1.0-libav and gstreamer1.0-plugins-bad"
        } else {
            ""
        };
        format!("GStreamer says: {}{hint}", self.text)
    }
}

fn initialise() -> Result<(), String> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    RESULT.get_or_init(|| gst::init().map_err(|e| format!("GStreamer does not start: {e}"))).clone()
}
