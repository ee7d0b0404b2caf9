//! The import order is the flow of an event: a module uses only what stands above it, and edge and central never meet.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Top level, in order. `edge` and `central` share a rank: neither may use the other.
const TOP: &[&[&str]] = &[
    &["clock"],
    &["failure"],
    &["geo"],
    &["schema"],
    &["config"],
    &["mqtt"],
    &["edge", "central"],
    &["models"],
    &["world"],
    &["demo"],
    &["cli"],
];

/// Inside `edge`, in order. `locate` stands before `track` because tracks live on the ground.
const EDGE: &[&str] = &[
    "device_clock",
    "machine",
    "vehicle",
    "status",
    "local",
    "reload",
    "watchdog",
    "camera",
    "detection",
    "fix",
    "yuv",
    "zones",
    "frame",
    "source",
    "blind",
    "infer",
    "preprocess",
    "postprocess",
    "extent",
    "detector",
    "mask",
    "golden",
    "locate",
    "anonymise",
    "track",
    "judge",
    "danger",
    "cell",
    "coverage",
    "report",
    "pass",
    "batch",
    "spool",
    "link",
    "publish",
    "config",
    "calibrate",
    "shadow",
    "update",
    "pipeline",
    "health",
    "check",
    "status_cli",
    "replay",
    "bench",
    "commission",
    "run",
    "cli",
];

/// Inside `central`, in order.
const CENTRAL: &[&str] = &[
    "model",
    "testing",
    "profile",
    "grade",
    "prioritise",
    "network",
    "associate",
    "assess",
    "config",
    "store",
    "devices",
    "message",
    "ingest",
    "export",
    "api",
    "ui",
    "replay",
    "training",
    "shares",
    "enrol",
    "purge",
    "serve",
    "cli",
];

#[test]
fn modules_use_only_what_stands_above_them() {
    let mut wrong = BTreeSet::new();
    for (file, module) in source_files() {
        let text = without_tests(&fs::read_to_string(&file).expect("source files are readable"));
        for used in imports(&text, &module) {
            if let Some(why) = forbidden(&module, &used) {
                wrong.insert(format!("{}: {} uses {}: {why}", file.display(), module.join("::"), used.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let mut missing = BTreeSet::new();
    for (_, module) in source_files() {
        let place = match module.first().map(String::as_str) {
            None => continue,
            Some("edge") if module.len() > 1 => EDGE.contains(&module[1].as_str()),
            Some("central") if module.len() > 1 => CENTRAL.contains(&module[1].as_str()),
            Some(top) => rank(TOP, top).is_some(),
        };
        if !place {
            missing.insert(module.join("::"));
        }
    }
    assert!(missing.is_empty(), "not in the order of tests/architecture.rs: {missing:?}");
}

#[test]
fn the_check_itself_sees_nested_imports() {
    let module = ["edge", "track"].map(String::from);
    let found = imports("use crate::{geo::LatLon, central::{store::Store, model}}; use super::locate as l;", &module);
    let found: Vec<String> = found.iter().map(|p| p.join("::")).collect();
    assert_eq!(found, ["geo::LatLon", "central::store::Store", "central::model", "edge::locate"]);
    assert!(forbidden(&module, &["central".into(), "store".into()]).is_some());
    assert!(forbidden(&module, &["edge".into(), "spool".into()]).is_some());
    assert!(forbidden(&module, &["edge".into(), "locate".into()]).is_none());
}

fn forbidden(module: &[String], used: &[String]) -> Option<&'static str> {
    let (from, to) = (module.first()?, used.first()?);
    if from != to {
        let (from_rank, to_rank) = (rank(TOP, from)?, rank(TOP, to)?);
        return match from_rank.cmp(&to_rank) {
            std::cmp::Ordering::Less => Some("it stands below in the flow"),
            std::cmp::Ordering::Equal => Some("edge and central meet in schema alone"),
            std::cmp::Ordering::Greater => None,
        };
    }
    let order: &[&str] = match from.as_str() {
        "edge" => EDGE,
        "central" => CENTRAL,
        _ => return None,
    };
    let (from, to) = (module.get(1)?, used.get(1)?);
    let from_rank = order.iter().position(|m| m == from)?;
    let to_rank = order.iter().position(|m| m == to)?;
    (from_rank < to_rank).then_some("it stands below in the flow")
}

fn rank(levels: &[&[&str]], module: &str) -> Option<usize> {
    levels.iter().position(|level| level.contains(&module))
}

/// Every source file with its module path; `lib.rs`, `main.rs` and `build.rs` stand outside the order.
fn source_files() -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 10, "the source folder was not found");
    found
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<(PathBuf, Vec<String>)>) {
    for entry in fs::read_dir(folder).expect("source folders are readable") {
        let path = entry.expect("directory entries are readable").path();
        if path.is_dir() {
            collect(&path, root, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let relative = path.strip_prefix(root).expect("below the root").with_extension("");
            let mut module: Vec<String> = relative.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|m| m == "mod") {
                module.pop();
            }
            // Unit tests in a file of their own may use whatever they need, as those at the end of a file.
            let is_tests = module.last().is_some_and(|m| m == "tests");
            if !is_tests && !matches!(module.first().map(String::as_str), Some("lib" | "main")) {
                found.push((path, module));
            }
        }
    }
}

/// Unit tests at the end of a file may use whatever they need.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Paths that start with `crate::` or `super::`, expanded and seen from the crate's root.
fn imports(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        expand(&code[at + "crate::".len()..], Vec::new(), &mut found);
    }
    for (at, _) in code.match_indices("super::") {
        if !code[..at].ends_with("super::") {
            let levels = 1 + code[at + "super::".len()..].split("super::").take_while(|s| s.is_empty()).count();
            let parent = module[..module.len().saturating_sub(levels)].to_vec();
            expand(&code[at + levels * "super::".len()..], parent, &mut found);
        }
    }
    found
}

/// Expands `a::{b, c::d}` behind a known prefix; returns the rest of the text.
fn expand<'t>(mut text: &'t str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> &'t str {
    loop {
        if let Some(inner) = text.strip_prefix('{') {
            let mut rest = inner.trim_start();
            while !rest.starts_with('}') && !rest.is_empty() {
                rest = expand(rest, path.clone(), found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            let skipped = rest.chars().next().map_or(0, char::len_utf8);
            return &rest[skipped..];
        }
        path.push(name.to_owned());
        if let Some(next) = rest.strip_prefix("::") {
            text = next;
        } else {
            found.push(path);
            let renamed = rest.trim_start().strip_prefix("as ");
            return renamed.map_or(rest, |r| r.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
        }
    }
}
