#!/bin/bash
# Builds the edge for aarch64 with the device's features and runs its unit tests under qemu.
# scripts/arm64-prepare.sh has fetched what this needs (`make arm64` runs both).
#
# UMSICHT_CROSS=1 builds with `cross` in a container instead, as cross.toml says.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"
cd "$umsicht_root"

TRIPLE=aarch64-unknown-linux-gnu
FEATURES=edge,gstreamer,ort,tract
ARM64=$UMSICHT_CACHE/arm64
SYSROOT=$ARM64/sysroot
# Apart from the native builds: another compiler may be used, and the flags differ.
export CARGO_TARGET_DIR=${UMSICHT_ARM64_TARGET:-$UMSICHT_CACHE/target-arm64}
export CARGO_BUILD_BUILD_DIR=$CARGO_TARGET_DIR
cargo=(cargo)

if [ "${UMSICHT_CROSS:-}" = 1 ]; then
    command -v cross >/dev/null || stop 69 "UMSICHT_CROSS=1, but there is no 'cross'. Run: cargo install cross"
    export CROSS_CONFIG=cross.toml
    cargo=(cross)
else
    [ -e "$SYSROOT/.complete" ] || stop 69 "the arm64 sysroot is not complete. Run: make arm64"
    if [ -x "$ARM64/rust/usr/bin/rustc" ]; then
        # Debian's compiler for everything: standard libraries of different builds do not mix.
        export RUSTC=$ARM64/rustc
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' \
            "$ARM64/rust/usr/lib/x86_64-linux-gnu" "$ARM64/rust/usr/bin/rustc" >"$RUSTC"
        chmod +x "$RUSTC"
    fi
    libraries=$SYSROOT/usr/lib/aarch64-linux-gnu
    export PKG_CONFIG_ALLOW_CROSS=1
    export PKG_CONFIG_SYSROOT_DIR=$SYSROOT
    export PKG_CONFIG_LIBDIR=$libraries/pkgconfig:$SYSROOT/usr/share/pkgconfig
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
    export CFLAGS_aarch64_unknown_linux_gnu=--sysroot=$SYSROOT CXXFLAGS_aarch64_unknown_linux_gnu=--sysroot=$SYSROOT
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C link-arg=--sysroot=$SYSROOT \
-C link-arg=-Wl,-rpath-link,$libraries -C link-arg=-Wl,-rpath-link,$SYSROOT/usr/lib"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L $SYSROOT"

    # For the tests: GStreamer's plugins and ONNX Runtime of the sysroot, never the host's.
    export GST_PLUGIN_SYSTEM_PATH_1_0=$libraries/gstreamer-1.0 GST_PLUGIN_PATH_1_0=
    export GST_REGISTRY=$ARM64/gstreamer-registry.bin GST_REGISTRY_FORK=no
    export ORT_DYLIB_PATH=$ARM64/onnxruntime/$ORT_VERSION/libonnxruntime.so
fi

say "building the edge for $TRIPLE"
"${cargo[@]}" build --locked --bins --target "$TRIPLE" --no-default-features --features "$FEATURES"
file=$CARGO_TARGET_DIR/$TRIPLE/debug/umsicht
case $(od -An -tx1 -j18 -N2 "$file" | tr -d ' \n') in
    b700) echo "built for aarch64: $file" ;;
    *) stop 70 "$file is not a program for aarch64" ;;
esac
if [ "${UMSICHT_CROSS:-}" != 1 ]; then
    say "running it under qemu"
    qemu-aarch64-static -L "$SYSROOT" "$file" --version
    say "running the road model in ONNX Runtime under qemu"
    qemu-aarch64-static -L "$SYSROOT" "$file" models probe --library "$ORT_DYLIB_PATH" --models models --model road
fi

say "unit tests for $TRIPLE"
# Rendering whole simulated drives takes minutes under an emulator and says nothing about the processor.
"${cargo[@]}" test --locked --lib --target "$TRIPLE" --no-default-features --features "$FEATURES" -- --skip world::source::
