//! A serial port as receivers speak it: raw, 8 bits, no parity, one stop bit, no flow control.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::termios::{ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, tcflush, tcgetattr, tcsetattr};

/// A read waits so long for the first byte, in tenths of a second, as the terminal counts.
const WAIT_TENTHS: u8 = 2;

pub(super) struct Port {
    file: File,
}

impl Port {
    /// `Err` says why it cannot be read and what to do.
    pub(super) fn open(device: &Path, baud: u32) -> Result<Self, String> {
        // Not blocking: without it, opening may wait for a modem's carrier for ever.
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let port = open(device, flags, Mode::empty()).map_err(|error| {
            let device = device.display();
            match error {
                Errno::NOENT | Errno::NXIO | Errno::NODEV => format!("{device} is not there; plug the receiver in"),
                Errno::ACCESS | Errno::PERM => {
                    format!("{device} may not be read; put the service's user into the group dialout")
                }
                Errno::BUSY => format!("{device} is used by another program; let gpsd serve both, kind = \"gpsd\""),
                error => format!("{device} cannot be opened: {error}"),
            }
        })?;
        let wrong = |error: Errno| match error {
            Errno::NOTTY => format!("{} is no serial port; write e.g. device = \"/dev/ttyACM0\"", device.display()),
            error => format!("{} cannot be set to {baud} baud: {error}", device.display()),
        };
        let mut settings = tcgetattr(&port).map_err(wrong)?;
        settings.make_raw();
        settings.control_modes -= ControlModes::CSTOPB | ControlModes::PARENB | ControlModes::CRTSCTS;
        settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD | ControlModes::CS8;
        settings.special_codes[SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[SpecialCodeIndex::VTIME] = WAIT_TENTHS;
        settings.set_speed(baud).map_err(wrong)?;
        tcsetattr(&port, OptionalActions::Now, &settings).map_err(wrong)?;
        fcntl_setfl(&port, OFlags::empty()).map_err(wrong)?;
        // What came at another speed, or before anybody listened, is of no use.
        tcflush(&port, QueueSelector::IFlush).map_err(wrong)?;
        Ok(Self { file: File::from(port) })
    }

    /// 0 when nothing came for a while; `Err` when the port is gone.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Result<usize, String> {
        let gone = || "the receiver was unplugged".to_owned();
        match self.file.read(bytes) {
            // Nothing for a while, or nothing ever again: a port that is gone has no settings any more.
            Ok(0) => tcgetattr(&self.file).map(|_| 0).map_err(|_| gone()),
            Ok(count) => Ok(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            Err(_) => Err(gone()),
        }
    }
}
