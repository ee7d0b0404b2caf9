//! Every `--help` is looked at when it changes: one snapshot for each command. `INSTA_UPDATE=always` writes them anew.

use std::collections::BTreeSet;

use clap::CommandFactory;

use crate::support::umsicht;

#[test]
fn every_help_is_as_reviewed() {
    let mut command = umsicht::cli::Cli::command();
    command.build();
    let mut paths = vec![Vec::new()];
    collect(&command, &mut Vec::new(), &mut paths);
    assert!(paths.len() > 4, "the commands were not found");
    for path in paths {
        let output = umsicht().args(&path).arg("--help").env("COLUMNS", "100").output().unwrap();
        assert!(output.status.success(), "{path:?}");
        let name = if path.is_empty() { "help".to_owned() } else { format!("help_{}", path.join("_")) };
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

fn collect(command: &clap::Command, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        path.push(sub.get_name().to_owned());
        paths.push(path.clone());
        collect(sub, path, paths);
        path.pop();
    }
}

#[test]
fn wrong_usage_ends_with_64_and_the_version_names_the_commit() {
    for arguments in [&["edge", "replay"][..], &["fly"], &["--loud"], &[]] {
        let output = umsicht().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    let output = umsicht().arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("umsicht {}", umsicht::VERSION));
    assert!(umsicht::VERSION.contains(umsicht::COMMIT));
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let mut command = umsicht::cli::Cli::command();
    command.build();
    let mut paths = vec![Vec::new()];
    collect(&command, &mut Vec::new(), &mut paths);
    let wanted: BTreeSet<String> = paths
        .iter()
        .map(|path| format!("{}.1", [&["umsicht".to_owned()], path.as_slice()].concat().join("-")))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let output = umsicht().args(["manual", "--out"]).arg(&pages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap());
    let written: BTreeSet<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    assert_eq!(written, wanted);
    let page = std::fs::read_to_string(pages.join("umsicht-edge-check.1")).unwrap();
    assert!(page.contains("Exit codes: 0 all is in place"), "{page}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = umsicht().args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["check", "config", "import-network"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
}
