//! MQTT 3.1.1. An acknowledgement says "taken" and nothing else.

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, QoS,
    SubscribeReasonCode,
};

use super::{LinkError, LinkEvent, Settings, Verdict, VersionDoubt};
use crate::mqtt::Way;

pub(super) const QOS: QoS = QoS::AtLeastOnce;

pub(super) fn open(way: Way, settings: &Settings) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(settings.client_id, way.host, way.port);
    options
        .set_transport(way.transport)
        .set_keep_alive(settings.keep_alive)
        .set_clean_session(true)
        .set_max_packet_size(settings.max_incoming_bytes as usize, settings.max_outgoing_bytes as usize);
    if let Some((topic, text)) = &settings.last_will {
        options.set_last_will(LastWill::new(topic.clone(), *text, QOS, true));
    }
    if let Some((user_name, password)) = way.user_name_and_password {
        options.set_credentials(user_name, password);
    }
    let (client, mut connection) = AsyncClient::new(options, settings.queue);
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(settings.connect_timeout.as_secs());
    connection.set_network_options(network);
    (client, connection)
}

pub(super) fn event(event: Event) -> LinkEvent {
    match event {
        Event::Incoming(Packet::ConnAck(_)) => LinkEvent::Connected { max_packet_bytes: None },
        Event::Incoming(Packet::PubAck(answer)) => LinkEvent::Acked(answer.pkid, Verdict::Taken),
        Event::Incoming(Packet::Publish(message)) => {
            LinkEvent::Incoming { topic: message.topic, payload: message.payload.to_vec() }
        }
        Event::Incoming(Packet::SubAck(answer)) => {
            if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                tracing::warn!("the broker does not let this device subscribe to its commands");
            }
            LinkEvent::SignOfLife
        }
        Event::Incoming(_) => LinkEvent::SignOfLife,
        Event::Outgoing(Outgoing::Publish(packet_id)) => LinkEvent::Sent(packet_id),
        Event::Outgoing(Outgoing::Disconnect) => LinkEvent::Disconnected,
        Event::Outgoing(_) => LinkEvent::Other,
    }
}

pub(super) fn error(error: &ConnectionError) -> LinkError {
    LinkError { text: error.to_string(), version: VersionDoubt::None }
}
