//! An item that the broker does not take is counted, stays in the spool and keeps no other from leaving: whether the broker
//! says so, says so in words the client library does not know, or just hangs up.

use umsicht::edge::publish::PublishStats;
use umsicht::mqtt::BrokerAddress;

use crate::support::device::{Device, arrive};
use crate::support::mosquitto::{Mosquitto, collect, free_port};
use crate::support::old_broker::{Refusal, old_broker};
use crate::support::{damage, picture};

/// Commits a damage with a picture that the broker will not take, waits until that is counted, and sees later events arrive.
async fn events_go_on(device_port: u16, collector_port: u16, counted: fn(&PublishStats) -> bool) -> PublishStats {
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(collector_port);
    collected.listens().await;
    let mut device = Device::start(folder.path(), BrokerAddress::plain("127.0.0.1", device_port));
    let mut expected = device.commit(0..5);
    expected.extend(device.spool.commit(vec![damage(5, Some(picture()))]).unwrap());
    device.counts(counted).await;
    expected.extend(device.commit(6..20));
    arrive(&collected, &expected).await;
    let stats = *device.stats.borrow();
    device.stop().await;
    let left = umsicht::edge::spool::Spool::open(folder.path(), crate::support::SMALL_SPOOL).unwrap().0;
    assert_eq!(left.len(), 1, "the picture is kept");
    stats
}

fn start(more: &str) -> Option<Mosquitto> {
    let port = free_port();
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n{more}\n");
    Mosquitto::configured(port, |_| text)
}

async fn the_rules_forbid(more: &str) -> Option<PublishStats> {
    let (port, plain_port) = (free_port(), free_port());
    let broker = Mosquitto::configured(port, |folder| {
        let rules = folder.join("rules");
        std::fs::write(&rules, "topic write umsicht/1/soest/road/event/+\ntopic umsicht/1/soest/bauhof-3/#\n").unwrap();
        format!(
            "per_listener_settings true\n{more}\nlistener {plain_port} 127.0.0.1\nallow_anonymous true\n\
             listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}\n",
            rules.display()
        )
    })?;
    let stats = events_go_on(port, plain_port, |stats| stats.refused > 0).await;
    drop(broker);
    assert_eq!(stats.refused, 1, "it is counted once: {stats:?}");
    Some(stats)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_forbid_stays() {
    let Some(stats) = the_rules_forbid("").await else { return };
    assert_eq!(stats.connections, 1, "nothing breaks: {stats:?}");
}

/// Mosquitto 2.0.11 says "not authorised" and then hangs up, with this setting, which is a common one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_refuses_and_hangs_up_on_stays() {
    let Some(stats) = the_rules_forbid("max_queued_messages 0").await else { return };
    assert!((2..=3).contains(&stats.connections), "it is not tried on each connection: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_larger_than_announced_stays() {
    let Some(broker) = start("max_packet_size 3000") else { return };
    let stats = events_go_on(broker.port(), broker.port(), |stats| stats.too_large > 0).await;
    assert_eq!((stats.too_large, stats.connections), (1, 1), "it is never even sent: {stats:?}");
}

/// Mosquitto answers here with a reason that the client library takes for a broken packet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_larger_than_a_limit_that_was_not_announced_stays() {
    let Some(broker) = start("message_size_limit 3000") else { return };
    let stats = events_go_on(broker.port(), broker.port(), |stats| stats.refused > 0).await;
    assert!(stats.connections > 3, "{stats:?}");
}

/// In 3.1.1 a broker hangs up on what is too large for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_old_broker_hangs_up_on_stays() {
    let Some(broker) = start("max_packet_size 3000") else { return };
    let old = old_broker(broker.port(), Refusal::InFive).await;
    let stats = events_go_on(old, broker.port(), |stats| stats.refused > 0).await;
    assert!(stats.connections > 3, "{stats:?}");
}
