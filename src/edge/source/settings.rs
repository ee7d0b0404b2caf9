//! One camera's settings: where its pictures come from, and which of them are judged.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::Table;
use crate::edge::source::SourceConfig;
use crate::edge::source::images::Timing;
use crate::edge::source::rtsp::{Certificate, Login, RtspConfig, RtspUrl, Transport};
use crate::edge::source::v4l2::{Pixels, V4l2Config};

const DEFAULT_JITTER_MILLIS: u32 = 100;
const DEFAULT_MAX_LATENCY_MILLIS: u32 = 1000;
const DEFAULT_STALL_MILLIS: u32 = 4000;
/// What decoding takes at most, beside the jitter buffer.
const DECODING_MILLIS: u32 = 100;

/// Keys that belong to some of the kinds.
const TEXTS: [&str; 12] = [
    "url",
    "user_name",
    "password_file",
    "transport",
    "certificate",
    "device",
    "format",
    "decoder",
    "path",
    "folder",
    "times",
    "starts_at",
];
const NUMBERS: [&str; 8] = [
    "latency_millis",
    "max_latency_millis",
    "stall_millis",
    "delay_millis",
    "interval_millis",
    "frames_per_second",
    "width_px",
    "height_px",
];

/// What a `[camera.NAME]` section says about the source.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraSettings {
    pub source: SourceConfig,
    /// When a recording's first picture was taken; `None` takes the first fix.
    pub starts_at: Option<OffsetDateTime>,
    pub policy: CameraPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraPolicy {
    pub frames: FramePolicy,
    /// More are dropped before they cost a conversion; `None` takes all.
    pub max_frames_per_second: Option<f64>,
    /// An older picture is dropped and counted: it comes from a backlog.
    pub max_latency: Duration,
    /// So long without a usable picture, and the connection is made anew.
    pub stall: Duration,
    /// From the shutter to the arrival here, as measured: it is taken off the capture time.
    pub delay: Duration,
    pub decoder: Decoder,
}

/// What happens to frames that come faster than they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePolicy {
    /// Each is judged; the source waits. For recordings, as fast as possible.
    Every,
    /// The newest is judged, older ones are dropped and counted. Recordings play in real time.
    Latest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// In hardware where GStreamer offers it.
    Auto,
    Software,
}

impl Default for CameraPolicy {
    fn default() -> Self {
        Self {
            frames: FramePolicy::Latest,
            max_frames_per_second: None,
            max_latency: Duration::from_millis(DEFAULT_MAX_LATENCY_MILLIS.into()),
            stall: Duration::from_millis(DEFAULT_STALL_MILLIS.into()),
            delay: Duration::ZERO,
            decoder: Decoder::Auto,
        }
    }
}

impl CameraSettings {
    /// The section may hold more, such as the mounting: the caller asks for that.
    pub fn from_table(table: &Table) -> Option<Self> {
        let kinds = [("rtsp", Kind::Rtsp), ("v4l2", Kind::V4l2), ("file", Kind::File), ("images", Kind::Images)];
        let kind = table.choice("kind", &kinds).required("kind = \"rtsp\"");
        let frames = table.choice("frames", &[("every", FramePolicy::Every), ("latest", FramePolicy::Latest)]);
        let frames = frames.or(FramePolicy::Latest);
        let rate = table.number("max_frames_per_second", 0.1..=120.0).optional();
        let policy = CameraPolicy::default();
        let (source, live, starts_at) = match kind {
            Some(Kind::Rtsp) => (rtsp(table), live(table, policy), Some(None)),
            Some(Kind::V4l2) => (v4l2(table), live(table, policy), Some(None)),
            Some(Kind::File) => (file(table), Some(policy), starts_at(table)),
            Some(Kind::Images) => (images(table), Some(policy), starts_at(table)),
            None => {
                // Which keys belong here depends on the kind; none of them is the mistake.
                let _ = (TEXTS.map(|key| table.text(key)), NUMBERS.map(|key| table.integer(key, 0..=u32::MAX)));
                return None;
            }
        };
        let policy = CameraPolicy { frames: frames?, max_frames_per_second: rate?, ..live? };
        let source = source?;
        let jitter = if let SourceConfig::Rtsp(rtsp) = &source { rtsp.jitter } else { Duration::ZERO };
        let least = jitter + Duration::from_millis(DECODING_MILLIS.into());
        if policy.max_latency < least {
            let least = least.as_millis();
            table.wrong("max_latency_millis", &format!("is not above latency_millis; write at least {least}"));
            return None;
        }
        Some(Self { source, starts_at: starts_at?, policy })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Rtsp,
    V4l2,
    File,
    Images,
}

fn rtsp(table: &Table) -> Option<SourceConfig> {
    let example = "\"rtsp://192.168.1.64/stream1\"";
    let url = table.parsed("url", example, RtspUrl::parse).required(&format!("url = {example}"));
    let user_name = table.text("user_name").optional();
    let password_file = table.path("password_file").optional();
    let transports = [("tcp", Transport::Tcp), ("udp", Transport::Udp), ("auto", Transport::Auto)];
    let transport = table.choice("transport", &transports).or(Transport::Tcp);
    let jitter = table.integer("latency_millis", 0..=5000_u32).or(DEFAULT_JITTER_MILLIS);
    let certificates = [("verified", Certificate::Verified), ("any", Certificate::Any)];
    let certificate = table.choice("certificate", &certificates).or(Certificate::Verified);
    let login = match (user_name?, password_file?) {
        (Some(user_name), Some(password_file)) => Some(Login { user_name, password_file }),
        (None, None) => None,
        (Some(_), None) => {
            table.wrong("user_name", "stands without a password; write `password_file = \"front.password\"` beside it");
            return None;
        }
        (None, Some(_)) => {
            table.wrong("password_file", "stands without a user; write `user_name = \"umsicht\"` beside it");
            return None;
        }
    };
    let jitter = Duration::from_millis(jitter?.into());
    Some(SourceConfig::Rtsp(RtspConfig { url: url?, login, transport: transport?, jitter, certificate: certificate? }))
}

fn v4l2(table: &Table) -> Option<SourceConfig> {
    let device = table.path("device").required("device = \"/dev/video0\"");
    let formats = [("auto", Pixels::Auto), ("mjpeg", Pixels::Mjpeg), ("raw", Pixels::Raw)];
    let pixels = table.choice("format", &formats).or(Pixels::Auto);
    let width = table.integer("width_px", 160..=8192_u32).optional();
    let height = table.integer("height_px", 120..=8192_u32).optional();
    let frames_per_second = table.integer("frames_per_second", 1..=240_u32).optional();
    let (width, height) = (width?, height?);
    if width.is_some() != height.is_some() {
        table.wrong("width_px", "a size has two sides; write `width_px = 1280` and `height_px = 720`");
        return None;
    }
    let (size_px, frames_per_second) = (width.zip(height), frames_per_second?);
    Some(SourceConfig::V4l2(V4l2Config { device: device?, pixels: pixels?, size_px, frames_per_second }))
}

fn live(table: &Table, default: CameraPolicy) -> Option<CameraPolicy> {
    let max_latency = table.integer("max_latency_millis", 100..=60_000_u32).or(DEFAULT_MAX_LATENCY_MILLIS);
    let stall = table.integer("stall_millis", 500..=600_000_u32).or(DEFAULT_STALL_MILLIS);
    let delay = table.integer("delay_millis", 0..=5000_u32).or(0);
    let decoder = table.choice("decoder", &[("auto", Decoder::Auto), ("software", Decoder::Software)]);
    let decoder = decoder.or(default.decoder);
    let millis = |millis: u32| Duration::from_millis(millis.into());
    Some(CameraPolicy {
        max_latency: millis(max_latency?),
        stall: millis(stall?),
        delay: millis(delay?),
        decoder: decoder?,
        ..default
    })
}

fn file(table: &Table) -> Option<SourceConfig> {
    table.path("path").required("path = \"drive.mp4\"").map(|path| SourceConfig::File { path })
}

fn images(table: &Table) -> Option<SourceConfig> {
    let folder = table.path("folder").required("folder = \"pictures\"");
    let interval = table.integer("interval_millis", 1..=3_600_000_u32).optional();
    let times = table.path("times").optional();
    let timing = match (interval?, times?) {
        (Some(millis), None) => Timing::Interval(Duration::from_millis(millis.into())),
        (None, Some(path)) => Timing::Table(path),
        _ => {
            table.wrong("interval_millis", "write either `interval_millis = 40` or `times = \"times.csv\"`");
            return None;
        }
    };
    folder.map(|folder| SourceConfig::Images { folder, timing })
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent setting")]
fn starts_at(table: &Table) -> Option<Option<OffsetDateTime>> {
    let example = "2026-03-17T09:30:00Z";
    let read = |text: &str| {
        OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| format!("{text:?} is not a time with its zone; write e.g. \"{example}\""))
    };
    table.parsed("starts_at", &format!("\"{example}\""), read).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn read(text: &str) -> Result<CameraSettings, String> {
        let text = format!("[camera.front]\n{text}");
        crate::config::parse(Path::new("/etc/umsicht/edge.toml"), &text, |root| {
            CameraSettings::from_table(&root.table("camera").table("front"))
        })
        .map_err(|e| e.to_string())
    }

    #[test]
    fn an_rtsp_camera_needs_its_address_alone() {
        let settings = read("kind = \"rtsp\"\nurl = \"rtsp://cam/1\"").unwrap();
        let SourceConfig::Rtsp(rtsp) = settings.source else { panic!("{:?}", settings.source) };
        assert_eq!((rtsp.login, rtsp.transport, rtsp.jitter), (None, Transport::Tcp, Duration::from_millis(100)));
        assert_eq!(settings.policy, CameraPolicy::default());
    }

    #[test]
    fn everything_about_a_camera_can_be_set() {
        let settings = read(
            "kind = \"rtsp\"\nurl = \"rtsps://cam/1\"\nuser_name = \"u\"\npassword_file = \"front.password\"\n\
             transport = \"auto\"\nlatency_millis = 300\ncertificate = \"any\"\ndecoder = \"software\"\n\
             max_frames_per_second = 12.5\nmax_latency_millis = 400\nstall_millis = 2000\ndelay_millis = 80\n\
             frames = \"every\"",
        );
        let millis = Duration::from_millis;
        let policy = CameraPolicy {
            frames: FramePolicy::Every,
            max_frames_per_second: Some(12.5),
            max_latency: millis(400),
            stall: millis(2000),
            delay: millis(80),
            decoder: Decoder::Software,
        };
        let settings = settings.unwrap();
        assert_eq!(settings.policy, policy);
        let SourceConfig::Rtsp(rtsp) = settings.source else { panic!("{:?}", settings.source) };
        let password_file = PathBuf::from("/etc/umsicht/front.password");
        assert_eq!(rtsp.login, Some(Login { user_name: "u".into(), password_file }));
        let settings = read("kind = \"v4l2\"\ndevice = \"/dev/video2\"\nwidth_px = 1280\nheight_px = 720").unwrap();
        let SourceConfig::V4l2(v4l2) = settings.source else { panic!("{:?}", settings.source) };
        assert_eq!((v4l2.device, v4l2.size_px), ("/dev/video2".into(), Some((1280, 720))));
        let settings = read("kind = \"file\"\npath = \"a.mp4\"\nstarts_at = \"2026-03-17T09:30:00Z\"").unwrap();
        assert!(settings.starts_at.is_some());
    }

    #[test]
    fn mistakes_are_told_together_and_without_secrets() {
        for (text, parts) in [
            (
                "kind = \"rtsp\"\nurl = \"rtsp://u:geheim7@cam/1\"\ntransport = \"tpc\"",
                vec![
                    "edge.toml:3: camera.front.url: holds a user name or password",
                    "edge.toml:4: camera.front.transport: \"tpc\" is not known here; write \"tcp\"",
                ],
            ),
            ("kind = \"rtsp\"\nurl = \"rtsp://c\"\nuser_name = \"u\"", vec!["write `password_file"]),
            ("kind = \"rtsp\"\nurl = \"rtsp://c\"\nlatency_millis = 2000", vec!["write at least 2100"]),
            ("kind = \"v4l2\"\nwidth_px = 640", vec!["write `device = \"/dev/video0\"`", "a size has two sides"]),
            ("kind = \"file\"\npath = \"a\"\nstall_millis = 1", vec!["stall_millis: unknown key"]),
            ("kind = \"images\"\nfolder = \"a\"", vec!["write either `interval_millis = 40`"]),
            ("kind = \"rtps\"\nurl = \"rtsp://c\"", vec!["did you mean \"rtsp\"?"]),
        ] {
            let error = read(text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{part} is not in {error}");
            }
            assert!(!error.contains("geheim7"), "{error}");
        }
    }
}
