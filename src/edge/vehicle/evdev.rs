//! Events of an input device, as the kernel writes them: `struct input_event` of `linux/input.h`, which is a time of two
//! machine words, then type and code in 16 bits and a value in 32, in the machine's byte order; 24 bytes on 64 bits.
//!
//! A device that is unplugged is waited for.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::code::Code;

const TIME_BYTES: usize = 2 * size_of::<usize>();
const RECORD_BYTES: usize = TIME_BYTES + 8;
/// So many events are read at once; a key press is three.
const RECORDS: usize = 64;
/// Between two attempts to open a device that is not there.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub code: Code,
    /// 0 released, 1 pressed, 2 still pressed.
    pub value: i32,
}

impl Record {
    #[must_use]
    pub fn is_press_of(&self, code: Code) -> bool {
        self.code == code && self.value == 1
    }

    /// Where a key or switch stands; holding a key says nothing new.
    #[must_use]
    pub fn level_of(&self, code: Code) -> Option<bool> {
        match self.value {
            0 | 1 if self.code == code => Some(self.value == 1),
            _ => None,
        }
    }

    fn read(bytes: &[u8; RECORD_BYTES]) -> Self {
        let two = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let four = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { code: Code { kind: two(TIME_BYTES), number: two(TIME_BYTES + 2) }, value: four(TIME_BYTES + 4) }
    }
}

/// Tells each event for ever.
pub async fn follow(device: &Path, mut tell: impl FnMut(Record) + Send) {
    let mut told = false;
    loop {
        let ended = match open(device) {
            Ok(mut opened) => {
                if std::mem::take(&mut told) {
                    tracing::info!("{} is there again", device.display());
                }
                records(&mut opened, &mut tell).await
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(
                "{}: {ended}; it is tried again. Is it plugged in, and is the service in the group `input`?",
                device.display()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The runtime's reader of pipes reads whatever can be waited for.
fn open(device: &Path) -> io::Result<Receiver> {
    let file = rustix::fs::open(device, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    Receiver::from_file_unchecked(File::from(file))
}

/// Until the device is gone; the error says why.
async fn records(device: &mut Receiver, tell: &mut (impl FnMut(Record) + Send)) -> io::Error {
    let mut bytes = [0; RECORDS * RECORD_BYTES];
    // The kernel gives whole events; whatever stands in for it may not.
    let mut held = 0;
    loop {
        let count = match device.read(&mut bytes[held..]).await {
            Ok(0) => return io::Error::from(io::ErrorKind::UnexpectedEof),
            Ok(count) => held + count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return error,
        };
        let whole = count / RECORD_BYTES * RECORD_BYTES;
        for record in bytes[..whole].as_chunks::<RECORD_BYTES>().0 {
            tell(Record::read(record));
        }
        bytes.copy_within(whole..count, 0);
        held = count - whole;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::edge::vehicle::code::{EV_KEY, EV_SW};

    /// As the kernel writes it: the event, then the end of the report.
    pub fn bytes_of(code: Code, value: i32) -> Vec<u8> {
        let event = |kind: u16, number: u16, value: i32| {
            let mut bytes = vec![0x5a; TIME_BYTES];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(number.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes
        };
        [event(code.kind, code.number, value), event(0, 0, 0)].concat()
    }

    /// A pipe where the device would be.
    pub fn pipe_at(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    pub async fn until(what: &str, reached: impl Fn() -> bool) {
        for _ in 0..500 {
            if reached() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what} was not reached in ten seconds");
    }

    #[test]
    fn an_event_of_the_kernel_is_read() {
        // As a 64-bit kernel writes it: KEY_F9 pressed at 1760000000.123456 s; laid out by hand from input.h.
        #[cfg(all(target_pointer_width = "64", target_endian = "little"))]
        {
            let bytes: [u8; 24] = [
                0x00, 0x5c, 0xe7, 0x68, 0, 0, 0, 0, 0x40, 0xe2, 0x01, 0x00, 0, 0, 0, 0, 0x01, 0x00, 0x43, 0x00, 1, 0,
                0, 0,
            ];
            let record = Record::read(&bytes);
            assert_eq!(record, Record { code: Code { kind: EV_KEY, number: 67 }, value: 1 });
        }
        let (dock, lid) = (Code { kind: EV_SW, number: 5 }, Code { kind: EV_SW, number: 0 });
        let record = |value| Record { code: dock, value };
        assert_eq!([0, 1, 2].map(|value| record(value).level_of(dock)), [Some(false), Some(true), None]);
        assert_eq!(record(1).level_of(lid), None);
        assert_eq!([0, 1, 2].map(|value| record(value).is_press_of(dock)), [false, true, false]);
    }

    #[tokio::test]
    async fn a_device_that_is_unplugged_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event0");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (to, device) = (Arc::clone(&seen), path.clone());
        let following = tokio::spawn(async move {
            follow(&device, |record| to.lock().unwrap().push(record)).await;
        });
        let code = Code { kind: EV_KEY, number: 67 };
        for round in 1..=2 {
            // First it is not there at all, then it is, then it goes.
            pipe_at(&path);
            let mut writer = {
                let path = path.clone();
                tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(path).unwrap()).await.unwrap()
            };
            let bytes = bytes_of(code, 1);
            // In pieces that no kernel would give.
            for piece in bytes.chunks(7) {
                writer.write_all(piece).unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            until("the press", || {
                seen.lock().unwrap().iter().filter(|r: &&Record| r.is_press_of(code)).count() == round
            })
            .await;
            drop(writer);
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(seen.lock().unwrap().len(), 4, "two presses and two ends of a report");
        following.abort();
    }
}
