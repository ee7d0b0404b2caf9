//! Opens what a `[camera.NAME]` section names: for the service, which never gives up a camera, and for a check, which wants
//! one picture or the reason why there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::clock::Clock;
use crate::edge::frame::CameraImage;
use crate::edge::source::pace::Pace;
use crate::edge::source::reconnect::{Connect, Reconnecting};
use crate::edge::source::recorded::Recorded;
use crate::edge::source::settings::{CameraPolicy, CameraSettings};
use crate::edge::source::state::{CameraReport, CameraState};
use crate::edge::source::{self, FrameSource, SourceConfig, SourceError};

/// The camera `name`, with what it tells about itself. A live one gives pictures until `stop` is set; a recording ends at
/// its end, and its first picture was taken at `starts_at`.
pub fn open_live(
    name: &str,
    settings: &CameraSettings,
    starts_at: OffsetDateTime,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
) -> Result<(Box<dyn FrameSource>, Arc<CameraState>), SourceError> {
    let state = Arc::new(CameraState::default());
    let policy = settings.policy;
    let source: Box<dyn FrameSource> = match &settings.source {
        SourceConfig::File { .. } | SourceConfig::Images { .. } => Box::new(Recorded {
            recording: source::open(&settings.source, starts_at)?,
            pace: Pace::new(policy.max_frames_per_second),
            state: Arc::clone(&state),
            stop,
        }),
        SourceConfig::Rtsp(_) | SourceConfig::V4l2(_) => {
            let connect = connect(name, &settings.source, policy)?;
            Box::new(Reconnecting::new(name, connect, policy, clock, stop, Arc::clone(&state)))
        }
    };
    Ok((source, state))
}

/// What a check sees of a camera.
#[derive(Debug)]
pub struct FirstPicture {
    pub image: CameraImage,
    pub report: CameraReport,
}

/// Waits for one picture, no longer than `limit`. The error is the last thing that went wrong.
pub fn first_picture(
    name: &str,
    settings: &CameraSettings,
    starts_at: OffsetDateTime,
    clock: Arc<dyn Clock>,
    limit: Duration,
) -> Result<FirstPicture, SourceError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (mut source, state) = open_live(name, settings, starts_at, clock, Arc::clone(&stop))?;
    let done = AtomicBool::new(false);
    let captured = std::thread::scope(|scope| {
        scope.spawn(|| {
            let since = Instant::now();
            // A wrong password gets no better by waiting: one failure is enough to tell.
            while !done.load(Ordering::Relaxed) && since.elapsed() < limit && state.report().failures == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let captured = source.next_image();
        done.store(true, Ordering::Relaxed);
        captured
    })?;
    let report = state.report();
    match captured {
        Some(captured) => Ok(FirstPicture { image: captured.image, report }),
        None => {
            let reason = report.last_error.unwrap_or_else(|| format!("no picture came within {} s", limit.as_secs()));
            Err(SourceError::Unusable { input: format!("camera.{name}"), reason })
        }
    }
}

#[cfg(feature = "gstreamer")]
fn connect(name: &str, source: &SourceConfig, policy: CameraPolicy) -> Result<Connect, SourceError> {
    use crate::edge::source::gstreamer::live::LivePipeline;
    use crate::edge::source::reconnect::Session;

    let (section, source) = (format!("camera.{name}"), source.clone());
    Ok(Arc::new(move || {
        let live = match &source {
            SourceConfig::Rtsp(config) => LivePipeline::rtsp(&section, config, &policy),
            SourceConfig::V4l2(config) => LivePipeline::v4l2(config, &policy),
            SourceConfig::File { .. } | SourceConfig::Images { .. } => Err("is a recording".into()),
        };
        live.map(|live| Box::new(live) as Box<dyn Session>)
    }))
}

#[cfg(not(feature = "gstreamer"))]
fn connect(name: &str, _: &SourceConfig, _: CameraPolicy) -> Result<Connect, SourceError> {
    Err(SourceError::Unusable {
        input: format!("camera.{name}"),
        reason: "this program was built without GStreamer; give a folder of pictures".into(),
    })
}
