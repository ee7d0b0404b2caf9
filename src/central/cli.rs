//! `umsicht central …`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use time::Date;
use time::macros::format_description;

use super::config;
use super::enrol::enrol;
use super::export::defects_geojson;
use super::model::Defect;
use super::network::{Network, NetworkError, read_sections};
use super::purge::{Days, purge, secret_of};
use super::replay::{ReplayError, defects_of, read_events};
use super::serve::{ServeError, import_network, open_store, profile_of, serve};
use super::store::{DefectFilter, Store};
use super::training::{self, TrainingError};
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::schema::topic::TopicName;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The service: takes events from the broker, keeps the damage map, serves the interface.
    Serve(ConfigArgument),
    /// Recorded events to defects, without broker and store; the same events always give the same defects.
    Replay(ReplayArguments),
    /// Takes a street network in (.osm.pbf or GeoJSON) and makes the defects anew on it.
    ImportNetwork(ImportArguments),
    /// Writes the defects, or examples to train on.
    Export(ExportArguments),
    /// Makes a new device's secret: one file for the device, and a share for each of two roles.
    Enrol(EnrolArguments),
    /// Removes what one device has reported on some days; needs the shares of both roles.
    Purge(PurgeArguments),
}

#[derive(Debug, Args)]
pub struct ConfigArgument {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// One CloudEvent per line.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// For its street network and profile; without it, no streets and the standard profile.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// GeoJSON.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Without it, the file that the configuration names.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Geojson)]
    format: Format,
    /// A file, without it stdout; for `training` a folder.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct EnrolArguments {
    /// As it stands in the device's topics: letters, digits, `-` and `_`.
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    device: TopicName,
    /// The folder for NAME.device-secret, NAME.share-operations and NAME.share-data-protection. Nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub struct PurgeArguments {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Given twice: the share of either role.
    #[arg(long = "share", value_name = "FILE", required = true)]
    shares: Vec<PathBuf>,
    /// The first day, in UTC: 2026-03-17.
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Date,
    /// The last day, in UTC.
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Date,
    /// Removes them for good; without it they are only counted.
    #[arg(long)]
    yes: bool,
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| "write a day as 2026-03-17".to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// The defects on the map.
    Geojson,
    /// Evidence that people have confirmed or rejected, to train on: `examples.jsonl` and `images/`.
    Training,
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(arguments) => in_runtime(serve_until_signal(arguments)),
            Self::Replay(arguments) => replay(&arguments),
            Self::ImportNetwork(arguments) => in_runtime(import(arguments)),
            Self::Export(arguments) => in_runtime(export(arguments)),
            Self::Enrol(arguments) => enrol_device(&arguments),
            Self::Purge(arguments) => in_runtime(purge_device(arguments)),
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::unavailable)?;
    runtime.block_on(work)
}

async fn serve_until_signal(arguments: ConfigArgument) -> Result<(), Failure> {
    let config = config::read(&arguments.config)?;
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(Failure::unavailable)?;
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    };
    let serving = serve(config, Arc::new(SystemClock), shutdown).await?;
    Ok(serving.finished().await?)
}

fn replay(arguments: &ReplayArguments) -> Result<(), Failure> {
    let config = arguments.config.as_deref().map(config::read).transpose()?;
    let network = match config.as_ref().and_then(|c| c.network.as_deref()) {
        Some(file) => Network::new(read_sections(file)?),
        None => Network::default(),
    };
    let profile = profile_of(config.as_ref().and_then(|c| c.profile.as_deref()))?;
    let sightings = read_events(&arguments.events)?;
    let count = sightings.len();
    let defects = defects_of(sightings, &network, &profile);
    write_geojson(&defects, Some(&arguments.out))?;
    eprintln!("{count} events, {} defects: {}", defects.len(), arguments.out.display());
    Ok(())
}

async fn import(arguments: ImportArguments) -> Result<(), Failure> {
    let config = config::read(&arguments.config)?;
    let file = arguments.network.or_else(|| config.network.clone()).ok_or_else(|| {
        Failure::usage(format!(
            "name the street network: --network FILE, or file = \"…\" under [network] in {}",
            arguments.config.display()
        ))
    })?;
    let store = open_store(&config).await?;
    let sections = import_network(&store, &file, true).await?;
    store.close().await;
    eprintln!("{sections} sections from {}", file.display());
    Ok(())
}

async fn export(arguments: ExportArguments) -> Result<(), Failure> {
    let store = existing_store(&arguments.config).await?;
    let done = match arguments.format {
        Format::Geojson => match store.defects(&DefectFilter::default()).await {
            Ok((defects, _)) => write_geojson(&defects, arguments.out.as_deref()),
            Err(error) => Err(ServeError::from(error).into()),
        },
        Format::Training => export_training(&store, arguments.out.as_deref()).await,
    };
    store.close().await;
    done
}

async fn existing_store(config: &Path) -> Result<Store, Failure> {
    let config = config::read(config)?;
    if !config.database.exists() {
        return Err(Failure::data(format!("there is no store at {} yet", config.database.display())));
    }
    Ok(open_store(&config).await?)
}

fn enrol_device(arguments: &EnrolArguments) -> Result<(), Failure> {
    let enrolled = enrol(&arguments.device, &arguments.out)?;
    let [operations, data_protection] = &enrolled.shares;
    eprintln!(
        "{}: onto the device, and nowhere else\n{}: to whoever runs the devices\n{}: to whoever answers for data protection\n\
         The town keeps none of these. Move each to its place, then delete it here.",
        enrolled.secret.display(),
        operations.display(),
        data_protection.display()
    );
    Ok(())
}

async fn purge_device(arguments: PurgeArguments) -> Result<(), Failure> {
    let secret = secret_of(&arguments.shares)?;
    let days = Days::new(arguments.from, arguments.to)?;
    let store = existing_store(&arguments.config).await?;
    let done = purge(&store, &secret, days, arguments.yes).await;
    store.close().await;
    let purged = done?;
    if arguments.yes {
        println!("removed: {purged}");
        eprintln!(
            "What is still on the device or at the broker comes in later; purge again then. Backups are not touched."
        );
    } else {
        println!("would be removed: {purged}");
        eprintln!("Nothing was changed. To remove them for good, add --yes.");
    }
    if let Some(remains) = purged.remains {
        eprintln!("Not gone from the disk yet: {remains}.");
    }
    if purged.untagged > 0 {
        eprintln!("{} other events of these days carry no tag; nobody can tell whose they are.", purged.untagged);
    }
    Ok(())
}

async fn export_training(store: &Store, out: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = out else {
        return Err(Failure::usage("--format training writes pictures; name a folder for them: --out DIR"));
    };
    let count = training::export(store, folder).await.map_err(|error| match error {
        TrainingError::Store(error) => ServeError::from(error).into(),
        write @ TrainingError::Write { .. } => Failure::unavailable(write),
    })?;
    eprintln!("{count} examples in {}", folder.display());
    Ok(())
}

fn write_geojson(defects: &[Defect], out: Option<&Path>) -> Result<(), Failure> {
    let text = format!("{}\n", defects_geojson(defects));
    match out {
        Some(path) => std::fs::write(path, text)
            .map_err(|e| Failure::unavailable(format!("cannot write {}: {e}", path.display()))),
        None => std::io::stdout().write_all(text.as_bytes()).map_err(Failure::unavailable),
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        Self::data(error)
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        ServeError::from(error).into()
    }
}
