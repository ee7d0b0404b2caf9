//! Why a command ended, as a person and as a script sees it: one message, one exit code.
//!
//! The codes follow sysexits: 64 bad usage or configuration, 65 bad data, 69 a needed service is missing, 70 a bug.

use std::fmt;

/// The end of a command that did not do what was asked. Made at the edge of the program from a module's own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: u8,
    pub message: String,
}

impl Failure {
    /// The command line or the configuration is wrong; the person who called can repair it.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::with(64, message)
    }

    /// The input is not what it should be: a video, a log, a model, a store.
    pub fn data(message: impl fmt::Display) -> Self {
        Self::with(65, message)
    }

    /// Something outside is missing: a broker, a port, a device, a library, space.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::with(69, message)
    }

    /// What should not happen.
    pub fn bug(message: impl fmt::Display) -> Self {
        Self::with(70, message)
    }

    fn with(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}
