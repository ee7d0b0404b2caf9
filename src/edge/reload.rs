//! A new configuration while the program runs (SIGHUP): what is wrong changes nothing, and says so loudly.

use std::path::Path;

use time::OffsetDateTime;

use crate::config::ConfigError;
use crate::edge::status::ReloadStatus;

/// What became of a reload.
#[derive(Debug)]
pub enum Reload<T> {
    /// The run begins anew with it.
    Take(T),
    /// The one in use stays in use.
    Keep(ConfigError),
}

impl<T> Reload<T> {
    /// Reads the file anew.
    pub fn read(path: &Path, read: impl FnOnce(&Path) -> Result<T, ConfigError>) -> Self {
        match read(path) {
            Ok(config) => Self::Take(config),
            Err(error) => Self::Keep(error),
        }
    }

    /// For the status.
    #[must_use]
    pub fn status(&self, at: OffsetDateTime) -> ReloadStatus {
        let refused = match self {
            Self::Take(_) => None,
            Self::Keep(error) => Some(error.to_string()),
        };
        ReloadStatus { at, refused }
    }

    /// The new configuration; that it was refused stands in the log.
    #[must_use]
    pub fn taken(self, path: &Path) -> Option<T> {
        match self {
            Self::Take(config) => {
                tracing::info!("{}: taken anew", path.display());
                Some(config)
            }
            Self::Keep(error) => {
                tracing::error!("RELOAD REFUSED, the configuration before stays in use: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::local::LocalConfig;
    use time::macros::datetime;

    fn read(path: &Path) -> Result<LocalConfig, ConfigError> {
        crate::config::read(path, |root| LocalConfig::from_table(&root.table("local")))
    }

    #[test]
    fn a_wrong_file_changes_nothing_and_is_told_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        let at = datetime!(2026-05-01 10:00 UTC);
        std::fs::write(&path, "[local]\nlisten = \"127.0.0.1:9111\"\n").unwrap();
        let reload = Reload::read(&path, read);
        assert_eq!(reload.status(at), ReloadStatus { at, refused: None });
        assert_eq!(reload.taken(&path).unwrap().listen.port(), 9111);

        std::fs::write(&path, "[local]\nlisten = \"0.0.0.0:9111\"\nport = 1\n").unwrap();
        let reload = Reload::read(&path, read);
        let refused = reload.status(at).refused.unwrap();
        assert!(
            refused.contains("edge.toml:2: local.listen") && refused.contains("edge.toml:3: local.port"),
            "{refused}"
        );
        assert!(reload.taken(&path).is_none());

        std::fs::remove_file(&path).unwrap();
        assert!(Reload::read(&path, read).status(at).refused.unwrap().contains("cannot read"));
    }
}
