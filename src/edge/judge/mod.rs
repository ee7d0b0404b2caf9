//! What a track means: the road judge makes sightings. Pure; the frame carries the time.

pub mod road;
