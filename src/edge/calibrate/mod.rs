//! How a camera is mounted, measured from what it sees: `umsicht edge calibrate`.
//!
//! grey → segments → vanish (a drive) | lane (one picture); grey → corners → board → lens | flat; horizon for `edge check`;
//! section and picture show the result.
//!
//! | from | determines | must be given |
//! |---|---|---|
//! | checkerboard held before the lens, 6 pictures or more | focal lengths, centre, distortion | size of its squares |
//! | checkerboard flat on the road | height, pitch, roll; yaw from its measured place | the lens, its squares, how far left it lies |
//! | lane of known width | pitch, yaw, height | the lens (or the height: then the focal length, if the camera looks down steeply), roll |
//! | drive | pitch, yaw | the lens, height, roll |

pub mod board;
pub mod cli;
pub mod corners;
pub mod drive;
pub mod flat;
pub mod grey;
pub mod horizon;
pub mod lane;
pub mod least_squares;
pub mod lens;
pub mod picture;
pub mod section;
pub mod segments;
pub mod vanish;

#[cfg(test)]
mod tests;
