//! A camera at a Video4Linux device (USB, CSI) as the configuration says, and whether the device can be used.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4l2Config {
    pub device: PathBuf,
    pub pixels: Pixels,
    /// Width and height; `None` leaves it to the driver.
    pub size_px: Option<(u32, u32)>,
    pub frames_per_second: Option<u32>,
}

/// What the camera sends. USB carries 720p at full rate as MJPEG alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// MJPEG where the camera has it, else raw.
    Auto,
    Mjpeg,
    Raw,
}

impl V4l2Config {
    /// The formats that may be agreed with the driver, best first, as GStreamer writes them.
    pub fn caps(&self) -> String {
        let mut wanted = String::new();
        if let Some((width, height)) = self.size_px {
            wanted += &format!(",width={width},height={height}");
        }
        if let Some(rate) = self.frames_per_second {
            wanted += &format!(",framerate={rate}/1");
        }
        let (mjpeg, raw) = (format!("image/jpeg{wanted}"), format!("video/x-raw{wanted}"));
        match self.pixels {
            Pixels::Auto => format!("{mjpeg};{raw}"),
            Pixels::Mjpeg => mjpeg,
            Pixels::Raw => raw,
        }
    }
}

/// What is wrong with a device, and what to do, before GStreamer says less.
pub fn usable(device: &Path) -> Result<(), String> {
    let shown = device.display();
    let about = match std::fs::metadata(device) {
        Ok(about) => about,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(format!(
                "{shown} is not there; is the camera plugged in? `ls /dev/video*` shows what there is"
            ));
        }
        Err(e) => return Err(format!("{shown} cannot be looked at ({e})")),
    };
    if !about.file_type().is_char_device() {
        return Err(format!("{shown} is no camera; `ls /dev/video*` shows what there is"));
    }
    match std::fs::OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            Err(format!("{shown} may not be used by this user; add it to the group video: usermod -aG video USER"))
        }
        Err(e) => Err(format!("{shown} cannot be opened ({e}); plug the camera in again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_used_says_what_to_do() {
        let missing = usable(Path::new("/dev/video-none")).unwrap_err();
        assert!(missing.contains("`ls /dev/video*`"), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(usable(file.path()).unwrap_err().contains("is no camera"));
    }

    #[test]
    fn mjpeg_is_preferred_at_the_size_and_rate_that_are_asked_for() {
        let mut config = V4l2Config {
            device: "/dev/video0".into(),
            pixels: Pixels::Auto,
            size_px: Some((1280, 720)),
            frames_per_second: Some(30),
        };
        let format = ",width=1280,height=720,framerate=30/1";
        assert_eq!(config.caps(), format!("image/jpeg{format};video/x-raw{format}"));
        config = V4l2Config { pixels: Pixels::Raw, size_px: None, frames_per_second: None, ..config };
        assert_eq!(config.caps(), "video/x-raw");
    }
}
