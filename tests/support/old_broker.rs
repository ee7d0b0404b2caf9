//! A broker that speaks MQTT 3.1.1 only: a relay before a real one that turns away everybody who asks for 5.

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How it turns them away; all three are found among brokers.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    /// As MQTT 5 asks for: "unsupported protocol version".
    InFive,
    /// As MQTT 3.1.1 asks for: "unacceptable protocol version", in a packet that is none in 5.
    InThree,
    /// Without a word.
    Silent,
}

/// Starts the relay and returns its port. Needs a running tokio runtime.
pub async fn old_broker(behind: u16, refusal: Refusal) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay(client, behind, refusal));
        }
    });
    port
}

async fn relay(mut client: TcpStream, behind: u16, refusal: Refusal) -> std::io::Result<()> {
    let mut greeting = vec![0; 1024];
    let length = client.read(&mut greeting).await?;
    greeting.truncate(length);
    // Type, length in one or two bytes, "MQTT" with its length, then the version.
    let name = greeting.windows(4).position(|bytes| bytes == b"MQTT").expect("a greeting in one piece");
    if greeting[name + 4] == 5 {
        match refusal {
            Refusal::InFive => client.write_all(&[0x20, 3, 0, 0x84, 0]).await?,
            Refusal::InThree => client.write_all(&[0x20, 2, 0, 1]).await?,
            Refusal::Silent => {}
        }
        return Ok(());
    }
    let mut broker = TcpStream::connect(("127.0.0.1", behind)).await?;
    broker.write_all(&greeting).await?;
    copy_bidirectional(&mut client, &mut broker).await?;
    Ok(())
}
