#!/bin/bash
# Packages for Debian 12 and newer: umsicht-edge and umsicht-central for amd64 and arm64, into target/deb.
#
#   scripts/deb.sh [amd64] [arm64]     without an argument: for this machine, and on amd64 for arm64 as well
#
# What goes where is in `pack`; control files and maintainer scripts are in packaging/, units in systemd/. Two runs from the
# same commit give the same files. UMSICHT_DEB_VERSION sets another version than that of Cargo.toml and the commit.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"
cd "$umsicht_root"

OUT=$umsicht_root/target/deb
NATIVE=$(dpkg --print-architecture)
# On a board the device's program must fit and be fetched over slow links. For amd64 it is a third larger: libraries bring their
# code for several generations of these processors.
MAX_ARM64_EDGE_BYTES=$((30 * 1000 * 1000))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

features() {
    case $1 in
        edge) echo edge,gstreamer,ort,tract ;;
        central) echo central ;;
    esac
}

triple_of() {
    case $1 in
        amd64) echo x86_64-unknown-linux-gnu ;;
        arm64) echo aarch64-unknown-linux-gnu ;;
        *) stop 64 "packages are made for amd64 and arm64, not '$1'" ;;
    esac
}

# 0.1.0+git20261127203000.ca3637a12345: later commits count as newer. Outside a checkout it is Cargo.toml's alone.
version() {
    local base
    base=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    if git rev-parse --quiet --verify HEAD >/dev/null 2>&1; then
        base+=+git$(TZ=UTC git show -s --format=%cd --date=format-local:%Y%m%d%H%M%S).$(git rev-parse --short=12 HEAD)
        [ -z "$(git status --porcelain --untracked-files=no)" ] || base+=.modified
    fi
    echo "${UMSICHT_DEB_VERSION:-$base}"
}

# compile PART ARCHITECTURE: leaves the stripped program as $work/PART.ARCHITECTURE.
compile() {
    local part=$1 architecture=$2 program=$work/$1.$2
    say "cargo: building umsicht-$part for $architecture"
    # C compilers' helpers look at SOURCE_DATE_EPOCH: with it all would be compiled anew at each commit.
    local build=(rustc --bin umsicht --release --locked --no-default-features --features "$(features "$part")")
    if [ "$architecture" = "$NATIVE" ]; then
        env -u SOURCE_DATE_EPOCH cargo "${build[@]}" -- "${small_link[@]}"
        cp "$CARGO_TARGET_DIR/release/umsicht" "$program"
        strip --remove-section=.comment "$program"
    else
        (
            # shellcheck source=scripts/arm64-env.sh
            source "$umsicht_root/scripts/arm64-env.sh"
            [ "${UMSICHT_CROSS:-}" != 1 ] || small_link=()
            env -u SOURCE_DATE_EPOCH "${cargo[@]}" "${build[@]}" --target "$TRIPLE" -- "${small_link[@]}"
            cp "$CARGO_TARGET_DIR/$TRIPLE/release/umsicht" "$program"
            is_for_aarch64 "$program" || stop 70 "$program is not a program for aarch64"
            aarch64-linux-gnu-strip --remove-section=.comment "$program"
        )
    fi
    local bytes
    bytes=$(stat -c %s "$program")
    echo "umsicht-$part for $architecture: $bytes bytes"
    if [ "$part.$architecture" = edge.arm64 ] && [ "$bytes" -gt "$MAX_ARM64_EDGE_BYTES" ]; then
        stop 70 "the edge's program has $bytes bytes, more than the $MAX_ARM64_EDGE_BYTES that are allowed"
    fi
}

onnxruntime_folder() {
    if [ "$1" = "$NATIVE" ]; then
        echo "$ORT_FOLDER"
    else
        echo "$UMSICHT_CACHE/arm64/onnxruntime/$ORT_VERSION"
    fi
}

# What PART is linked with on ARCHITECTURE: the program, and for the edge the library that it loads.
linked() {
    echo "$work/$1.$2"
    [ "$1" != edge ] || echo "$(onnxruntime_folder "$2")/libonnxruntime.so.$ORT_VERSION"
}

needed() { linked "$1" "$2" | xargs readelf -d | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort -u; }

# library_packages PART ARCHITECTURE: the packages that hold the needed libraries, and from which version on.
# dpkg-shlibdeps reads that from this system's packages. Those of the same Debian release for another architecture have the
# same names and versions, so it is enough that the other program needs no further library.
library_packages() {
    local part=$1 architecture=$2 more
    more=$(comm -13 <(needed "$part" "$NATIVE") <(needed "$part" "$architecture"))
    [ -z "$more" ] || stop 70 "umsicht-$part needs on $architecture, but not on $NATIVE: ${more//$'\n'/, }"
    mkdir -p "$work/shlibs/debian"
    printf 'Source: umsicht\n\nPackage: umsicht-%s\nArchitecture: any\n' "$part" >"$work/shlibs/debian/control"
    # shellcheck disable=SC2046 # a list of files
    (cd "$work/shlibs" && dpkg-shlibdeps -O $(linked "$part" "$NATIVE") 2>"$work/shlibs/log") |
        sed -n 's/^shlibs:Depends=//p' || { cat "$work/shlibs/log" >&2; return 70; }
}

# The examples are written for a checkout where nothing else works there; as installed, all paths are absolute.
configuration() {
    sed -e 's|"\.\./models"|"/usr/share/umsicht/models"|' -e 's|^folder = "spool"|folder = "/var/lib/umsicht/spool"|' "config/$1"
}

# pack PART ARCHITECTURE
pack() {
    local part=$1 architecture=$2 package=umsicht-$1 root=$work/root state cache='' example
    case $part in
        edge) state=/var/lib/umsicht cache=/var/cache/umsicht example=edge-road.toml ;;
        central) state=/var/lib/umsicht-central example=central.toml ;;
    esac
    local documents=$root/usr/share/doc/$package
    rm -rf "$root"
    install -D -m 755 "$work/$part.$architecture" "$root/usr/bin/umsicht"
    install -D -m 644 "systemd/$package.service" "$root/usr/lib/systemd/system/$package.service"
    install -D -m 644 "systemd/$package.sysusers.conf" "$root/usr/lib/sysusers.d/umsicht.conf"
    install -D -m 644 "systemd/$package.tmpfiles.conf" "$root/usr/lib/tmpfiles.d/umsicht.conf"

    # The copy lets the unit see whether the configuration is still the example.
    mkdir -p "$root/etc/umsicht" "$root/usr/share/umsicht"
    configuration "$example" | tee "$root/etc/umsicht/$part.toml" >"$root/usr/share/umsicht/$part.toml"
    chmod 644 "$root/etc/umsicht/$part.toml" "$root/usr/share/umsicht/$part.toml"

    if [ "$part" = edge ]; then
        local onnxruntime
        onnxruntime=$(onnxruntime_folder "$architecture")
        install -D -m 644 -t "$root/usr/lib/umsicht" "$onnxruntime/libonnxruntime.so.$ORT_VERSION"
        install -D -m 644 -t "$root/usr/share/umsicht/models" models/*.*
        install -D -m 644 "$onnxruntime/ThirdPartyNotices.txt" "$documents/onnxruntime-notices.txt"
        gzip -9n "$documents/onnxruntime-notices.txt"
    else
        install -D -m 644 -t "$root/usr/share/umsicht/profiles" config/profiles/*.toml
    fi

    # Both are the same for all architectures, so the program that runs here makes them.
    "$work/$part.$NATIVE" manual --out "$root/usr/share/man/man1"
    gzip -9n "$root"/usr/share/man/man1/*.1
    complete bash "$root/usr/share/bash-completion/completions/umsicht"
    complete zsh "$root/usr/share/zsh/vendor-completions/_umsicht"
    complete fish "$root/usr/share/fish/vendor_completions.d/umsicht.fish"

    mkdir -p "$documents"
    {
        cat packaging/copyright
        [ "$part" != edge ] || cat packaging/copyright.edge
        echo 'License: EUPL-1.2'
        sed -e 's/^ *$/./' -e 's/^/ /' LICENSE
    } >"$documents/copyright"
    python3 packaging/notices.py --features "$(features "$part")" --target "$(triple_of "$architecture")" |
        gzip -9n >"$documents/third-party.txt.gz"
    printf '%s (%s) stable; urgency=medium\n\n  * As of %s.\n\n -- Umsicht <umsicht@localhost>  %s\n' \
        "$package" "$VERSION" "$VERSION" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$documents/changelog.gz"

    control "$part" "$architecture" "$state" "$cache"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    mkdir -p "$OUT"
    dpkg-deb --root-owner-group -Zxz --build "$root" "$OUT/${package}_${VERSION}_$architecture.deb" >/dev/null
    echo "$OUT/${package}_${VERSION}_$architecture.deb: $(stat -c %s "$OUT/${package}_${VERSION}_$architecture.deb") bytes"
}

# complete SHELL FILE
complete() {
    mkdir -p "$(dirname "$2")"
    "$work/$part.$NATIVE" completions "$1" >"$2"
}

# control PART ARCHITECTURE STATE CACHE: writes DEBIAN/ of what lies in $root.
control() {
    local part=$1 architecture=$2 state=$3 cache=$4 file
    local fill=(-e "s|@version@|$VERSION|" -e "s|@architecture@|$architecture|" -e "s|@part@|$part|g"
        -e "s|@package@|umsicht-$part|g" -e "s|@state@|$state|" -e "s| @cache@|${cache:+ $cache}|"
        -e "s|@installed_kibibytes@|$(du -sk --apparent-size "$root" | cut -f 1)|"
        -e "s#@libraries@#$LIBRARIES#")
    mkdir -p "$root/DEBIAN"
    sed "${fill[@]}" "packaging/control.$part" >"$root/DEBIAN/control"
    for file in postinst prerm postrm; do
        sed "${fill[@]}" "packaging/$file" >"$root/DEBIAN/$file"
        chmod 755 "$root/DEBIAN/$file"
    done
    echo "/etc/umsicht/$part.toml" >"$root/DEBIAN/conffiles"
    (cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
}

architectures=("$@")
if [ ${#architectures[@]} -eq 0 ]; then
    architectures=("$NATIVE")
    [ "$NATIVE" != amd64 ] || architectures+=(arm64)
fi
for architecture in "${architectures[@]}"; do
    triple_of "$architecture" >/dev/null
    [ "$architecture" = "$NATIVE" ] || [ "$NATIVE" = amd64 ] ||
        stop 64 "this machine ($NATIVE) makes no packages for $architecture"
done

VERSION=$(version)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git show -s --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
umask 022
for part in edge central; do
    # The native program also writes the manual, and tells which packages hold the libraries.
    compile "$part" "$NATIVE"
    for architecture in "${architectures[@]}"; do
        [ "$architecture" = "$NATIVE" ] || compile "$part" "$architecture"
        LIBRARIES=$(library_packages "$part" "$architecture")
        pack "$part" "$architecture"
    done
done
