//! A WebSocket in front of a broker that has none of its own (Debian's Mosquitto is built without): RFC 6455, as much of it
//! as MQTT needs, with or without TLS.

use std::sync::Arc;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rumqttc::tokio_rustls::TlsAcceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Starts it and returns its port. Needs a running tokio runtime.
pub async fn websocket(behind: u16, tls: Option<Arc<rustls::ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    Some(config) => relay(TlsAcceptor::from(config).accept(client).await?, behind).await,
                    None => relay(client, behind).await,
                }
            });
        }
    });
    port
}

async fn relay(mut client: impl AsyncRead + AsyncWrite + Unpin, behind: u16) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    assert!(head.starts_with("GET /mqtt HTTP/1.1"), "{head}");
    assert_eq!(header("sec-websocket-protocol:").as_deref(), Some("mqtt"));
    let key = header("sec-websocket-key:").unwrap() + GUID;
    let accept = base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()).as_ref());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    client.write_all(answer.as_bytes()).await?;
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_broker, mut to_broker) = TcpStream::connect(("127.0.0.1", behind)).await?.into_split();
    let up = async {
        while let Some(bytes) = frame(&mut from_client).await? {
            to_broker.write_all(&bytes).await?;
        }
        Ok(())
    };
    let down = async {
        let mut bytes = vec![0; 32 * 1024];
        loop {
            let length = from_broker.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            // Final, binary, with a length of two bytes.
            to_client.write_all(&[0x82, 126, (length >> 8) as u8, length as u8]).await?;
            to_client.write_all(&bytes[..length]).await?;
            to_client.flush().await?;
        }
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

/// What one frame of the client holds; `None` when it says goodbye.
async fn frame(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let kind = from.read_u8().await? & 0x0f;
    let short = from.read_u8().await?;
    assert!(short & 0x80 != 0, "clients mask what they send");
    let length = match short & 0x7f {
        126 => usize::from(from.read_u16().await?),
        127 => from.read_u64().await? as usize,
        length => usize::from(length),
    };
    let mut mask = [0; 4];
    from.read_exact(&mut mask).await?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    bytes.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(match kind {
        8 => None,
        9 | 10 => Some(Vec::new()),
        _ => Some(bytes),
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().chain([0; 2].iter()).take(3).fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place > chunk.len() { '=' } else { letter });
        }
    }
    text
}
