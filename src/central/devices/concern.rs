//! What is wrong with a device, in plain words. Pure.

use crate::central::model::Text;
use crate::schema::DeviceHealth;
use crate::schema::health::ShadowHealth;

/// So many boxes must have been compared, and so large a share of them must differ, before it is worth a word.
const LEAST_COMPARED: u64 = 200;
const LARGEST_DISAGREEMENT: f64 = 0.3;
/// Above this share the spool is said to be nearly full.
const NEARLY_FULL: f64 = 0.8;

/// The kinds of trouble that a device can tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
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

pub const PROBLEMS: [Problem; 13] = [
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
}

/// In the order in which somebody should look at them.
#[must_use]
pub fn concerns(health: &DeviceHealth) -> Vec<Concern> {
    let (spool, link, models) = (&health.spool, &health.link, &health.models);
    let mut found = Vec::new();
    let mut say = |problem: Problem, wrong: bool, de: String, en: String| {
        if wrong {
            found.push(Concern { problem, text: Text { de, en } });
        }
    };
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
    let by_priority: Vec<String> =
        spool.evicted.iter().filter(|(_, n)| **n > 0).map(|(priority, n)| format!("{n} {priority}")).collect();
    let by_priority = by_priority.join(", ");
    say(
        Problem::Evicted,
        evicted > 0,
        format!(
            "Speicher voll: {evicted} Ereignisse oder Bilder wurden aufgegeben ({by_priority}). Diese sind verloren."
        ),
        format!("Storage full: {evicted} events or pictures were given up ({by_priority}). These are lost."),
    );
    let commits = spool.failed_commits;
    say(
        Problem::FailedCommits,
        commits > 0,
        format!("{commits}-mal ließ sich nichts speichern: Datenträger voll oder defekt."),
        format!("Nothing could be stored {commits} times: the disk is full or broken."),
    );
    let set_aside = spool.set_aside;
    say(
        Problem::SetAside,
        set_aside > 0,
        format!(
            "{set_aside} beschädigte Teile des Speichers liegen beiseite (….damaged). Der Datenträger sollte geprüft werden."
        ),
        format!("{set_aside} damaged parts of the storage lie aside (….damaged). The disk should be checked."),
    );
    let unreadable = spool.unreadable;
    say(
        Problem::Unreadable,
        unreadable > 0,
        format!("{unreadable} Einträge konnten nicht vom Datenträger zurückgelesen werden. Diese sind verloren."),
        format!("{unreadable} items could not be read back from the disk. These are lost."),
    );
    let share = spool.bytes_on_disk as f64 / spool.quota_bytes.max(1) as f64;
    // In steps, or each minute would be news.
    let tenths = (share * 10.0).floor() * 10.0;
    say(
        Problem::NearlyFull,
        spool.quota_bytes > 0 && share >= NEARLY_FULL,
        format!("Der Speicher ist zu mehr als {tenths:.0} % voll. Erreicht das Gerät den Broker nicht?"),
        format!("The storage is more than {tenths:.0} % full. Does the device not reach the broker?"),
    );
    let refused = link.refused;
    say(
        Problem::RefusedItems,
        refused > 0,
        format!("Der Broker hat {refused} Sendungen abgelehnt: Rechte des Geräts prüfen."),
        format!("The broker refused {refused} items: check what the device may do there."),
    );
    let too_large = link.too_large;
    say(
        Problem::TooLarge,
        too_large > 0,
        format!("{too_large} Sendungen sind größer, als der Broker annimmt: seine Grenze prüfen."),
        format!("{too_large} items are larger than the broker takes: check its limit."),
    );
    let unheard = link.unheard;
    say(
        Problem::Unheard,
        unheard > 0,
        format!("{unheard}-mal hörte niemand zu; es wurde erneut gesendet. Stimmt der Name des Standorts?"),
        format!("Nobody was listening {unheard} times; it was sent again. Is the name of the site right?"),
    );
    let why = models.last_refusal.as_deref().map(|why| format!(" ({})", shortened(why))).unwrap_or_default();
    let refused = models.refused;
    say(
        Problem::RefusedBundles,
        refused > 0,
        format!("{refused} Modellpakete wurden abgelehnt{why}."),
        format!("{refused} model bundles were refused{why}."),
    );
    let back = models.rolled_back;
    say(
        Problem::RolledBack,
        back > 0,
        format!("{back} Modellpakete wurden nach der Umstellung zurückgenommen{why}."),
        format!("{back} model bundles were taken back after activation{why}."),
    );
    if let Some(share) = health.shadow.as_ref().and_then(disagreement) {
        let percent = (share * 10.0).floor() * 10.0;
        say(
            Problem::ShadowDisagrees,
            share >= LARGEST_DISAGREEMENT,
            format!("Das mitlaufende zweite Modell ist in mehr als {percent:.0} % der Funde anderer Meinung."),
            format!("The second model beside it disagrees on more than {percent:.0} % of the finds."),
        );
    }
    found
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
    use crate::schema::health::{DeliveryHealth, LinkHealth, ModelHealth, SpoolHealth};

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
        assert_eq!(codes(&health), PROBLEMS.map(Problem::code));
        assert_eq!(PROBLEMS.map(Problem::code).into_iter().collect::<BTreeSet<_>>().len(), PROBLEMS.len());
        let texts: Vec<Text> = concerns(&health).into_iter().map(|c| c.text).collect();
        assert!(texts.iter().all(|text| text.de != text.en));
        let evicted = &texts[2];
        assert!(evicted.en.contains("4 evidence") && !evicted.en.contains("coverage"), "{evicted:?}");
        assert!(texts.iter().any(|text| text.en.contains("(wrongsignature)")));
        assert!(texts.iter().any(|text| text.en.contains("more than 50 %")));
    }

    #[test]
    fn a_few_boxes_are_no_disagreement() {
        let shadow = ShadowHealth { only_first: LEAST_COMPARED - 1, ..ShadowHealth::default() };
        assert!(codes(&DeviceHealth { shadow: Some(shadow), ..well() }).is_empty());
    }
}
