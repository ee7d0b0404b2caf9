//! Devices: which are there, and what is wrong with them in plain words.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Api, view};
use crate::central::devices;
use crate::schema::DeviceHealth;
use crate::schema::health::CameraHealth;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Device {
    name: String,
    online: bool,
    /// What is wrong, the most pressing first; empty when all is well or nothing is known yet.
    concerns: Vec<Concern>,
    /// As the device said it last; null until it has.
    health: Option<Health>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Concern {
    code: &'static str,
    text: view::Text,
    /// Since when, where that is known; of a blind camera, exactly.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    since: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Health {
    /// Version of the program.
    program: String,
    /// 0: batching is off, events go at once.
    batch_minutes: u32,
    /// Events that wait for their batch.
    waiting: u64,
    /// Items on the device's disk.
    spool_items: u64,
    spool_bytes: u64,
    spool_quota_bytes: u64,
    /// By priority: given up for want of space.
    evicted: BTreeMap<String, u64>,
    unreadable: u64,
    set_aside: u64,
    failed_commits: u64,
    /// `5` or `3.1.1`.
    mqtt: String,
    encrypted: bool,
    refused_items: u64,
    too_large: u64,
    unheard: u64,
    held_pictures: u64,
    /// Name and version of each model in use.
    models: BTreeMap<String, String>,
    bundle_version: u64,
    bundles_refused: u64,
    bundles_rolled_back: u64,
    last_refusal: Option<String>,
    shadow: Option<Shadow>,
    /// By name.
    cameras: BTreeMap<String, Camera>,
    /// Whole minutes without a usable fix; null on a device that does not tell.
    minutes_without_fix: Option<u64>,
    clock_trusted: Option<bool>,
    temperature_celsius: Option<i32>,
    disk_free_bytes: Option<u64>,
    written_today_bytes: Option<u64>,
    /// False while somebody at the device has switched recording off.
    recording: Option<bool>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Camera {
    frames: u64,
    failures: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Shadow {
    model: String,
    version: String,
    frames: u64,
    agreed: u64,
    only_first: u64,
    only_shadow: u64,
}

/// The devices by name, as they are now. Nothing of it is kept: after a start of the service it is told anew.
#[utoipa::path(get, path = "/api/v1/devices", responses((status = 200, body = Vec<Device>)))]
pub(super) async fn devices(State(api): State<Api>) -> Json<Vec<Device>> {
    Json(api.inner.devices.all().into_iter().map(Into::into).collect())
}

impl From<devices::Device> for Device {
    fn from(device: devices::Device) -> Self {
        let concerns = device.concerns();
        Self {
            name: device.name.to_string(),
            online: device.online,
            concerns: concerns
                .into_iter()
                .map(|concern| Concern {
                    code: concern.problem.code(),
                    text: concern.text.into(),
                    since: concern.since,
                })
                .collect(),
            health: device.health.map(Into::into),
        }
    }
}

impl From<DeviceHealth> for Health {
    fn from(health: DeviceHealth) -> Self {
        let DeviceHealth {
            program,
            spool,
            link,
            delivery,
            models,
            shadow,
            blind: _,
            cameras,
            position,
            clock,
            machine,
            recording,
        } = health;
        let machine = machine.as_ref();
        let camera = |camera: CameraHealth| Camera { frames: camera.frames, failures: camera.failures };
        Self {
            program,
            batch_minutes: delivery.batch_minutes,
            waiting: delivery.waiting,
            spool_items: spool.items,
            spool_bytes: spool.bytes_on_disk,
            spool_quota_bytes: spool.quota_bytes,
            evicted: spool.evicted,
            unreadable: spool.unreadable,
            set_aside: spool.set_aside,
            failed_commits: spool.failed_commits,
            mqtt: link.mqtt,
            encrypted: link.encrypted,
            refused_items: link.refused,
            too_large: link.too_large,
            unheard: link.unheard,
            held_pictures: link.held_pictures,
            models: models.in_use,
            bundle_version: models.bundle_version,
            bundles_refused: models.refused,
            bundles_rolled_back: models.rolled_back,
            last_refusal: models.last_refusal,
            shadow: shadow.map(|shadow| Shadow {
                model: shadow.model,
                version: shadow.version,
                frames: shadow.frames,
                agreed: shadow.agreed,
                only_first: shadow.only_first,
                only_shadow: shadow.only_shadow,
            }),
            cameras: cameras.into_iter().map(|(name, health)| (name, camera(health))).collect(),
            minutes_without_fix: position.map(|position| position.minutes_without_fix),
            clock_trusted: clock.map(|clock| clock.trusted),
            temperature_celsius: machine.and_then(|machine| machine.temperature_celsius),
            disk_free_bytes: machine.and_then(|machine| machine.disk_free_bytes),
            written_today_bytes: machine.map(|machine| machine.written_today_bytes),
            recording,
        }
    }
}
