//! The result as the lines of the configuration that describe a camera, with the residuals as comments.

use std::fmt::Write as _;

use crate::edge::camera::{Intrinsics, Mounting};

/// What was measured, and how well it fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    pub intrinsics: Intrinsics,
    pub mounting: Mounting,
    /// One line each: from what, how much of it, residuals, what was given and not measured.
    pub remarks: Vec<String>,
}

impl Calibration {
    /// TOML: `[section]` with the keys of the configuration.
    #[must_use]
    pub fn to_toml(&self, section: &str) -> String {
        let mut text = String::new();
        for remark in &self.remarks {
            let _ = writeln!(text, "# {remark}");
        }
        let i = &self.intrinsics;
        let m = &self.mounting;
        // Writing into a String cannot fail.
        let _ = writeln!(text, "[{section}]\nwidth_px = {}\nheight_px = {}", i.width_px, i.height_px);
        let _ = writeln!(text, "focal_px = [{:.2}, {:.2}]", i.focal_x_px, i.focal_y_px);
        let _ = writeln!(text, "centre_px = [{:.2}, {:.2}]", i.centre_x_px, i.centre_y_px);
        if [i.k1, i.k2, i.p1, i.p2].iter().any(|k| *k != 0.0) {
            let _ = writeln!(text, "distortion_k1_k2_p1_p2 = [{:.6}, {:.6}, {:.6}, {:.6}]", i.k1, i.k2, i.p1, i.p2);
        }
        let _ = writeln!(text, "height_metres = {:.3}", m.height_metres);
        let _ = writeln!(text, "pitch_degrees = {:.2}", m.pitch_degrees);
        let _ = writeln!(text, "roll_degrees = {:.2}", m.roll_degrees);
        let _ = writeln!(text, "yaw_degrees = {:.2}", m.yaw_degrees);
        // The configuration takes no smaller ones, and nobody measures better.
        let _ = writeln!(text, "height_sigma_metres = {:.3}", m.height_sigma_metres.clamp(0.003, 1.0));
        let sigmas = [("pitch", m.pitch_sigma_degrees), ("roll", m.roll_sigma_degrees), ("yaw", m.yaw_sigma_degrees)];
        for (name, sigma) in sigmas {
            let _ = writeln!(text, "{name}_sigma_degrees = {:.2}", sigma.clamp(0.05, 10.0));
        }
        text
    }
}
