//! Where frames come from. A source knows pictures and times; the fix is joined to a frame by its capture time.

#[cfg(feature = "gstreamer")]
pub mod gstreamer;
pub mod images;
mod live;
pub mod pace;
pub mod reconnect;
mod recorded;
pub mod rtsp;
pub mod settings;
pub mod state;
pub mod v4l2;

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use self::images::{ImageSequence, Timing};
pub use self::live::{FirstPicture, first_picture, open_live};
use self::rtsp::RtspConfig;
use self::v4l2::V4l2Config;
use crate::edge::frame::CameraImage;

/// A picture with its times, before the fix is joined.
#[derive(Debug)]
pub struct CapturedImage {
    pub captured_at: OffsetDateTime,
    /// Position in the stream: from a recording's first frame, or from a camera's start, whatever its clock does.
    pub stream_time: Duration,
    pub image: CameraImage,
}

/// A camera, a file or a simulated world.
pub trait FrameSource: Send {
    /// The next picture in order of time; `Ok(None)` when the input has ended.
    fn next_image(&mut self) -> Result<Option<CapturedImage>, SourceError>;
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The input cannot be opened or is not what it should be; another try gives the same.
    #[error("{input}: {reason}")]
    Unusable { input: String, reason: String },
    /// The input broke off; a camera may come back.
    #[error("{input} broke off: {reason}")]
    Interrupted { input: String, reason: String },
}

impl SourceError {
    /// Whether opening the source again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }
}

/// Which source, as the configuration says.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceConfig {
    /// A camera in the network.
    Rtsp(RtspConfig),
    /// A camera at this machine.
    V4l2(V4l2Config),
    /// A video file.
    File { path: PathBuf },
    /// A folder of pictures.
    Images { folder: PathBuf, timing: Timing },
}

/// Opens a recording; its first picture was taken at `starts_at`.
pub fn open(config: &SourceConfig, starts_at: OffsetDateTime) -> Result<Box<dyn FrameSource>, SourceError> {
    match config {
        SourceConfig::Images { folder, timing } => Ok(Box::new(ImageSequence::open(folder, timing, starts_at)?)),
        #[cfg(feature = "gstreamer")]
        SourceConfig::File { path } => Ok(Box::new(gstreamer::file::VideoFile::open(path, starts_at)?)),
        #[cfg(not(feature = "gstreamer"))]
        SourceConfig::File { path } => Err(SourceError::Unusable {
            input: path.display().to_string(),
            reason: "this program was built without GStreamer; give a folder of pictures".into(),
        }),
        SourceConfig::Rtsp(_) | SourceConfig::V4l2(_) => Err(SourceError::Unusable {
            input: "the camera".into(),
            reason: "is live, and a recording is wanted; give a video file or a folder of pictures".into(),
        }),
    }
}
