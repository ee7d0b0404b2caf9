//! `[model]`, `[update]` and `[shadow]`: what judges, how it is replaced, and what is tried beside it.

use std::path::PathBuf;

use crate::config::Table;
use crate::edge::infer::provider::{Provider, UnknownProvider};
use crate::edge::infer::{BackendChoice, BackendSettings};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Holds `manifest.toml`.
    pub folder: PathBuf,
    pub name: String,
    pub backend: BackendSettings,
}

/// New models by signed bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateConfig {
    /// Holds the versions; written by the device.
    pub folder: PathBuf,
    /// Bundles must be signed with the private key that belongs to it.
    pub public_key_file: PathBuf,
    /// Bundles that are put here are taken.
    pub inbox: PathBuf,
}

/// A second model beside the first, of which only disagreement is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowConfig {
    pub folder: PathBuf,
    pub name: String,
    pub every_nth_frame: u64,
}

pub(super) fn model(table: &Table) -> Option<ModelConfig> {
    let folder = table.path("folder").required("folder = \"/usr/share/umsicht/models\"");
    let name = table.text("name").or("road".into());
    let choices = [("auto", BackendChoice::Auto), ("ort", BackendChoice::Ort), ("tract", BackendChoice::Tract)];
    let choice = table.choice("backend", &choices).or(BackendChoice::Auto);
    let threads = table.integer("threads", 1..=64_u32).or(1);
    let onnxruntime = table.path("onnxruntime").optional();
    let providers = providers(table);
    let backend = BackendSettings {
        choice: choice?,
        intra_threads: usize::try_from(threads?).ok()?,
        onnxruntime: onnxruntime?,
        providers: providers?,
        ..BackendSettings::default()
    };
    Some(ModelConfig { folder: folder?, name: name?, backend })
}

fn providers(table: &Table) -> Option<Vec<Provider>> {
    let words = table.texts("providers").or(Vec::new())?;
    let read: Result<Vec<Provider>, _> = words.iter().map(|word| word.parse()).collect();
    read.map_err(|error: UnknownProvider| table.wrong("providers", &error.to_string())).ok()
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
pub(super) fn update(table: &Table) -> Option<Option<UpdateConfig>> {
    if !table.is_present() {
        return Some(None);
    }
    let folder = table.path("folder").required("folder = \"/var/lib/umsicht/models\"");
    let public_key_file = table.path("public_key_file").required("public_key_file = \"/etc/umsicht/models.public\"");
    let inbox = table.path("inbox").optional();
    let folder = folder?;
    Some(Some(UpdateConfig {
        inbox: inbox?.unwrap_or_else(|| folder.join("inbox")),
        public_key_file: public_key_file?,
        folder,
    }))
}

#[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
pub(super) fn shadow(table: &Table) -> Option<Option<ShadowConfig>> {
    if !table.is_present() {
        return Some(None);
    }
    let folder = table.path("folder").required("folder = \"/var/lib/umsicht/shadow\"");
    let name = table.text("name").or("road".into());
    let every_nth_frame = table.integer("every_nth_frame", 1..=10_000_u64).or(5);
    Some(Some(ShadowConfig { folder: folder?, name: name?, every_nth_frame: every_nth_frame? }))
}
