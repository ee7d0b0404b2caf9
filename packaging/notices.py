"""Prints licences and notices of everything that is linked or built into the program, as their authors ask for.

    python3 packaging/notices.py --features edge,ort --target x86_64-unknown-linux-gnu

Crates come from `cargo metadata`, packages of the user interface from ui/package-lock.json when `central` is among the
features. Texts that several share are printed once.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = re.compile(r"(licen[cs]e|copying|notice|unlicense)([-_.].*)?$", re.IGNORECASE)


def crates(features, target):
    """Name and version, licence and folder of each crate that the program is linked with."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--no-default-features",
               "--features", features, "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    reached, left = set(), [metadata["resolve"]["root"]]
    while left:
        package = left.pop()
        if package in reached:
            continue
        reached.add(package)
        for dependency in nodes[package]["deps"]:
            # Those with a kind only build or test.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                left.append(dependency["pkg"])
    for package in reached - {metadata["resolve"]["root"]}:
        package = packages[package]
        folder = pathlib.Path(package["manifest_path"]).parent
        yield f"{package['name']} {package['version']}", package["license"] or "see its text", folder


def user_interface():
    """The same of each package that the browser gets."""
    lock = json.loads((ROOT / "ui/package-lock.json").read_text(encoding="utf-8"))
    for path, package in lock["packages"].items():
        if path and not package.get("dev"):
            name = path.rpartition("node_modules/")[2]
            yield f"{name} {package['version']}", package.get("license", "see its text"), ROOT / "ui" / path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", required=True)
    parser.add_argument("--target", required=True)
    arguments = parser.parse_args()
    found = set(crates(arguments.features, arguments.target))
    if "central" in arguments.features.split(","):
        found |= set(user_interface())

    users = collections.defaultdict(list)
    print("This program contains the following, and the Rust standard library (MIT OR Apache-2.0).\n")
    for name, licence, folder in sorted(found):
        print(f"{name}: {licence}")
        for file in sorted(folder.iterdir()) if folder.is_dir() else []:
            if file.is_file() and TEXTS.match(file.name):
                users[file.read_text(encoding="utf-8", errors="replace").strip()].append(name)
    for text, names in sorted(users.items(), key=lambda item: item[1]):
        sys.stdout.write(f"\n{'=' * 80}\n{', '.join(dict.fromkeys(names))}\n{'-' * 80}\n{text}\n")


if __name__ == "__main__":
    main()
