#!/bin/bash
# Fetches what cross-building for aarch64 needs into $UMSICHT_CACHE/arm64 and prints nothing when all of it is there:
#
#   sysroot/  arm64 libraries and headers of this Debian release, taken out of its packages. They are not installed:
#             the arm64 libgstreamer-plugins-base1.0-dev would remove the native one.
#   rust/     only without rustup: Debian's rustc-web with the standard library for aarch64. It is unpacked as well,
#             since it conflicts with other Rust packages.
#   onnxruntime/
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"

ARM64=$UMSICHT_CACHE/arm64
# To link, to compile C and C++, and to play videos in the tests.
SYSROOT_PACKAGES=(libc6-dev libstdc++-12-dev libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-libav)

# apt_apart ARCHITECTURES ARGUMENTS…: apt with its own state, so that it neither needs root nor touches this system.
apt_apart() {
    local architectures=$1 state=$ARM64/apt
    shift
    mkdir -p "$state"/{lists/partial,archives/partial}
    touch "$state/status"
    apt-get -q -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::State::lists="$state/lists" \
        -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" -o APT::Sandbox::User= \
        -o APT::Architecture="${architectures%%,*}" -o APT::Architectures="$architectures" "$@"
}

# unpack FOLDER PACKAGE…: links that the folder has already (lib → usr/lib) are followed, not replaced.
unpack() {
    local folder=$1 package
    shift
    for package in "$@"; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$folder"
    done
}

# Links that name absolute targets would lead out of the sysroot.
relative_links() {
    local link
    find "$1" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
        ln -sfr "$1$(readlink "$link")" "$link"
    done
}

prepare_sysroot() {
    local sysroot=$ARM64/sysroot wanted="${SYSROOT_PACKAGES[*]}"
    [ "$(cat "$sysroot/.complete" 2>/dev/null)" = "$wanted" ] && return 0
    say "apt: fetching an arm64 sysroot (about 220 MB, once)"
    rm -rf "$sysroot" "$ARM64/apt"
    mkdir -p "$sysroot"/usr/{lib,bin,sbin}
    ln -s usr/lib "$sysroot/lib"
    ln -s usr/bin "$sysroot/bin"
    ln -s usr/sbin "$sysroot/sbin"
    apt_apart arm64 update >/dev/null || stop 69 "apt could not fetch the arm64 package lists"
    apt_apart arm64 install -y -d --no-install-recommends "${SYSROOT_PACKAGES[@]}" >/dev/null ||
        stop 69 "apt could not fetch the arm64 packages"
    unpack "$sysroot" "$ARM64"/apt/archives/*.deb
    relative_links "$sysroot"
    # Newer ONNX Runtimes read the processor's name at start; under qemu they would find the host's and stop.
    mkdir -p "$sysroot/proc"
    printf '%s\n' 'processor	: 0' 'BogoMIPS	: 108.00' 'Features	: fp asimd evtstrm crc32 cpuid' \
        'CPU implementer	: 0x41' 'CPU architecture: 8' 'CPU variant	: 0x0' 'CPU part	: 0xd08' 'CPU revision	: 3' \
        >"$sysroot/proc/cpuinfo"
    rm -rf "$ARM64/apt"
    echo "$wanted" >"$sysroot/.complete"
}

# rustup's own target when it can be had, otherwise Debian's packages.
prepare_rust_for_aarch64() {
    local triple=aarch64-unknown-linux-gnu
    [ -x "$ARM64/rust/usr/bin/rustc" ] && return 0
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ]; then
        return 0
    fi
    if command -v rustup >/dev/null; then
        say "rustup: adding the target $triple"
        rustup target add "$triple" && return 0
        echo "rustup could not add it; taking Debian's Rust instead"
    fi
    say "apt: fetching Debian's Rust with the standard library for aarch64"
    local rust=$ARM64/rust.partial
    rm -rf "$rust" "$ARM64/apt"
    mkdir -p "$rust/debs" "$rust/usr/lib"
    apt_apart amd64,arm64 update >/dev/null || stop 69 "apt could not fetch the package lists"
    (cd "$rust/debs" && apt_apart amd64,arm64 download rustc-web:amd64 libstd-rust-web-dev:amd64 libstd-rust-web-dev:arm64 >/dev/null) ||
        stop 69 "apt offers no rustc-web; install rustup and run: rustup target add $triple"
    local needed
    needed=$(dpkg-deb -f "$(echo "$rust"/debs/libstd-rust-web-dev_*_amd64.deb)" Depends | sed 's/ .*//')
    (cd "$rust/debs" && apt_apart amd64,arm64 download "$needed:amd64" >/dev/null)
    needed=$(dpkg-deb -f "$(echo "$rust"/debs/"$needed"_*.deb)" Depends | grep -o 'libllvm[0-9]*')
    (cd "$rust/debs" && apt_apart amd64,arm64 download "$needed:amd64" >/dev/null)
    unpack "$rust" "$rust"/debs/*.deb
    rm -rf "$rust/debs" "$ARM64/apt" "$ARM64/rust"
    mv "$rust" "$ARM64/rust"
}

prepare_onnxruntime_for_aarch64() {
    local folder=$ARM64/onnxruntime/$ORT_VERSION
    [ -e "$folder/libonnxruntime.so" ] || "$umsicht_root/scripts/onnxruntime.sh" aarch64 "$folder"
}

mkdir -p "$ARM64"
prepare_sysroot
prepare_rust_for_aarch64
prepare_onnxruntime_for_aarch64
