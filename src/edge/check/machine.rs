//! The machine: its disk, clock and heat, and whether the port for status and metrics is free.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use super::Verdict;
use crate::edge::local::LocalConfig;
use crate::edge::machine::{self, CLOCK_OFF_SECONDS, Disk, HOT_CELSIUS, Roots, WARM_CELSIUS};

/// Lies there while systemd-timesyncd has set the clock in this run of the system.
pub const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Nothing here is older than this program.
const FIRST_PLAUSIBLE_YEAR: i32 = 2026;
/// Beside the spool, the log and updates need room.
const LEAST_FREE_BYTES: u64 = 256 << 20;

/// The disk of the state folder.
#[must_use]
pub fn disk_verdict(folder: &Path, quota_bytes: u64) -> Verdict {
    match Disk::of(folder) {
        Ok(disk) => of_disk(folder, disk, quota_bytes),
        Err(error) => Verdict::Fail(format!("{}: {error}; is the disk mounted?", folder.display())),
    }
}

fn of_disk(folder: &Path, disk: Disk, quota_bytes: u64) -> Verdict {
    let (free, total) = (disk.free_bytes >> 20, disk.total_bytes >> 20);
    let text = format!("{free} of {total} MiB free where {} lies", folder.display());
    if disk.read_only {
        return Verdict::Fail(format!(
            "{text}, but it is read-only; dmesg shows why: a card that the system has set to read-only is worn out, replace it"
        ));
    }
    if disk.free_bytes < LEAST_FREE_BYTES {
        return Verdict::Fail(format!("{text}; make room: journalctl --vacuum-size=100M, apt-get clean"));
    }
    if disk.free_bytes < quota_bytes.saturating_add(LEAST_FREE_BYTES) {
        let quota = quota_bytes >> 20;
        return Verdict::Warn(format!("{text}; spool.quota_bytes may take {quota} MiB: lower it, or make room"));
    }
    Verdict::Ok(text)
}

/// `gnss_ahead`: GNSS time less the system's clock in seconds, where there is a fix.
#[must_use]
pub fn clock_verdict(now: OffsetDateTime, synchronised: bool, gnss_ahead: Option<f64>) -> Verdict {
    let said = format!(
        "{:04}-{:02}-{:02} {:02}:{:02} UTC",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute()
    );
    if let Some(ahead) = gnss_ahead {
        return if ahead.abs() > CLOCK_OFF_SECONDS {
            Verdict::Warn(format!(
                "{said} is {:.0} s {} GNSS time; events take their times from GNSS, the log does not: timedatectl set-ntp true",
                ahead.abs(),
                if ahead > 0.0 { "behind" } else { "ahead of" }
            ))
        } else {
            Verdict::Ok(format!("{said}, as GNSS says"))
        };
    }
    if now.year() < FIRST_PLAUSIBLE_YEAR {
        return Verdict::Fail(format!(
            "{said} cannot be: the clock was not set; give the device a network or a fix, and check the clock's battery"
        ));
    }
    if synchronised {
        Verdict::Ok(format!("{said}, synchronised"))
    } else {
        Verdict::Warn(format!(
            "{said}; that it is right cannot be told without a fix: timedatectl shows it (\"System clock synchronized\"), and \
             timedatectl set-ntp true keeps it so"
        ))
    }
}

#[must_use]
pub fn temperature_verdict(roots: &Roots) -> Verdict {
    let Some(hottest) = machine::hottest(roots) else {
        return Verdict::Ok("this machine tells none".into());
    };
    let text = format!("{:.0} °C at {}", hottest.celsius, hottest.place);
    let to_do = "give it air, move it out of the sun and away from the heater";
    match hottest.celsius {
        celsius if celsius >= HOT_CELSIUS => Verdict::Fail(format!("{text}: it switches itself off soon; {to_do}")),
        celsius if celsius >= WARM_CELSIUS => Verdict::Warn(format!("{text}: it slows itself down soon; {to_do}")),
        _ => Verdict::Ok(text),
    }
}

/// The port is free, or the service itself has it.
#[must_use]
pub fn local_verdict(local: LocalConfig) -> Verdict {
    let address = local.listen;
    match TcpListener::bind(address) {
        Ok(_) => Verdict::Ok(format!("{address} is free for status and metrics")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && answers_as_umsicht(local) => {
            Verdict::Ok(format!("the service runs and answers at {address}"))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => Verdict::Fail(format!(
            "another program has {address}; ss -ltnp shows which: stop it, or set [local] listen to another port"
        )),
        Err(error) => Verdict::Fail(format!("{address}: {error}; set [local] listen = \"127.0.0.1:9110\"")),
    }
}

fn answers_as_umsicht(local: LocalConfig) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&local.listen, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /recording HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", local.listen)?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains("{\"on\":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn kind(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Ok(_) => "ok",
            Verdict::Warn(_) => "warn",
            Verdict::Fail(_) => "fail",
        }
    }

    #[test]
    fn a_disk_must_hold_the_spool_and_more() {
        let disk = |free_mib: u64, read_only| {
            let disk = Disk { free_bytes: free_mib << 20, total_bytes: 1 << 40, read_only };
            kind(&of_disk(Path::new("/var/lib/umsicht"), disk, 256 << 20))
        };
        assert_eq!(
            [disk(600, false), disk(400, false), disk(100, false), disk(600, true)],
            ["ok", "warn", "fail", "fail"]
        );
        assert!(matches!(disk_verdict(Path::new("/"), 0), Verdict::Ok(_) | Verdict::Warn(_) | Verdict::Fail(_)));
    }

    #[test]
    fn a_clock_is_right_when_gnss_or_the_time_service_says_so() {
        let now = datetime!(2026-11-20 10:00 UTC);
        let said = |now, synchronised, ahead| kind(&clock_verdict(now, synchronised, ahead));
        assert_eq!([said(now, true, None), said(now, false, None), said(now, false, Some(0.4))], ["ok", "warn", "ok"]);
        assert_eq!(said(now, true, Some(7200.0)), "warn", "synchronised with something wrong");
        assert_eq!(said(datetime!(1970-01-01 00:01 UTC), true, None), "fail");
        let Verdict::Warn(text) = clock_verdict(now, true, Some(-7200.0)) else { panic!("it is wrong") };
        assert!(text.contains("7200 s ahead of GNSS time"), "{text}");
    }

    #[test]
    fn heat_is_told_before_it_harms() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { sys: folder.path().to_owned(), ..Roots::default() };
        assert_eq!(kind(&temperature_verdict(&roots)), "ok", "a machine that tells none");
        let zone = folder.path().join("class/thermal/thermal_zone0");
        std::fs::create_dir_all(&zone).unwrap();
        let at = |millis: &str| {
            std::fs::write(zone.join("temp"), millis).unwrap();
            kind(&temperature_verdict(&roots))
        };
        assert_eq!([at("60000"), at("75000"), at("85000")], ["ok", "warn", "fail"]);
    }

    #[test]
    fn a_port_that_another_program_has_is_told() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = LocalConfig { listen: other.local_addr().unwrap() };
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        });
        let Verdict::Fail(text) = local_verdict(local) else { panic!("it is taken") };
        assert!(text.contains("another program has"), "{text}");
        answering.join().unwrap();
        assert_eq!(kind(&local_verdict(LocalConfig { listen: "127.0.0.1:0".parse().unwrap() })), "ok");
    }
}
