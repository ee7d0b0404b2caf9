//! The settings of the town's service, checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{self, ConfigError, Table};
use crate::mqtt::BrokerAddress;
use crate::schema::topic::TopicName;

/// What `central.toml` says, after all of it was found to be right.
#[derive(Debug, Clone)]
pub struct CheckedConfig {
    pub site: TopicName,
    pub town_name: String,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub broker: BrokerAddress,
    pub database: PathBuf,
    /// Imported at start when it differs from what was imported last.
    pub network: Option<PathBuf>,
    /// `None`: the profile that comes with the program.
    pub profile: Option<PathBuf>,
}

pub fn read(path: &Path) -> Result<CheckedConfig, ConfigError> {
    config::read(path, checked)
}

fn checked(root: &Table) -> Option<CheckedConfig> {
    let site = root.parsed("site", "site = \"musterstadt\"", TopicName::new).required("site = \"musterstadt\"");
    let town = root.table("town");
    let town_name = town.text("name").required("name = \"Musterstadt\"");
    let http = root.table("http");
    let listen = http
        .parsed("listen", "listen = \"127.0.0.1:8080\"", |text| {
            text.parse::<SocketAddr>().map_err(|_| format!("{text:?} is no address and port; write \"127.0.0.1:8080\""))
        })
        .or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let broker = BrokerAddress::from_table(&root.table("broker"), Some("127.0.0.1"));
    let store = root.table("store");
    let database = store.path("database").required("database = \"/var/lib/umsicht/central.sqlite\"");
    let network = root.table("network").path("file").optional();
    let profile = root.table("assessment").path("profile").optional();
    Some(CheckedConfig {
        site: site?,
        town_name: town_name?,
        listen: listen?,
        broker: broker?,
        database: database?,
        network: network?,
        profile: profile?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/central.toml");
        let config = read(&path).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert!(config.database.is_absolute());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = "site = \"a b\"\n[http]\nlisten = \"8080\"\n[broker]\nuser_name = \"x\"\n[store]\ndatabse = \"a\"\n";
        let error = config::parse(Path::new("c.toml"), text, checked).unwrap_err().to_string();
        for part in
            ["c.toml:1: site", "town.name", "c.toml:3: http.listen", "password_file", "did you mean `database`?"]
        {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
}
