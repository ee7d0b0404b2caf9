//! Cameras in the network: a real RTSP server that can be killed and stopped, and two that send rubbish.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process};

use super::mosquitto::free_port;

/// Debian's, which sees Debian's `python3-gi`.
const PYTHON: &str = "/usr/bin/python3";

/// GStreamer's RTSP server with a moving test picture, 160×120 at 20 a second unless its arguments say otherwise.
pub struct RtspServer {
    port: u16,
    process: Option<Child>,
}

impl RtspServer {
    /// `None`, said loudly, where it is not installed.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let probe = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); \
                     from gi.repository import Gst, GstRtspServer; Gst.init(None); \
                     exit(None in map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'avdec_h264')))";
        let probed = Command::new(PYTHON).args(["-c", probe]).stderr(Stdio::null()).status();
        if !probed.is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED: there is no RTSP server, this promise was not tested (apt-get install python3-gi \
                 gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp gstreamer1.0-plugins-ugly gstreamer1.0-libav)"
            );
            return None;
        }
        let mut server = Self { port: free_port(), process: None };
        server.restart(arguments);
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/front", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As a power cut does it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn restart(&mut self, arguments: &[&str]) {
        self.kill();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/rtsp_server.py");
        let mut process = Command::new(PYTHON)
            .arg(script)
            .args(["--port", &self.port.to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the RTSP server does not start");
        self.process = Some(process);
    }

    /// Keeps its connections, and does nothing any more.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap();
        kill_process(Pid::from_child(process), signal).unwrap();
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that answers whoever comes with random bytes, for as long as he listens. Returns the address to ask.
pub fn babbling_port() -> String {
    on_each_connection(|mut peer| while peer.write_all(&random(4096)).is_ok() {})
}

/// A camera that speaks RTSP as it should and describes a stream of this encoding, but whose packets hold random bytes.
pub fn camera_of_random_packets(payload_type: u8, encoding: &'static str) -> String {
    on_each_connection(move |peer| {
        // A peer that hangs up ends it.
        let _ = serve(peer, payload_type, encoding);
    })
}

fn on_each_connection(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(peer));
        }
    });
    format!("rtsp://{address}/front")
}

fn serve(mut peer: TcpStream, payload_type: u8, encoding: &str) -> std::io::Result<()> {
    let mut requests = BufReader::new(peer.try_clone()?);
    loop {
        let (mut method, mut number) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if requests.by_ref().take(4096).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("CSeq:") {
                number = value.trim().to_owned();
            }
            if method.is_empty() {
                method = line.split(' ').next().unwrap_or_default().to_owned();
            }
        }
        let (header, body) = match method.as_str() {
            "OPTIONS" => ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", String::new()),
            "DESCRIBE" => (
                "Content-Type: application/sdp\r\n",
                format!(
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=front\r\nt=0 0\r\nm=video 0 RTP/AVP {payload_type}\r\n\
                     c=IN IP4 127.0.0.1\r\na=rtpmap:{payload_type} {encoding}/90000\r\na=control:video\r\n"
                ),
            ),
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", String::new()),
            _ => ("", String::new()),
        };
        let length = body.len();
        let answer = format!(
            "RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n{header}Content-Length: {length}\r\n\r\n{body}"
        );
        peer.write_all(answer.as_bytes())?;
        if method == "PLAY" {
            return send_random_packets(peer, payload_type);
        }
    }
}

/// RTP in RTSP's frames (RFC 2326 § 10.12, RFC 3550 § 5.1): only the headers make sense.
fn send_random_packets(mut peer: TcpStream, payload_type: u8) -> std::io::Result<()> {
    for number in 0_u16.. {
        let payload = random(rand::rng().random_range(1..1200));
        let mut packet = vec![b'$', 0];
        packet.extend(u16::try_from(12 + payload.len()).unwrap().to_be_bytes());
        // Every fourth packet ends a picture.
        let marker = if number % 4 == 3 { 0x80 } else { 0 };
        packet.extend([0x80, payload_type | marker]);
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number / 4) * 3600).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.extend(payload);
        peer.write_all(&packet)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn random(length: usize) -> Vec<u8> {
    let mut dice = rand::rng();
    (0..length).map(|_| dice.random()).collect()
}
