//! One connection to a live camera, by RTSP or V4L2; [`Reconnecting`](crate::edge::source::reconnect) makes the next one.
//!
//! A picture's age is the pipeline's clock now, less the time that the buffer carries. An RTSP buffer carries the arrival of
//! its packets, smoothed by the jitter buffer against the sender's own pace; a V4L2 buffer the driver's time of the
//! exposure. So neither the jitter buffer nor decoding nor queueing shifts a picture's time. What remains for RTSP is the
//! camera's exposure and encoding and the way through the network, 50–200 ms on common cameras, the same for each picture:
//! `delay_millis` takes it off. The sender's own clock (RTCP) is not used, since cameras' clocks are often wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::picture::Developer;
use super::{Complaint, Pipeline};
use crate::edge::source::reconnect::{Polled, Session};
use crate::edge::source::rtsp::{Certificate, RtspConfig, Transport};
use crate::edge::source::settings::{CameraPolicy, Decoder, FramePolicy};
use crate::edge::source::v4l2::{self, V4l2Config};

/// Of a decoder in software. Two keep up with 1080p on small boards and leave the rest to the model.
const DECODER_THREADS: &str = "2";
/// Pictures that wait while each is to be judged; with "latest" it is one.
const WAITING_PICTURES: u64 = 8;
/// For an answer on a TCP connection, and for the first UDP packet before TCP is taken; in microseconds.
const TCP_TIMEOUT_MICROS: u64 = 5_000_000;
const UDP_TIMEOUT_MICROS: u64 = 2_000_000;

pub struct LivePipeline {
    pipeline: Pipeline,
    developer: Developer,
    decoder: Arc<Mutex<Option<String>>>,
    /// Pictures that came out of the decoder, and how many of them were fetched.
    decoded: Arc<AtomicU64>,
    fetched: u64,
    room: u64,
    explain: Explain,
}

/// Makes GStreamer's complaint a text that says what to do.
type Explain = Box<dyn Fn(&Complaint) -> String + Send>;

impl LivePipeline {
    /// `section` is where the settings stand, e.g. `camera.front`. Blocks while the camera's name is looked up and its port
    /// is tried.
    pub fn rtsp(section: &str, config: &RtspConfig, policy: &CameraPolicy) -> Result<Self, String> {
        config.url.reach()?;
        let password = config.login.as_ref().map(|login| login.password()).transpose()?;
        let head = "rtspsrc name=input ! application/x-rtp,media=video ! decodebin name=decode";
        let explain = rtsp_explain(section.to_owned(), config.clone(), password.clone());
        let live = Self::build(head, policy, explain)?;
        let input = live.pipeline.element("input")?;
        let transport = match config.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Auto => "udp+tcp",
        };
        let properties = [
            ("location", config.url.location().to_owned()),
            ("protocols", transport.to_owned()),
            ("latency", config.jitter.as_millis().to_string()),
            ("tcp-timeout", TCP_TIMEOUT_MICROS.to_string()),
            ("timeout", UDP_TIMEOUT_MICROS.to_string()),
        ];
        for (name, value) in properties {
            input.set_property_from_str(name, &value);
        }
        if let (Some(login), Some(password)) = (&config.login, password) {
            input.set_property("user-id", &login.user_name);
            input.set_property("user-pw", password);
        }
        if config.certificate == Certificate::Any {
            input.set_property_from_str("tls-validation-flags", "no-flags");
        }
        take_first_video(&input);
        live.start()
    }

    pub fn v4l2(config: &V4l2Config, policy: &CameraPolicy) -> Result<Self, String> {
        v4l2::usable(&config.device)?;
        let device = config.device.to_str().ok_or("the device's name is not UTF-8")?;
        let head = "v4l2src name=input ! capsfilter name=format ! decodebin name=decode";
        let live = Self::build(head, policy, v4l2_explain(device.to_owned()))?;
        live.pipeline.element("input")?.set_property_from_str("device", device);
        live.pipeline.element("format")?.set_property_from_str("caps", &config.caps());
        live.start()
    }

    fn build(head: &str, policy: &CameraPolicy, explain: Explain) -> Result<Self, String> {
        let room = if policy.frames == FramePolicy::Latest { 1 } else { WAITING_PICTURES };
        let pipeline = Pipeline::build(head, &format!("drop=true max-buffers={room}"))?;
        let software = policy.decoder == Decoder::Software;
        pipeline.element("decode")?.set_property("force-sw-decoders", software);
        let decoder = Arc::new(Mutex::new(None));
        let chosen = Arc::clone(&decoder);
        pipeline.whole.connect_deep_element_added(move |_, _, element| {
            let Some(factory) = element.factory().filter(is_video_decoder) else { return };
            *chosen.lock().expect("no holder of this lock can panic") = Some(factory.name().to_string());
            if element.find_property("max-threads").is_some() {
                element.set_property_from_str("max-threads", DECODER_THREADS);
            }
        });
        let decoded = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&decoded);
        let pad = pipeline.pictures.static_pad("sink").ok_or("GStreamer's pipeline has no output")?;
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        Ok(Self { pipeline, developer: Developer::default(), decoder, decoded, fetched: 0, room, explain })
    }

    fn start(self) -> Result<Self, String> {
        match self.pipeline.play() {
            Ok(()) => Ok(self),
            Err(Some(complaint)) => Err((self.explain)(&complaint)),
            Err(None) => Err("GStreamer cannot start the pipeline".into()),
        }
    }

    fn age_of(&self, sample: &gst::Sample) -> Duration {
        let taken = || {
            let pts = sample.buffer()?.pts()?;
            sample.segment()?.downcast_ref::<gst::ClockTime>()?.to_running_time(pts)
        };
        let age = taken().zip(self.pipeline.whole.current_running_time()).map(|(taken, now)| now.saturating_sub(taken));
        Duration::from_nanos(age.unwrap_or(gst::ClockTime::ZERO).nseconds())
    }
}

impl Session for LivePipeline {
    fn poll(&mut self, wait: Duration, wanted: &mut dyn FnMut(Duration) -> bool) -> Result<Polled, String> {
        let sample = self.pipeline.pull(wait);
        if let Some(complaint) = self.pipeline.complaint() {
            return Err((self.explain)(&complaint));
        }
        let Some(sample) = sample else {
            return if self.pipeline.pictures.is_eos() {
                Err("the camera ended its stream".into())
            } else {
                Ok(Polled::Nothing)
            };
        };
        self.fetched += 1;
        if sample.buffer().is_none_or(|buffer| buffer.flags().contains(gst::BufferFlags::CORRUPTED)) {
            return Ok(Polled::Broken);
        }
        let age = self.age_of(&sample);
        if !wanted(age) {
            return Ok(Polled::Unwanted);
        }
        Ok(match self.developer.image(&sample) {
            Ok(image) => Polled::Picture { image, age },
            Err(_) => Polled::Broken,
        })
    }

    fn decoder(&self) -> Option<String> {
        self.decoder.lock().expect("no holder of this lock can panic").clone()
    }

    fn replaced_frames(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed).saturating_sub(self.fetched + self.room)
    }
}

/// Sound and metadata are not even asked for; of several videos the first is taken, again after a change of transport.
fn take_first_video(input: &gst::Element) {
    let first = OnceLock::new();
    input.connect("select-stream", false, move |values| {
        let number = values.get(1).and_then(|v| v.get::<u32>().ok());
        let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        let is_video = caps.and_then(|c| c.structure(0)?.get::<String>("media").ok()).is_some_and(|m| m == "video");
        Some((is_video && number.is_some_and(|n| *first.get_or_init(|| n) == n)).to_value())
    });
}

fn is_video_decoder(factory: &gst::ElementFactory) -> bool {
    let class = factory.metadata("klass").unwrap_or_default();
    class.contains("Decoder") && (class.contains("Video") || class.contains("Image")) && !class.contains("Bin")
}

fn rtsp_explain(section: String, config: RtspConfig, password: Option<String>) -> Explain {
    Box::new(move |complaint| {
        let url = &config.url;
        let is = |error: gst::ResourceError| complaint.error.matches(error);
        let reason = if is(gst::ResourceError::NotAuthorized) && config.login.is_some() {
            format!("401: user name or password is refused; check {section}.user_name and password_file")
        } else if is(gst::ResourceError::NotAuthorized) {
            format!("401: the camera wants a user name and a password; set {section}.user_name and password_file")
        } else if is(gst::ResourceError::NotFound) {
            format!("404: the camera has no such stream; check the path in {section}.url")
        } else if is(gst::ResourceError::OpenReadWrite) && url.is_tls() {
            format!(
                "no encrypted connection comes about ({}); is this the camera's port for rtsps? For a certificate that no \
                 authority has signed set {section}.certificate = \"any\"; the package glib-networking must be installed",
                complaint.text
            )
        } else {
            complaint.explained()
        };
        // GStreamer does not write them today; who reads the log must not depend on that.
        let reason = password.iter().fold(reason, |reason, password| reason.replace(password.as_str(), "***"));
        format!("{url}: {}", reason.replace(url.location(), &url.to_string()))
    })
}

fn v4l2_explain(device: String) -> Explain {
    Box::new(move |complaint| {
        let reason = if complaint.error.matches(gst::ResourceError::Busy) {
            format!("another program uses it; `fuser {device}` shows which")
        } else if complaint.error.matches(gst::StreamError::Format) || complaint.text.contains("not-negotiated") {
            format!("it has no such size, rate or format; `v4l2-ctl -d {device} --list-formats-ext` shows what it has")
        } else {
            complaint.explained()
        };
        format!("{device}: {reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstreamer::glib;

    use crate::edge::source::rtsp::{Login, RtspUrl};

    #[test]
    fn no_text_holds_the_password_or_the_path() {
        let config = RtspConfig {
            url: RtspUrl::parse("rtsp://cam.local/live?token=gold5").unwrap(),
            login: Some(Login { user_name: "bauhof".into(), password_file: "/etc/umsicht/front.password".into() }),
            transport: Transport::Tcp,
            jitter: Duration::from_millis(100),
            certificate: Certificate::Verified,
        };
        let explain = rtsp_explain("camera.front".into(), config, Some("silber6".into()));
        let said = |error: gst::ResourceError| {
            let text = "cannot use rtsp://cam.local/live?token=gold5 with silber6".to_owned();
            explain(&Complaint { error: glib::Error::new(error, "x"), text })
        };
        let refused = said(gst::ResourceError::NotAuthorized);
        assert_eq!(
            refused,
            "cam.local:554: 401: user name or password is refused; check camera.front.user_name and password_file"
        );
        let other = said(gst::ResourceError::Read);
        assert_eq!(other, "cam.local:554: GStreamer says: cannot use cam.local:554 with ***");
    }
}
