//! Names of keys and switches, as the kernel gives them: `linux/input-event-codes.h`.

use std::fmt;

/// Type of an event: a key or button.
pub const EV_KEY: u16 = 1;
/// Type of an event: a switch with two positions.
pub const EV_SW: u16 = 5;

/// What a key or switch is called in the events of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub kind: u16,
    pub number: u16,
}

/// Those that buttons for vehicles, foot switches and small keyboards have; others are written by number.
const NAMES: &[(&str, u16, u16)] = &[
    ("KEY_1", EV_KEY, 2),
    ("KEY_ENTER", EV_KEY, 28),
    ("KEY_SPACE", EV_KEY, 57),
    ("KEY_F1", EV_KEY, 59),
    ("KEY_F2", EV_KEY, 60),
    ("KEY_F3", EV_KEY, 61),
    ("KEY_F4", EV_KEY, 62),
    ("KEY_F5", EV_KEY, 63),
    ("KEY_F6", EV_KEY, 64),
    ("KEY_F7", EV_KEY, 65),
    ("KEY_F8", EV_KEY, 66),
    ("KEY_F9", EV_KEY, 67),
    ("KEY_F10", EV_KEY, 68),
    ("KEY_F11", EV_KEY, 87),
    ("KEY_F12", EV_KEY, 88),
    ("KEY_MUTE", EV_KEY, 113),
    ("KEY_VOLUMEDOWN", EV_KEY, 114),
    ("KEY_VOLUMEUP", EV_KEY, 115),
    ("KEY_POWER", EV_KEY, 116),
    ("KEY_PAUSE", EV_KEY, 119),
    ("KEY_SLEEP", EV_KEY, 142),
    ("KEY_WAKEUP", EV_KEY, 143),
    ("KEY_PROG1", EV_KEY, 148),
    ("KEY_PROG2", EV_KEY, 149),
    ("KEY_PLAYPAUSE", EV_KEY, 164),
    ("KEY_RECORD", EV_KEY, 167),
    ("KEY_F13", EV_KEY, 183),
    ("KEY_F14", EV_KEY, 184),
    ("KEY_F15", EV_KEY, 185),
    ("KEY_CAMERA", EV_KEY, 212),
    ("BTN_0", EV_KEY, 0x100),
    ("BTN_1", EV_KEY, 0x101),
    ("BTN_2", EV_KEY, 0x102),
    ("BTN_3", EV_KEY, 0x103),
    ("BTN_LEFT", EV_KEY, 0x110),
    ("BTN_RIGHT", EV_KEY, 0x111),
    ("BTN_MIDDLE", EV_KEY, 0x112),
    ("BTN_TRIGGER", EV_KEY, 0x120),
    ("BTN_THUMB", EV_KEY, 0x121),
    ("BTN_SOUTH", EV_KEY, 0x130),
    ("SW_LID", EV_SW, 0),
    ("SW_TABLET_MODE", EV_SW, 1),
    ("SW_HEADPHONE_INSERT", EV_SW, 2),
    ("SW_MICROPHONE_INSERT", EV_SW, 4),
    ("SW_DOCK", EV_SW, 5),
    ("SW_LINEIN_INSERT", EV_SW, 13),
    ("SW_MUTE_DEVICE", EV_SW, 14),
];

#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no key or switch that is known by name; write a name as evtest shows it (\"KEY_F9\", \"BTN_0\", \"SW_DOCK\") or \
     its number (\"key 67\", \"switch 5\")"
)]
pub struct UnknownCode(String);

impl Code {
    pub fn from_text(text: &str) -> Result<Self, UnknownCode> {
        let named = NAMES.iter().find(|(name, ..)| *name == text);
        if let Some(&(_, kind, number)) = named {
            return Ok(Self { kind, number });
        }
        let numbered = |word: &str, kind| {
            let number = text.strip_prefix(word)?.trim().parse().ok()?;
            Some(Self { kind, number })
        };
        numbered("key ", EV_KEY).or_else(|| numbered("switch ", EV_SW)).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().find(|(_, kind, number)| (*kind, *number) == (self.kind, self.number));
        match named {
            Some((name, ..)) => f.write_str(name),
            None if self.kind == EV_SW => write!(f, "switch {}", self.number),
            None => write!(f, "key {}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_and_said_alike() {
        for (name, kind, number) in NAMES {
            let code = Code::from_text(name).unwrap();
            assert_eq!((code.kind, code.number, code.to_string().as_str()), (*kind, *number, *name));
        }
        for text in ["key 700", "switch 9"] {
            assert_eq!(Code::from_text(text).unwrap().to_string(), text);
        }
        assert_eq!(Code::from_text("key 67").unwrap(), Code::from_text("KEY_F9").unwrap());
        for text in ["", "F9", "67", "key", "key -1", "key 99999"] {
            assert!(Code::from_text(text).is_err(), "{text}");
        }
    }
}
