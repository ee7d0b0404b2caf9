# shellcheck shell=bash
# The environment of every make target: where things are cached and which tools are used.
# Sourced, never run. Sets nothing that the caller has set already.

umsicht_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export UMSICHT_CACHE=${UMSICHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/umsicht}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$UMSICHT_CACHE/target}

# shellcheck disable=SC2034 # prepare.sh uses it
UMSICHT_RUST_MINIMUM=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$umsicht_root/Cargo.toml")
UMSICHT_NODE_MINIMUM=$(sed -n 's/.*"node": ">=\([0-9.]*\)".*/\1/p' "$umsicht_root/ui/package.json" 2>/dev/null || true)
ORT_VERSION=$(sed -n 's/^onnxruntime==\([0-9.]*\).*/\1/p' "$umsicht_root/scripts/wheels-onnxruntime.txt")
ORT_FOLDER=$UMSICHT_CACHE/onnxruntime/$ORT_VERSION-$(uname -m)
NODE_FOLDER=$UMSICHT_CACHE/node
# Whatever ONNX Runtime is found, it reports to nobody. The program sets this itself and starts anew, which an emulator cannot.
export ORT_DISABLE_TELEMETRY=1
# A test compares our average precision with that of pycocotools when this folder holds it.
export UMSICHT_PYCOCOTOOLS=${UMSICHT_PYCOCOTOOLS:-$UMSICHT_CACHE/pycocotools}

# The last link of what goes onto a device, by LLVM's linker (package lld-16): equal functions once, and relocations packed as
# glibc 2.36 and newer read them, of which Debian 12 is the first. It takes 8 % off the program and compiles nothing anew.
# shellcheck disable=SC2034 # deb.sh and arm64.sh use it
small_link=(-C link-arg=-fuse-ld=lld -C link-arg=-B/usr/lib/llvm-16/bin -C link-arg=-Wl,--icf=all,-z,pack-relative-relocs)

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

# stop CODE MESSAGE…: exit codes follow the binary's: 64 usage, 69 something needed is missing, 70 a bug.
stop() {
    local code=$1
    shift
    printf 'stopped: %s\n' "$*" >&2
    exit "$code"
}

# at_least WANTED FOUND: is version FOUND the same as WANTED or newer?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# fetch_wheel REQUIREMENTS FOLDER MACHINE: the pinned wheel, checked by pip against its sha256.
# The Python version is fixed, so that the same file is taken whatever Python this system has.
fetch_wheel() {
    python3 -m pip download -q --no-deps --only-binary :all: --require-hashes --python-version 3.11 \
        --platform "manylinux_2_28_$3" --platform "manylinux_2_17_$3" \
        -d "$2" -r "$umsicht_root/scripts/$1" ||
        stop 69 "pip could not fetch what scripts/$1 pins; its message stands above"
}

# Empty when there is none.
rust_version() { { rustc --version 2>/dev/null || true; } | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }
node_version() { { node --version 2>/dev/null || true; } | sed -n 's/^v//p'; }

# A Rust or Node.js that was installed for this user, but is not on the PATH of this shell.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH=$HOME/.cargo/bin:$PATH
fi
if ! at_least "$UMSICHT_NODE_MINIMUM" "$(node_version)" && [ -x "$NODE_FOLDER/bin/node" ]; then
    PATH=$NODE_FOLDER/bin:$PATH
fi
if [ -d "$UMSICHT_CACHE/tools/bin" ]; then
    PATH=$PATH:$UMSICHT_CACHE/tools/bin
fi
export PATH

# The library that the `ort` backend loads when it starts.
if [ -z "${ORT_DYLIB_PATH:-}" ] && [ -e "$ORT_FOLDER/libonnxruntime.so" ]; then
    export ORT_DYLIB_PATH=$ORT_FOLDER/libonnxruntime.so
fi
