//! What the demo looks at: a recorded drive, or the simulated town when nothing is given.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::central::network::{Network, read_sections};
use crate::demo::report::{ReportDefect, ReportTruth};
use crate::edge::config::MountedCamera;
use crate::edge::fix::{Fix, FixLog};
use crate::edge::source::{self, FrameSource, SourceConfig};
use crate::failure::Failure;
use crate::world::drive::{Antenna, Drive, Gnss};
use crate::world::score::{Placed, judge, noise_alone_median_metres};
use crate::world::source::{TruthLog, WorldSource, windscreen_camera};
use crate::world::split::Split;
use crate::world::town::Town;

const SIMULATED_WIDTH_PX: u32 = 960;
const SIMULATED_HEIGHT_PX: u32 = 540;
const SIMULATED_FRAMES_PER_SECOND: u32 = 10;
const SIMULATED_FIXES_PER_SECOND: u32 = 5;
/// A network is the drive's when its section at the first fix has a point this near.
const SAME_PLACE_METRES: f64 = 120.0;

/// How good the simulated positions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SimulatedGnss {
    Perfect,
    /// Drifts by 1.8 m per axis and fails for 6 s.
    Noisy,
}

impl SimulatedGnss {
    fn name(self) -> &'static str {
        match self {
            Self::Perfect => "perfect",
            Self::Noisy => "noisy",
        }
    }
}

pub enum Input {
    Recorded(Recorded),
    Simulated(Box<Simulated>),
}

pub struct Recorded {
    video: PathBuf,
    fixes: FixLog,
    starts_at: OffsetDateTime,
    network: Option<PathBuf>,
}

pub struct Simulated {
    town: Arc<Town>,
    drive: Drive,
    gnss: SimulatedGnss,
    perfect: Vec<Fix>,
    fixes: Vec<Fix>,
    network: PathBuf,
    log: Option<Arc<Mutex<TruthLog>>>,
}

impl Input {
    /// A video with its GNSS log. Without `network`, one that covers the drive is looked for beside the video.
    pub fn recorded(video: &Path, gnss: &Path, network: Option<PathBuf>) -> Result<Self, Failure> {
        if !video.is_file() {
            return Err(Failure::data(format!("{}: there is no such video", video.display())));
        }
        let fixes = FixLog::read(gnss).map_err(Failure::data)?;
        if fixes.report().skipped > 0 {
            eprintln!("{}: {}", gnss.display(), fixes.report().describe("line"));
        }
        let first = fixes.fixes().first().ok_or_else(|| Failure::data(format!("{}: no fix", gnss.display())))?;
        let network = network.or_else(|| find_network(video, first));
        Ok(Self::Recorded(Recorded { video: video.to_owned(), starts_at: first.at, network, fixes }))
    }

    /// A town of the test families, made from `seed`; its street network is written into `folder`.
    pub fn simulated(seed: u64, gnss: SimulatedGnss, duration: Duration, folder: &Path) -> Result<Self, Failure> {
        let town = Arc::new(Town::generate(seed, Split::Test));
        let started_at = crate::clock::hour_of(OffsetDateTime::now_utc());
        let drive = Drive::new(&town.route, started_at, duration);
        let fixes_with = |gnss| drive.fixes(&town.frame, gnss, Antenna::default(), SIMULATED_FIXES_PER_SECOND);
        let perfect = fixes_with(Gnss::Perfect);
        let fixes = match gnss {
            SimulatedGnss::Perfect => perfect.clone(),
            SimulatedGnss::Noisy => fixes_with(Gnss::noisy(seed)),
        };
        let network = folder.join("simulated-town.geojson");
        std::fs::write(&network, town.network_geojson().to_string())
            .map_err(|e| Failure::unavailable(format!("{}: cannot be written: {e}", network.display())))?;
        Ok(Self::Simulated(Box::new(Simulated { town, drive, gnss, perfect, fixes, network, log: None })))
    }

    #[must_use]
    pub fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }

    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Recorded(recorded) => recorded.video.display().to_string(),
            Self::Simulated(simulated) => {
                format!("town with {} damages, {} GNSS", simulated.town.damages.len(), simulated.gnss.name())
            }
        }
    }

    #[must_use]
    pub fn network(&self) -> Option<&Path> {
        match self {
            Self::Recorded(recorded) => recorded.network.as_deref(),
            Self::Simulated(simulated) => Some(&simulated.network),
        }
    }

    #[must_use]
    pub fn fixes(&self) -> FixLog {
        match self {
            Self::Recorded(recorded) => recorded.fixes.clone(),
            Self::Simulated(simulated) => FixLog::from_fixes(simulated.fixes.clone()),
        }
    }

    /// The camera, where it is known.
    #[must_use]
    pub fn camera(&self) -> Option<MountedCamera> {
        self.is_simulated().then(|| {
            let camera = windscreen_camera(SIMULATED_WIDTH_PX, SIMULATED_HEIGHT_PX);
            MountedCamera {
                intrinsics: camera.intrinsics,
                mounting: camera.mounting,
                antenna_forward_metres: 0.0,
                antenna_left_metres: 0.0,
            }
        })
    }

    /// The same drive from its beginning.
    pub fn open(&mut self) -> Result<Box<dyn FrameSource>, Failure> {
        match self {
            Self::Recorded(recorded) => {
                let config = SourceConfig::File { path: recorded.video.clone() };
                source::open(&config, recorded.starts_at).map_err(Failure::data)
            }
            Self::Simulated(simulated) => {
                let camera = windscreen_camera(SIMULATED_WIDTH_PX, SIMULATED_HEIGHT_PX);
                let town = Arc::clone(&simulated.town);
                let source = WorldSource::new(town, simulated.drive.clone(), camera, SIMULATED_FRAMES_PER_SECOND);
                simulated.log = Some(source.truth_log());
                Ok(Box::new(source))
            }
        }
    }

    /// How well the town's defects agree with the simulated truth; `None` for recordings, which have none.
    #[must_use]
    pub fn truth(&self, defects: &[ReportDefect]) -> Option<ReportTruth> {
        let Self::Simulated(simulated) = self else { return None };
        let log = simulated.log.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (wanted, tolerated) = log.wanted_and_tolerated(&simulated.town, &simulated.perfect, &simulated.fixes);
        let found: Vec<Placed> = defects
            .iter()
            .map(|d| Placed { class: d.class, position: crate::geo::LatLon { lat: d.lat, lon: d.lon } })
            .collect();
        let score = judge(&found, &wanted, &tolerated);
        let shown_at: Vec<&[OffsetDateTime]> = log.shown().values().map(|s| s.near_at.as_slice()).collect();
        let noise = noise_alone_median_metres(&simulated.perfect, &simulated.fixes, &shown_at);
        Some(ReportTruth {
            damages: wanted.len(),
            f1: score.f1,
            precision: score.precision,
            recall: score.recall,
            position_error_median_metres: score.position_error_median_metres,
            gnss: simulated.gnss.name(),
            position_error_from_noise_alone_median_metres: noise,
        })
    }
}

/// The first street network in the video's folder, or in a folder `osm` beside it, that has a street at the first fix.
fn find_network(video: &Path, first: &Fix) -> Option<PathBuf> {
    let beside = video.parent()?;
    let folders = [beside.to_owned(), beside.join("osm"), beside.join("../osm")];
    let is_network = |path: &PathBuf| {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        name.ends_with(".osm.pbf") || name.ends_with(".geojson")
    };
    let mut candidates: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_network)
        .collect();
    candidates.sort();
    let covers = |path: &PathBuf| {
        let Ok(sections) = read_sections(path) else { return false };
        let network = Network::new(sections);
        network.section_at(first.position, first.heading_degrees).is_some_and(|section| {
            section.line.iter().any(|p| crate::geo::distance_metres(*p, first.position) < SAME_PLACE_METRES)
        })
    };
    candidates.into_iter().find(covers)
}
