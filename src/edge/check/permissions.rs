//! May the service read its files and devices, and does the state folder belong to it?
//!
//! A person who runs the check as root may read everything, so what root may is no answer. Then it is judged by owner, groups
//! and mode for the service: a user of its own in the groups that its unit gives it. Whoever runs the check as another user
//! is asked about directly.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::geteuid;

use super::Verdict;

/// Supplementary groups of the service's unit.
const GROUPS: [&str; 4] = ["video", "render", "dialout", "input"];
const GROUP_FILE: &str = "/etc/group";
const EXECUTE: u32 = 0o1;
const WRITE: u32 = 0o2;
const READ: u32 = 0o4;

/// Something that the service needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The key of the configuration.
    pub key: String,
    pub path: PathBuf,
    pub writes: bool,
}

impl Need {
    #[must_use]
    pub fn to_read(key: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { key: key.into(), path: path.into(), writes: false }
    }

    /// Cameras are set up by writing to them.
    #[must_use]
    pub fn to_write(key: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { writes: true, ..Self::to_read(key, path) }
    }
}

/// For whom the question is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Myself,
    Service(Identity),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identity {
    /// `None`: of nobody who owns anything.
    uid: Option<u32>,
    gids: Vec<u32>,
}

/// All that is needed, and the state folder, which the service must own.
#[must_use]
pub fn permissions_verdict(state_folder: &Path, needs: &[Need]) -> Verdict {
    let owner = fs::metadata(state_folder).ok().map(|metadata| metadata.uid());
    let who = if geteuid().is_root() {
        let groups = fs::read_to_string(GROUP_FILE).unwrap_or_default();
        // Root's own folder says nothing about who the service will be.
        Who::Service(Identity { uid: owner.filter(|uid| *uid != 0), gids: gids_of(&groups) })
    } else {
        Who::Myself
    };
    let mut wrong: Vec<String> = needs.iter().filter_map(|need| complaint(need, &who)).collect();
    wrong.extend(state_complaint(state_folder, owner, &who));
    let whose = match &who {
        Who::Myself => format!("user {}", geteuid().as_raw()),
        Who::Service(_) => "the service".to_owned(),
    };
    if wrong.is_empty() {
        let owner = owner.map_or("is not there yet".to_owned(), |uid| format!("belongs to user {uid}"));
        Verdict::Ok(format!("{whose} may use all that is configured; {} {owner}", state_folder.display()))
    } else {
        Verdict::Fail(wrong.join("; "))
    }
}

fn complaint(need: &Need, who: &Who) -> Option<String> {
    let Need { key, path, writes } = need;
    let at = path.display();
    match may_use(path, *writes, who) {
        Ok(true) => None,
        Ok(false) => Some(match group_of(path) {
            Some(group) if is_device(path) => format!(
                "{key}: {at} is for the group {group}; add it: systemctl edit umsicht-edge, [Service], \
                 SupplementaryGroups={group}; for yourself: usermod -aG {group} YOU"
            ),
            _ => format!(
                "{key}: {at} may not be read; chmod o+r it, and o+x the folders above it, or hand it over with LoadCredential="
            ),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("{key}: {at} is not there; plug the device in, or correct the path"))
        }
        Err(error) => Some(format!("{key}: {at}: {error}")),
    }
}

fn state_complaint(folder: &Path, owner: Option<u32>, who: &Who) -> Option<String> {
    let owner = owner?;
    let at = folder.display();
    match who {
        Who::Myself if rustix::fs::access(folder, Access::WRITE_OK).is_err() => Some(format!(
            "{at} belongs to user {owner} and user {} may not write there; run the check as root, or set spool.folder",
            geteuid().as_raw()
        )),
        Who::Service(_) if owner == 0 && !folder.starts_with("/var/lib/umsicht") => Some(format!(
            "{at} belongs to root, so the service cannot write there; put it below /var/lib/umsicht, which systemd hands over"
        )),
        _ => None,
    }
}

fn may_use(path: &Path, writes: bool, who: &Who) -> io::Result<bool> {
    let metadata = fs::metadata(path);
    match who {
        Who::Myself => {
            let access = if writes { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
            match rustix::fs::access(path, access) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        Who::Service(identity) => {
            let wanted = if writes { READ | WRITE } else { READ };
            let real = fs::canonicalize(path)?;
            let above = real.ancestors().skip(1);
            let reachable =
                above.map(fs::metadata).all(|m| m.is_ok_and(|m| grants(&Owned::from(&m), identity, EXECUTE)));
            Ok(reachable && grants(&Owned::from(&metadata?), identity, wanted))
        }
    }
}

/// Whom a file belongs to, and what they may do with it.
#[derive(Debug, Clone, Copy)]
struct Owned {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl From<&Metadata> for Owned {
    fn from(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() }
    }
}

/// As the kernel decides: the owner's bits, else the group's, else those of others.
fn grants(file: &Owned, identity: &Identity, wanted: u32) -> bool {
    let bits = if identity.uid == Some(file.uid) {
        file.mode >> 6
    } else if identity.gids.contains(&file.gid) {
        file.mode >> 3
    } else {
        file.mode
    };
    bits & wanted == wanted
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device())
}

fn group_of(path: &Path) -> Option<String> {
    let gid = fs::metadata(path).ok()?.gid();
    let groups = fs::read_to_string(GROUP_FILE).ok()?;
    lines_of(&groups).find(|(_, of)| *of == gid).map(|(name, _)| name.to_owned())
}

fn gids_of(groups: &str) -> Vec<u32> {
    lines_of(groups).filter(|(name, _)| GROUPS.contains(name)).map(|(_, gid)| gid).collect()
}

/// `/etc/group`: name, password, number, members.
fn lines_of(groups: &str) -> impl Iterator<Item = (&str, u32)> {
    groups.lines().filter_map(|line| {
        let mut columns = line.split(':');
        let (name, _, gid) = (columns.next()?, columns.next()?, columns.next()?);
        Some((name, gid.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn service(uid: u32) -> Identity {
        Identity { uid: Some(uid), gids: vec![44, 20] }
    }

    #[test]
    fn the_kernel_asks_owner_then_group_then_others() {
        let camera = Owned { uid: 0, gid: 44, mode: 0o20660 };
        assert!(grants(&camera, &service(64_000), READ | WRITE));
        assert!(!grants(&camera, &Identity { gids: vec![20], ..service(64_000) }, READ));
        let file = |mode| Owned { uid: 0, gid: 0, mode };
        assert!(grants(&file(0o100_644), &service(64_000), READ));
        assert!(!grants(&file(0o100_640), &service(64_000), READ));
        assert!(!grants(&file(0o100_644), &service(64_000), READ | WRITE));
        let owners = Owned { uid: 64_000, gid: 44, mode: 0o100_077 };
        assert!(!grants(&owners, &service(64_000), READ), "the owner's bits alone count for the owner");
    }

    #[test]
    fn the_package_and_this_check_name_the_same_groups() {
        let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/umsicht-edge.sysusers.conf");
        let users = fs::read_to_string(users).unwrap();
        let words = users.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let groups: Vec<&str> = words.filter(|words| words.first() == Some(&"m")).map(|words| words[2]).collect();
        assert_eq!(groups, GROUPS);
        let text = "root:x:0:\nvideo:x:44:pi\ndialout:x:20:\nnobody\ninput:x:none:\n";
        assert_eq!(gids_of(text), [44, 20]);
    }

    /// A folder that others may enter, as temporary ones are not.
    fn open_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    #[test]
    fn what_only_root_may_read_is_told_even_to_root() {
        let folder = open_folder();
        let file = folder.path().join("key");
        fs::write(&file, "secret").unwrap();
        let may = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            may_use(&file, false, &Who::Service(service(64_000))).unwrap()
        };
        assert_eq!([may(0o644), may(0o600)], [true, false]);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!may_use(&file, false, &Who::Service(service(64_000))).unwrap(), "the folder above it is closed");
        assert!(may_use(&file, true, &Who::Myself).unwrap());
    }

    #[test]
    fn what_is_missing_is_told_with_its_key() {
        let folder = open_folder();
        let need = Need::to_read("gnss.device", folder.path().join("ttyACM0"));
        let Verdict::Fail(text) = permissions_verdict(folder.path(), &[need]) else { panic!("it is not there") };
        assert!(text.contains("gnss.device: ") && text.contains("plug the device in"), "{text}");
        let null = Need::to_write("camera.front.device", "/dev/null");
        let state = folder.path().join("not/yet");
        assert!(matches!(permissions_verdict(&state, &[null]), Verdict::Ok(_)));
    }
}
