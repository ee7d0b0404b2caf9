//! Where an input comes from, as the configuration says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::code::Code;
use crate::config::Table;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Reads `0` or `1`.
    File(PathBuf),
    Key(Key),
}

/// A key or switch of an input device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub device: PathBuf,
    pub(super) code: Code,
}

/// An input with two positions that counts when it has stood still for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    pub input: Input,
    /// What the input reads when it is on.
    pub on_value: bool,
    pub rises_after: Duration,
    pub falls_after: Duration,
}

impl Input {
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Key(key) => &key.device,
        }
    }
}

impl Key {
    /// Inner `None`: the section is absent.
    #[allow(clippy::option_option)]
    pub(super) fn from_table(table: &Table) -> Option<Option<Self>> {
        if !table.is_present() {
            return Some(None);
        }
        let device = table.path("device").required("device = \"/dev/input/by-id/…-event-kbd\"");
        let code = table.parsed("code", "\"KEY_F9\"", Code::from_text).required("code = \"KEY_F9\"");
        Some(Some(Self { device: device?, code: code? }))
    }
}

impl Switch {
    /// Inner `None`: the section is absent.
    #[allow(clippy::option_option)]
    pub(super) fn from_table(table: &Table, settle_millis: u64, max_settle_millis: u64) -> Option<Option<Self>> {
        let file = table.path("file").optional();
        let device = table.path("device").optional();
        let code = table.parsed("code", "\"SW_DOCK\"", Code::from_text).optional();
        let on_value = table.integer("on_value", 0..=1_u8).or(1);
        let settle = table.integer("settle_millis", 0..=max_settle_millis).or(settle_millis);
        if !table.is_present() {
            return Some(None);
        }
        let input = match (file?, device?, code?) {
            (Some(file), None, None) => Input::File(file),
            (None, Some(device), Some(code)) => Input::Key(Key { device, code }),
            _ => {
                table.wrong(
                    "file",
                    "must be one input; write either `file = \"/sys/class/gpio/gpio17/value\"` or `device = \"/dev/input/…\"` \
                     with `code = \"SW_DOCK\"`",
                );
                return None;
            }
        };
        let settle = Duration::from_millis(settle?);
        Some(Some(Self { input, on_value: on_value? == 1, rises_after: settle, falls_after: settle }))
    }
}
