//! Where frames come from. A source knows pictures and times; the fix is joined to a frame by its capture time.

use std::time::Duration;

use time::OffsetDateTime;

use crate::edge::frame::CameraImage;

/// A picture with its times, before the fix is joined.
#[derive(Debug)]
pub struct CapturedImage {
    pub captured_at: OffsetDateTime,
    /// Position in the stream, from its first frame.
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
