//! What is wrong with a device, in plain words. Pure.

use time::OffsetDateTime;

use crate::central::model::Text;
use crate::schema::health::{MachineHealth, ShadowHealth};
use crate::schema::{BlindReason, DeviceBlind, DeviceHealth};

/// So many boxes must have been compared, and so large a share of them must differ, before it is worth a word.
const LEAST_COMPARED: u64 = 200;
const LARGEST_DISAGREEMENT: f64 = 0.3;
/// Above this share the spool is said to be nearly full.
const NEARLY_FULL: f64 = 0.8;
/// Without a fix for so long, a tunnel or a hall is no longer the reason.
const MINUTES_WITHOUT_FIX: u64 = 5;
/// From here on boards for vehicles slow down or switch off.
const HOT_CELSIUS: i32 = 85;
/// Below this share of its disk, or this much, a device soon cannot keep what it sees.
const LEAST_FREE_SHARE: f64 = 0.05;
const LEAST_FREE_BYTES: u64 = 256 * 1024 * 1024;
/// What a device may write in a day so that its flash memory lasts for years.
const MOST_WRITTEN_BYTES: u64 = 1_000_000_000;

/// The kinds of trouble that a device can tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
    Blind,
    NoFix,
    ClockUntrusted,
    Hot,
    DiskFull,
    WritesMuch,
    Unbatched,
    Unencrypted,
    Evicted,
    FailedCommits,
    SetAside,
    Unreadable,
    NearlyFull,
    RefusedItems,
    TooLarge,
    Unheard,
    RefusedBundles,
    RolledBack,
    ShadowDisagrees,
}

pub const PROBLEMS: [Problem; 19] = [
    Problem::Blind,
    Problem::NoFix,
    Problem::ClockUntrusted,
    Problem::Hot,
    Problem::DiskFull,
    Problem::WritesMuch,
    Problem::Unbatched,
    Problem::Unencrypted,
    Problem::Evicted,
    Problem::FailedCommits,
    Problem::SetAside,
    Problem::Unreadable,
    Problem::NearlyFull,
    Problem::RefusedItems,
    Problem::TooLarge,
    Problem::Unheard,
    Problem::RefusedBundles,
    Problem::RolledBack,
    Problem::ShadowDisagrees,
];

impl Problem {
    /// As the API and the metrics name it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::NoFix => "no_fix",
            Self::ClockUntrusted => "clock_untrusted",
            Self::Hot => "hot",
            Self::DiskFull => "disk_full",
            Self::WritesMuch => "writes_much",
            Self::Unbatched => "unbatched",
            Self::Unencrypted => "unencrypted",
            Self::Evicted => "evicted",
            Self::FailedCommits => "failed_commits",
            Self::SetAside => "set_aside",
            Self::Unreadable => "unreadable",
            Self::NearlyFull => "nearly_full",
            Self::RefusedItems => "refused_items",
            Self::TooLarge => "too_large",
            Self::Unheard => "unheard",
            Self::RefusedBundles => "refused_bundles",
            Self::RolledBack => "rolled_back",
            Self::ShadowDisagrees => "shadow_disagrees",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    pub problem: Problem,
    pub text: Text,
    /// Since when, where that is known.
    pub since: Option<OffsetDateTime>,
}

/// In the order in which somebody should look at them.
#[must_use]
pub fn concerns(health: &DeviceHealth) -> Vec<Concern> {
    let (spool, link, models) = (&health.spool, &health.link, &health.models);
    let mut found = Vec::new();
    let mut say = |problem: Problem, wrong: bool, de: String, en: String| {
        if wrong {
            found.push(Concern { problem, text: Text { de, en }, since: None });
        }
    };
    say(
        Problem::NoFix,
        health.position.as_ref().is_some_and(|position| position.minutes_without_fix >= MINUTES_WITHOUT_FIX),
        "Keine Position: Seit Minuten fehlt der Satellitenempfang. Was das Gerät sieht, kann es nicht verorten. Antenne \
         und Kabel prüfen."
            .into(),
        "No position: for minutes there has been no satellite fix. What the device sees it cannot place. Check antenna and \
         cable."
            .into(),
    );
    say(
        Problem::ClockUntrusted,
        health.clock.as_ref().is_some_and(|clock| !clock.trusted),
        "Der Uhr des Geräts ist nicht zu trauen; ohne Satellitenzeit fehlt die Zeit. Zeitabgleich oder Pufferbatterie \
         prüfen."
            .into(),
        "The device's clock cannot be trusted; without satellite time there is none. Check time service or clock battery."
            .into(),
    );
    let machine = health.machine.as_ref();
    let hot = machine.and_then(|machine| machine.temperature_celsius).filter(|celsius| *celsius >= HOT_CELSIUS);
    // In steps, or each minute would be news.
    let at_least = hot.map_or(0, |celsius| celsius / 5 * 5);
    say(
        Problem::Hot,
        hot.is_some(),
        format!("Das Gerät ist heiß: mehr als {at_least} °C. Lüftung und Einbauort prüfen."),
        format!("The device is hot: more than {at_least} °C. Check its ventilation and where it is mounted."),
    );
    say(
        Problem::DiskFull,
        machine.is_some_and(nearly_no_disk),
        "Der Datenträger des Geräts ist fast voll. Es kann bald nichts mehr aufheben.".into(),
        "The device's disk is nearly full. Soon it cannot keep anything.".into(),
    );
    say(
        Problem::WritesMuch,
        machine.is_some_and(|machine| machine.written_today_bytes > MOST_WRITTEN_BYTES),
        "Das Gerät hat heute mehr als 1 GB auf seinen Flash-Speicher geschrieben; der altert so zu schnell.".into(),
        "The device has written more than 1 GB to its flash memory today; at that rate it wears out too soon.".into(),
    );
    say(
        Problem::Unbatched,
        health.delivery.batch_minutes == 0,
        "Bündelung aus: Ereignisse gehen sofort. Wer den Datenstrom mitliest, sieht, wann das Fahrzeug wo war.".into(),
        "Batching off: events go at once. Whoever reads the stream sees when the vehicle was where.".into(),
    );
    say(
        Problem::Unencrypted,
        // An older device says nothing of its link; that is not the same as an open one.
        !link.encrypted && !link.mqtt.is_empty(),
        "Die Verbindung zum Broker ist nicht verschlüsselt.".into(),
        "The connection to the broker is not encrypted.".into(),
    );
    let evicted: u64 = spool.evicted.values().sum();
    let given_up = |word: fn(&str) -> &str| {
        let parts =
            spool.evicted.iter().filter(|(_, n)| **n > 0).map(|(priority, n)| format!("{}: {n}", word(priority)));
        parts.collect::<Vec<_>>().join(", ")
    };
    say(
        Problem::Evicted,
        evicted > 0,
        format!("Der Speicher war voll. Aufgegeben und verloren: {}.", given_up(german)),
        format!("The storage was full. Given up and lost: {}.", given_up(|priority| priority)),
    );
    let commits = spool.failed_commits;
    say(
        Problem::FailedCommits,
        commits > 0,
        format!("Es ließ sich nichts speichern ({commits}-mal): Datenträger voll oder defekt."),
        format!("Nothing could be stored (count: {commits}): the disk is full or broken."),
    );
    let set_aside = spool.set_aside;
    say(
        Problem::SetAside,
        set_aside > 0,
        format!("Beschädigte Teile des Speichers liegen beiseite (….damaged): {set_aside}. Den Datenträger prüfen."),
        format!("Damaged parts of the storage lie aside (….damaged): {set_aside}. Check the disk."),
    );
    let unreadable = spool.unreadable;
    say(
        Problem::Unreadable,
        unreadable > 0,
        format!("Vom Datenträger nicht mehr lesbar und verloren: {unreadable}."),
        format!("No longer readable from the disk, and lost: {unreadable}."),
    );
    let share = spool.bytes_on_disk as f64 / spool.quota_bytes.max(1) as f64;
    // In steps, or each minute would be news.
    let tenths = (share * 10.0).floor() * 10.0;
    say(
        Problem::NearlyFull,
        spool.quota_bytes > 0 && share >= NEARLY_FULL,
        format!("Der Speicher ist zu {tenths:.0} % voll. Erreicht das Gerät den Broker nicht?"),
        format!("The storage is {tenths:.0} % full. Does the device not reach the broker?"),
    );
    let refused = link.refused;
    say(
        Problem::RefusedItems,
        refused > 0,
        format!("Vom Broker abgelehnte Sendungen: {refused}. Prüfen, was das Gerät dort darf."),
        format!("Items that the broker refused: {refused}. Check what the device may do there."),
    );
    let too_large = link.too_large;
    say(
        Problem::TooLarge,
        too_large > 0,
        format!("Sendungen, die größer sind, als der Broker annimmt: {too_large}. Seine Grenze prüfen."),
        format!("Items larger than the broker takes: {too_large}. Check its limit."),
    );
    let unheard = link.unheard;
    say(
        Problem::Unheard,
        unheard > 0,
        format!("Sendungen, denen niemand zuhörte und die erneut gingen: {unheard}. Stimmt der Name des Standorts?"),
        format!("Items that nobody listened to and that were sent again: {unheard}. Is the name of the site right?"),
    );
    let why = models.last_refusal.as_deref().map(|why| format!(" ({})", shortened(why))).unwrap_or_default();
    let refused = models.refused;
    say(
        Problem::RefusedBundles,
        refused > 0,
        format!("Abgelehnte Modellpakete: {refused}{why}."),
        format!("Model bundles that were refused: {refused}{why}."),
    );
    let back = models.rolled_back;
    say(
        Problem::RolledBack,
        back > 0,
        format!("Nach der Umstellung zurückgenommene Modellpakete: {back}{why}."),
        format!("Model bundles that were taken back after activation: {back}{why}."),
    );
    if let Some(share) = health.shadow.as_ref().and_then(disagreement) {
        let percent = (share * 10.0).floor() * 10.0;
        say(
            Problem::ShadowDisagrees,
            share >= LARGEST_DISAGREEMENT,
            format!("Das mitlaufende zweite Modell ist bei mehr als {percent:.0} % der Funde anderer Meinung."),
            format!("The second model beside it disagrees on more than {percent:.0} % of the finds."),
        );
    }
    found
}

/// A camera that sees nothing: the most pressing of all, since nobody else watches in its place.
#[must_use]
pub fn blind(blind: &DeviceBlind) -> Concern {
    let (camera, (de, en)) = (shortened(&blind.camera), why_blind(blind.reason));
    let text = Text {
        de: format!("Kamera „{camera}“ ist blind: {de}."),
        en: format!("Camera “{camera}” is blind: {en}."),
    };
    Concern { problem: Problem::Blind, text, since: Some(blind.since) }
}

/// In German and English.
fn why_blind(reason: BlindReason) -> (&'static str, &'static str) {
    match reason {
        BlindReason::NoFrames => ("sie liefert keine Bilder", "it delivers no pictures"),
        BlindReason::Frozen => ("das Bild steht still", "the picture is frozen"),
        BlindReason::Dark => ("zu dunkel", "too dark"),
        BlindReason::Glare => ("geblendet", "dazzled"),
        BlindReason::Covered => ("verdeckt oder verschmutzt", "covered or dirty"),
        BlindReason::Defocused => ("unscharf", "out of focus"),
        BlindReason::Moved => ("verstellt, sie blickt woandershin", "moved, it looks elsewhere"),
    }
}

/// The spool's priorities, as people here call what was given up.
fn german(priority: &str) -> &str {
    match priority {
        "alarm" => "Alarme",
        "danger" => "Gefahren",
        "damage" => "Schäden",
        "coverage" => "befahrene Abschnitte",
        "evidence" => "Bilder",
        other => other,
    }
}

fn nearly_no_disk(machine: &MachineHealth) -> bool {
    let Some(free) = machine.disk_free_bytes else { return false };
    let share = machine.disk_total_bytes.map_or(1.0, |total| free as f64 / total.max(1) as f64);
    free < LEAST_FREE_BYTES || share < LEAST_FREE_SHARE
}

/// Share of the boxes that only one of both models has found; `None` while there are too few.
fn disagreement(shadow: &ShadowHealth) -> Option<f64> {
    let differing = shadow.only_first.saturating_add(shadow.only_shadow);
    let compared = differing.saturating_add(shadow.agreed);
    (compared >= LEAST_COMPARED).then(|| differing as f64 / compared as f64)
}

/// A device's own words, bounded.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::schema::health::{
        CameraHealth, ClockHealth, DeliveryHealth, LinkHealth, ModelHealth, PositionHealth, SpoolHealth,
    };

    fn codes(health: &DeviceHealth) -> Vec<&'static str> {
        concerns(health).into_iter().map(|c| c.problem.code()).collect()
    }

    fn well() -> DeviceHealth {
        DeviceHealth {
            delivery: DeliveryHealth { batch_minutes: 60, waiting: 12 },
            link: LinkHealth {
                mqtt: "5".into(),
                encrypted: true,
                acknowledged: 7,
                sent_again: 2,
                ..LinkHealth::default()
            },
            spool: SpoolHealth { bytes_on_disk: 10, quota_bytes: 100, ..SpoolHealth::default() },
            cameras: BTreeMap::from([("front".into(), CameraHealth { failures: 3, ..CameraHealth::default() })]),
            position: Some(PositionHealth { connected: true, minutes_without_fix: 4, ..PositionHealth::default() }),
            clock: Some(ClockHealth { trusted: true, leaps: 1 }),
            machine: Some(MachineHealth {
                temperature_celsius: Some(84),
                disk_free_bytes: Some(8 << 30),
                disk_total_bytes: Some(16 << 30),
                written_today_bytes: MOST_WRITTEN_BYTES,
                ..MachineHealth::default()
            }),
            recording: Some(true),
            ..DeviceHealth::default()
        }
    }

    #[test]
    fn a_device_that_is_well_gives_no_concern() {
        assert!(concerns(&well()).is_empty());
    }

    #[test]
    fn each_trouble_is_told_in_both_languages() {
        let health = DeviceHealth {
            position: Some(PositionHealth { minutes_without_fix: 5, ..PositionHealth::default() }),
            clock: Some(ClockHealth::default()),
            machine: Some(MachineHealth {
                temperature_celsius: Some(91),
                disk_free_bytes: Some(1 << 20),
                written_today_bytes: MOST_WRITTEN_BYTES + 1,
                ..MachineHealth::default()
            }),
            delivery: DeliveryHealth::default(),
            link: LinkHealth { encrypted: false, unheard: 1, refused: 2, too_large: 3, ..well().link },
            spool: SpoolHealth {
                evicted: BTreeMap::from([("coverage".into(), 0), ("evidence".into(), 4)]),
                unreadable: 5,
                set_aside: 6,
                failed_commits: 7,
                bytes_on_disk: 97,
                quota_bytes: 100,
                ..SpoolHealth::default()
            },
            models: ModelHealth {
                refused: 1,
                rolled_back: 1,
                last_refusal: Some("wrong\nsignature".into()),
                ..ModelHealth::default()
            },
            shadow: Some(ShadowHealth { agreed: 100, only_first: 60, only_shadow: 41, ..ShadowHealth::default() }),
            ..DeviceHealth::default()
        };
        assert_eq!(codes(&health), PROBLEMS[1..].iter().map(|problem| problem.code()).collect::<Vec<_>>());
        assert_eq!(PROBLEMS.map(Problem::code).into_iter().collect::<BTreeSet<_>>().len(), PROBLEMS.len());
        let said = concerns(&health);
        let evicted = said.iter().find(|concern| concern.problem == Problem::Evicted).unwrap().text.clone();
        let texts: Vec<Text> = said.into_iter().map(|c| c.text).collect();
        assert!(texts.iter().all(|text| text.de != text.en));
        assert!(
            evicted.en.contains("evidence: 4") && evicted.de.contains("Bilder: 4") && !evicted.en.contains("coverage"),
            "{evicted:?}"
        );
        assert!(texts.iter().any(|text| text.en.contains("(wrongsignature)")));
        assert!(texts.iter().any(|text| text.en.contains("more than 50 %")));
    }

    #[test]
    fn each_reason_to_be_blind_has_its_own_words() {
        let since = time::macros::datetime!(2026-03-17 09:47:11 UTC);
        let concern = |reason| blind(&DeviceBlind { camera: "pool\n north".into(), reason, since });
        let texts: BTreeSet<String> =
            BlindReason::ALL.into_iter().map(concern).flat_map(|c| [c.text.de, c.text.en]).collect();
        assert_eq!(texts.len(), 2 * BlindReason::ALL.len());
        assert!(texts.contains("Camera “pool north” is blind: covered or dirty."), "{texts:?}");
        assert_eq!(concern(BlindReason::Dark).since, Some(since));
    }

    #[test]
    fn a_few_boxes_are_no_disagreement() {
        let shadow = ShadowHealth { only_first: LEAST_COMPARED - 1, ..ShadowHealth::default() };
        assert!(codes(&DeviceHealth { shadow: Some(shadow), ..well() }).is_empty());
    }

    #[test]
    fn whoever_switches_recording_off_is_no_concern() {
        assert!(codes(&DeviceHealth { recording: Some(false), ..well() }).is_empty());
    }

    #[test]
    fn temperatures_that_wander_are_not_news_each_minute() {
        let hot = |celsius| {
            let machine = MachineHealth { temperature_celsius: Some(celsius), ..MachineHealth::default() };
            concerns(&DeviceHealth { machine: Some(machine), ..well() })
        };
        assert_eq!(hot(86), hot(89));
        assert_ne!(hot(89), hot(90));
    }
}
