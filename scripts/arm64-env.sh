# shellcheck shell=bash disable=SC2034 # those who source this use what it sets
# How cargo builds for aarch64, by $UMSICHT_CACHE/arm64 (scripts/arm64-prepare.sh) or, with UMSICHT_CROSS=1, by `cross` in a
# container as cross.toml says. Sourced after scripts/env.sh; then "${cargo[@]}" … --target "$TRIPLE" does it.

TRIPLE=aarch64-unknown-linux-gnu
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

    # For programs under qemu: GStreamer's plugins and ONNX Runtime of the sysroot, never the host's.
    export GST_PLUGIN_SYSTEM_PATH_1_0=$libraries/gstreamer-1.0 GST_PLUGIN_PATH_1_0=
    export GST_REGISTRY=$ARM64/gstreamer-registry.bin GST_REGISTRY_FORK=no
    export ORT_DYLIB_PATH=$ARM64/onnxruntime/$ORT_VERSION/libonnxruntime.so
    # They cannot start themselves anew, as they otherwise do to set this: the kernel does not know them.
    export ORT_DISABLE_TELEMETRY=1
fi

# is_for_aarch64 FILE: does its header say so?
is_for_aarch64() { [ "$(od -An -tx1 -j18 -N2 "$1" | tr -d ' \n')" = b700 ]; }
