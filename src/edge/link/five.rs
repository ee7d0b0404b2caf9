//! MQTT 5.

use std::io;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, ConnectReturnCode, LastWill, Packet, PubAckReason, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as PacketError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};

use super::{LinkError, LinkEvent, Settings, Verdict, VersionDoubt};
use crate::mqtt::Way;

pub(super) const QOS: QoS = QoS::AtLeastOnce;
/// The library keeps a place for each packet id up to this; its default of 65,535 costs megabytes for each connection.
const MAX_IN_FLIGHT: u16 = 100;

pub(super) fn open(way: Way, settings: &Settings) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(settings.client_id, way.host, way.port);
    let properties =
        ConnectProperties { max_packet_size: Some(settings.max_incoming_bytes), ..ConnectProperties::default() };
    options
        .set_transport(way.transport)
        .set_keep_alive(settings.keep_alive)
        .set_connection_timeout(settings.connect_timeout.as_secs())
        .set_clean_start(true)
        .set_connect_properties(properties)
        .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT);
    if let Some((topic, text)) = &settings.last_will {
        options.set_last_will(LastWill::new(topic.clone(), *text, QOS, true, None));
    }
    if let Some((user_name, password)) = way.user_name_and_password {
        options.set_credentials(user_name, password);
    }
    AsyncClient::new(options, settings.queue)
}

pub(super) fn event(event: Event) -> LinkEvent {
    match event {
        Event::Incoming(Packet::ConnAck(answer)) => {
            LinkEvent::Connected { max_packet_bytes: answer.properties.and_then(|p| p.max_packet_size) }
        }
        Event::Incoming(Packet::PubAck(answer)) => LinkEvent::Acked(answer.pkid, verdict(answer.reason)),
        Event::Incoming(Packet::Publish(message)) => LinkEvent::Incoming {
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            payload: message.payload.to_vec(),
        },
        Event::Incoming(Packet::SubAck(answer)) => {
            for reason in answer.return_codes {
                if !matches!(reason, SubscribeReasonCode::Success(_)) {
                    tracing::warn!("the broker does not let this device subscribe to its commands: {reason:?}");
                }
            }
            LinkEvent::SignOfLife
        }
        Event::Incoming(_) => LinkEvent::SignOfLife,
        Event::Outgoing(Outgoing::Publish(packet_id)) => LinkEvent::Sent(packet_id),
        Event::Outgoing(Outgoing::Disconnect) => LinkEvent::Disconnected,
        Event::Outgoing(_) => LinkEvent::Other,
    }
}

fn verdict(reason: PubAckReason) -> Verdict {
    match reason {
        PubAckReason::Success => Verdict::Taken,
        PubAckReason::NoMatchingSubscribers => Verdict::Unheard,
        reason => Verdict::Refused(format!("{reason:?}")),
    }
}

pub(super) fn error(error: &ConnectionError) -> LinkError {
    let version = match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion,
        ) => VersionDoubt::Said,
        ConnectionError::NotConnAck(_) | ConnectionError::MqttState(StateError::ConnectionAborted) => {
            VersionDoubt::Possible
        }
        // Encryption fails with invalid data; that says nothing about what would be spoken inside.
        ConnectionError::MqttState(StateError::Deserialization(PacketError::Io(e)) | StateError::Io(e))
            if e.kind() == io::ErrorKind::InvalidData =>
        {
            VersionDoubt::None
        }
        ConnectionError::MqttState(StateError::Deserialization(_) | StateError::Io(_)) => VersionDoubt::Possible,
        _ => VersionDoubt::None,
    };
    LinkError { text: error.to_string(), version }
}
