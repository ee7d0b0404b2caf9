#!/bin/bash
# Builds the edge for aarch64 as the package carries it and runs its unit tests under qemu.
# scripts/arm64-prepare.sh has fetched what this needs (`make arm64` runs both).
#
# UMSICHT_CROSS=1 builds with `cross` in a container instead, as cross.toml says.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"
# shellcheck source=scripts/arm64-env.sh
source "$umsicht_root/scripts/arm64-env.sh"
cd "$umsicht_root"

# The release build, so that what is tried here is what scripts/deb.sh packs, and is compiled once for both.
build=(--locked --release --target "$TRIPLE" --no-default-features --features edge,gstreamer,ort,tract)

say "building the edge for $TRIPLE"
[ "${UMSICHT_CROSS:-}" != 1 ] || small_link=()
"${cargo[@]}" rustc --bin umsicht "${build[@]}" -- "${small_link[@]}"
file=$CARGO_TARGET_DIR/$TRIPLE/release/umsicht
is_for_aarch64 "$file" || stop 70 "$file is not a program for aarch64"
echo "built for aarch64: $file"
if [ "${UMSICHT_CROSS:-}" != 1 ]; then
    say "running it under qemu"
    qemu-aarch64-static -L "$SYSROOT" "$file" --version
    say "running the road model in ONNX Runtime under qemu"
    qemu-aarch64-static -L "$SYSROOT" "$file" models probe --library "$ORT_DYLIB_PATH" --models models --model road
fi

say "unit tests for $TRIPLE"
# Rendering whole simulated drives takes minutes under an emulator and says nothing about the processor.
# Those of the watchdog start their own program as a child, which the kernel cannot do with one for another processor.
echo "SKIPPED under the emulator: world::source::, edge::watchdog::tests::"
"${cargo[@]}" test --lib "${build[@]}" -- --skip world::source:: --skip edge::watchdog::tests::
