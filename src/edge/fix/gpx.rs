//! Fixes from a GPX file: the track points of all its tracks, or its route or way points where it has no track.
//!
//! GPX 1.1 has no speed and no course, so both are taken from the way to the next point. A point without a time is of
//! no use here and is counted as skipped.

use time::OffsetDateTime;

use super::{RawFix, ReadReport};
use crate::geo::LatLon;

/// All points with a time, in the order of the file; `Err` says why the file is no GPX.
pub(super) fn parse(bytes: &[u8]) -> Result<(Vec<RawFix>, ReadReport), String> {
    let gpx = ::gpx::read(bytes).map_err(|error| error.to_string())?;
    let mut report = ReadReport::default();
    let mut fixes = Vec::new();
    let track_points = gpx.tracks.iter().flat_map(|track| &track.segments).flat_map(|segment| &segment.points);
    let route_points = gpx.routes.iter().flat_map(|route| &route.points);
    let points: Vec<&::gpx::Waypoint> =
        if gpx.tracks.is_empty() { route_points.chain(&gpx.waypoints).collect() } else { track_points.collect() };
    for point in points {
        report.read += 1;
        let number = report.read;
        let Some(at) = point.time.map(OffsetDateTime::from) else {
            report.skip(number, "has no time");
            continue;
        };
        let Some(position) = LatLon::new(point.point().y(), point.point().x()) else {
            report.skip(number, "is not on the globe");
            continue;
        };
        fixes.push(RawFix {
            at: at.to_offset(time::UtcOffset::UTC),
            position,
            speed_metres_per_second: point.speed,
            course_degrees: None,
            hdop: point.hdop,
            stated_accuracy_metres: None,
        });
    }
    Ok((fixes, report))
}
