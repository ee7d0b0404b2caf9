#!/bin/bash
# Installs, upgrades, removes and purges the packages of target/deb in a fresh Debian 12 in a folder apart, as a technician
# would, and looks after each step whether everything is where it belongs and nothing else.
#
#   scripts/deb-trial.sh [amd64|arm64]
#
# Programs for another architecture run under qemu; where the kernel cannot be told to do that (binfmt_misc), those packages are
# only looked at. Needs root. The fresh Debian and the packages that ours depend on are kept in $UMSICHT_CACHE/debian.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"

RELEASE=bookworm
NATIVE=$(dpkg --print-architecture)
PACKAGES=$umsicht_root/target/deb

# In namespaces of its own: whatever is mounted is gone when this ends, however it ends.
if [ -z "${UMSICHT_TRIAL_APART:-}" ]; then
    [ "$(id -u)" -eq 0 ] || stop 69 "only root can set up a Debian apart; try: sudo make deb-trial"
    command -v debootstrap >/dev/null || stop 69 "there is no debootstrap. Run: make deb-trial"
    export UMSICHT_TRIAL_APART=1
    exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi

fails() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# expect WHAT COMMAND…
expect() {
    local what=$1
    shift
    "$@" >"$log" 2>&1 || { cat "$log" >&2; fails "$what"; }
    echo "ok  $what"
}

# expect_code CODE WHAT COMMAND…
expect_code() {
    local wanted=$1 what=$2 code=0
    shift 2
    "$@" >"$log" 2>&1 || code=$?
    [ "$code" -eq "$wanted" ] || { cat "$log" >&2; fails "$what: it ended with $code instead of $wanted"; }
    echo "ok  $what"
}

# The newest package of that name and architecture.
package() {
    local found
    found=$(find "$PACKAGES" -name "$1_*_$2.deb" -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 | cut -d ' ' -f 2-)
    [ -n "$found" ] || stop 69 "there is no package $1 for $2 in $PACKAGES. Run: make deb"
    echo "$found"
}

mirror() {
    apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -v release="$RELEASE" '$2 == release && $3 == "main" { print $1; exit }'
}

# Has the kernel run programs for aarch64 by qemu, as Debian's qemu-user-static arranges it where systemd runs. The registration
# is taken back at the end.
run_aarch64_by_qemu() {
    local folder=/proc/sys/fs/binfmt_misc magic mask
    [ -e "$folder/register" ] || mount -t binfmt_misc binfmt_misc "$folder" 2>/dev/null || return 1
    [ ! -e "$folder/qemu-aarch64" ] || return 0
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":umsicht-trial:M::$magic:$mask:$(command -v qemu-aarch64-static):F" >"$folder/register"
}

clean_up() {
    [ ! -e /proc/sys/fs/binfmt_misc/umsicht-trial ] || echo -1 >/proc/sys/fs/binfmt_misc/umsicht-trial
    # The mounts in there end with the namespace; until then nothing may be deleted through them.
    local mounted
    for mounted in proc/cpuinfo proc var/cache/apt/archives; do
        umount -l "$root/$mounted" 2>/dev/null || true
    done
    rm -rf --one-file-system "$work"
}

# fresh_debian FOLDER: with apt set up like this system's.
fresh_debian() {
    local kept=$UMSICHT_CACHE/debian/$RELEASE-$architecture.tar site
    site=$(mirror)
    site=${site:-http://deb.debian.org/debian}
    mkdir -p "$1" "$UMSICHT_CACHE/debian/archives/partial"
    if [ ! -e "$kept" ]; then
        say "debootstrap: fetching a Debian $RELEASE for $architecture (once)"
        debootstrap --variant=minbase --arch="$architecture" --include=ca-certificates "$RELEASE" "$1" "$site" >"$log" ||
            { tail -n 20 "$log" >&2; stop 69 "debootstrap could not set up a Debian from $site"; }
        rm -f "$1"/var/cache/apt/archives/*.deb
        tar --one-file-system -C "$1" -cf "$kept.partial" .
        mv "$kept.partial" "$kept"
    else
        tar -C "$1" -xf "$kept"
    fi
    chmod 755 "$1"
    echo "deb $site $RELEASE main" >"$1/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https)::Proxy ' >"$1/etc/apt/apt.conf.d/90proxy" || true
    # This is thrown away: nothing need reach the disk.
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
    # Nothing starts here, whether or not this system runs systemd.
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod +x "$1/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/" 2>/dev/null || true
    mount -t proc proc "$1/proc"
    # ONNX Runtime asks for the processor; under qemu it would find this machine's.
    [ "$architecture" = "$NATIVE" ] || mount --bind "$UMSICHT_CACHE/arm64/sysroot/proc/cpuinfo" "$1/proc/cpuinfo"
    mount --bind "$UMSICHT_CACHE/debian/archives" "$1/var/cache/apt/archives"
}

inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root chroot "$root" "$@"; }
as_umsicht() { inside runuser -u umsicht -- "$@"; }
apt() { inside apt-get -q -y -o APT::Keep-Downloaded-Packages=true --no-install-recommends "$@"; }
status_of() { inside dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || echo not-installed; }

# All files but those that apt, dpkg and their triggers keep for themselves.
files() {
    find "$root" -xdev \( -path "$root/proc" -o -path "$root/run" -o -path "$root/tmp" -o -path "$root/packages" -o -path "$root/var/cache/apt" -o \
        -path "$root/var/lib/apt" -o -path "$root/var/log" -o -path "$root/var/cache/man" -o -path "$root/var/cache/ldconfig" -o \
        -path "$root/var/lib/dpkg" \) -prune -o -printf '/%P\n' | LC_ALL=C sort
}

# newer PACKAGE VERSION: the same with a higher version and one more comment in its example configuration.
newer() {
    local unpacked=$work/newer config
    rm -rf "$unpacked"
    dpkg-deb -R "$1" "$unpacked"
    config=$(head -n 1 "$unpacked/DEBIAN/conffiles")
    echo "# A line that only the newer version has." >>"$unpacked$config"
    sed -i "s/^Version: .*/Version: $2/" "$unpacked/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$unpacked" "$root/packages/newer.deb" >/dev/null
}

# What a package must hold whatever machine it is for.
look_at() {
    local file=$1 machine
    expect "$(basename "$file") can be read" dpkg-deb -I "$file"
    dpkg-deb -R "$file" "$work/looked-at"
    machine=$(readelf -h "$work/looked-at/usr/bin/umsicht" | sed -n 's/.*Machine: *//p')
    case $architecture:$machine in
        amd64:*X86-64 | arm64:AArch64) echo "ok  its program is for $machine" ;;
        *) fails "its program is for $machine" ;;
    esac
    if readelf -S --wide "$work/looked-at/usr/bin/umsicht" | grep -E '\.(symtab|debug_info|debug_line)'; then
        fails "its program is not stripped"
    fi
    expect "its checksums hold" env -C "$work/looked-at" md5sum --quiet -c DEBIAN/md5sums
    if command -v lintian >/dev/null; then
        # Nobody's address is in there, and ONNX Runtime comes as its makers build it.
        expect "lintian finds no error in it" lintian --fail-on error --allow-root \
            --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,embedded-library "$file"
    fi
    rm -rf "$work/looked-at"
}

# installed_well PART: what holds as soon as a package is installed.
installed_well() {
    local package=umsicht-$1 config=/etc/umsicht/$1.toml home=$2 shell_file commit
    commit=$(inside dpkg-query -W -f '${Version}' "$package" | sed -n 's/.*+git[0-9]*\.\([0-9a-f]*\).*/\1/p')
    expect "$package: the program says the commit of the package" grep -F "(${commit:-unknown}" <(inside umsicht --version)
    expect "$package: the user exists" inside getent passwd umsicht
    expect "$package: its folder is the user's alone" test "$(inside stat -c '%U:%G %a' "$home")" = "umsicht:umsicht 700"
    expect "$package: its configuration is readable for root and the user alone" \
        test "$(inside stat -c '%U:%G %a' "$config")" = "root:umsicht 640"
    expect "$package: the service will start at the next boot" inside test -L "/etc/systemd/system/multi-user.target.wants/$package.service"
    expect "$package: systemd understands the unit" \
        test -z "$(inside systemd-analyze verify "$package.service" 2>&1 | grep -F "$package")"
    expect "$package: there is a manual" inside man -w umsicht "umsicht-$1"
    for shell_file in bash-completion/completions/umsicht zsh/vendor-completions/_umsicht fish/vendor_completions.d/umsicht.fish; do
        expect "$package: $shell_file" inside test -s "/usr/share/$shell_file"
    done
    expect "$package: bash takes its completions" inside bash -n /usr/share/bash-completion/completions/umsicht
}

try_edge() {
    local file=$1 version before
    version=$(dpkg-deb -f "$file" Version)
    say "umsicht-edge $version for $architecture"
    look_at "$file"
    expect "what it depends on is in Debian $RELEASE" apt satisfy "$(dpkg-deb -f "$file" Depends)"
    before=$(files)
    cp "$file" "$root/packages/"
    expect "umsicht-edge: installs" apt install "/packages/$(basename "$file")"
    grep -q 'systemctl start umsicht-edge' "$log" || fails "the message does not say how to start it"
    installed_well edge /var/lib/umsicht
    expect "umsicht-edge: its models run in both backends, as the service's user" as_umsicht umsicht models verify --models /usr/share/umsicht/models
    # Neither camera nor broker are there: that it says so means that the configuration was read and all else was tried.
    expect_code 69 "umsicht-edge: check reads the example" as_umsicht umsicht edge check --config /etc/umsicht/edge.toml
    grep -Eq '^(ok|warn) +model .* runs on ort' "$log" || { cat "$log" >&2; fails "check finds no model that runs on ONNX Runtime"; }

    # A life on a vehicle.
    echo '# edited' >>"$root/etc/umsicht/edge.toml"
    inside install -d -o umsicht -g umsicht /var/lib/umsicht/spool
    inside install -o umsicht -g umsicht /dev/null /var/lib/umsicht/spool/kept
    newer "$file" "$version.1"
    expect "umsicht-edge: upgrades" apt -o Dpkg::Options::=--force-confold install /packages/newer.deb
    expect "umsicht-edge: is the newer one" test "$(inside dpkg-query -W -f '${Version}' umsicht-edge)" = "$version.1"
    kept_after "an upgrade"
    expect "umsicht-edge: its configuration is still readable for root and the user alone" \
        test "$(inside stat -c '%U:%G %a' /etc/umsicht/edge.toml)" = "root:umsicht 640"
    rm -f "$root"/etc/umsicht/edge.toml.dpkg-*
    inside systemctl --quiet disable umsicht-edge.service
    expect "umsicht-edge: installs once more" apt --reinstall install /packages/newer.deb
    expect "umsicht-edge: who disabled the service finds it disabled" inside test ! -e /etc/systemd/system/multi-user.target.wants/umsicht-edge.service
    expect "umsicht-edge: is removed" apt remove umsicht-edge
    expect "umsicht-edge: the program is gone" inside test ! -e /usr/bin/umsicht
    kept_after "a removal"
    expect "umsicht-edge: is purged" apt purge umsicht-edge
    nothing_left "$before"
}

kept_after() {
    expect "umsicht-edge: $1 keeps the edited configuration" grep -qx '# edited' "$root/etc/umsicht/edge.toml"
    expect "umsicht-edge: $1 keeps the spool" test -e "$root/var/lib/umsicht/spool/kept"
}

nothing_left() {
    local left
    left=$(diff <(echo "$1") <(files) | grep '^[<>]' || true)
    [ -z "$left" ] || { echo "$left" >&2; fails "files are left or gone"; }
    echo "ok  nothing is left"
}

try_central() {
    local file=$1 edge=$2 version before
    version=$(dpkg-deb -f "$file" Version)
    say "umsicht-central $version for $architecture"
    look_at "$file"
    expect "what it depends on is in Debian $RELEASE" apt satisfy "$(dpkg-deb -f "$file" Depends)"
    before=$(files)
    cp "$file" "$edge" "$root/packages/"
    expect "umsicht-central: installs" apt install "/packages/$(basename "$file")"
    installed_well central /var/lib/umsicht-central
    # On a port that is free for sure; this system's network is the same.
    inside sed 's/^listen = .*/listen = "127.0.0.1:0"/' /etc/umsicht/central.toml >"$root/packages/central.toml"
    as_umsicht timeout 8 umsicht central serve --config /packages/central.toml >"$log" 2>&1 || true
    expect "umsicht-central: the store is there" inside test -s /var/lib/umsicht-central/central.sqlite

    # Both on one machine is a mistake: the later one replaces the former, and the purge of one takes nothing from the other.
    expect "umsicht-edge: replaces umsicht-central" apt install "/packages/$(basename "$edge")"
    expect "umsicht-central: is not installed any more" test "$(status_of umsicht-central)" = config-files
    expect "umsicht-edge: is purged" apt purge umsicht-edge
    expect "umsicht-central: the store is still there" inside test -s /var/lib/umsicht-central/central.sqlite

    expect "umsicht-central: comes back" apt install "/packages/$(basename "$file")"
    newer "$file" "$version.1"
    expect "umsicht-central: upgrades" apt install /packages/newer.deb
    expect "umsicht-central: an example that nobody edited is renewed" \
        grep -q 'only the newer version has' "$root/etc/umsicht/central.toml"
    expect "umsicht-central: is purged" apt purge umsicht-central
    nothing_left "$before"
}

architecture=${1:-$NATIVE}
edge=$(package umsicht-edge "$architecture")
central=$(package umsicht-central "$architecture")
# Beside the cache, since /tmp may forbid devices or be small.
mkdir -p "$UMSICHT_CACHE/debian"
work=$(mktemp -d "$UMSICHT_CACHE/debian/trial.XXXXXX")
log=$work/log
root=$work/root
mount --make-rprivate /
trap clean_up EXIT

if [ "$architecture" != "$NATIVE" ] && ! run_aarch64_by_qemu; then
    look_at "$edge"
    look_at "$central"
    say "SKIPPED: this kernel runs no programs for $architecture, the packages were only looked at"
    exit 0
fi
fresh_debian "$root"
mkdir "$root/packages"
# Debian's own lists once, and `man` for looking whether the manual is found.
expect "apt reads its lists" apt update
expect "apt installs man-db" apt install man-db
try_edge "$edge"
try_central "$central" "$edge"
