#!/bin/bash
# All checks and tests, one after the other; a failure does not stop the later steps.
#
#   scripts/test.sh        what every change must pass
#   scripts/test.sh all    additionally the licences of all dependencies, the tests on aarch64, and the packages in a Debian apart
#
# The last line counts: "N passed, N failed, N skipped". A check without single tests (formatting, lints, a feature set
# that must compile, the models) counts as one. Skipped are tests that say so themselves and checks whose tool cannot be had.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"
cd "$umsicht_root" || exit 70

passed=0 failed=0 skipped=0 failures=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run COMMAND…: its output is shown and kept for counting.
run() {
    "$@" 2>&1 </dev/null | tee "$log"
    return "${PIPESTATUS[0]}"
}

fail() {
    failed=$((failed + $1))
    failures+=("$2")
}

# check NAME COMMAND…: counts as one.
check() {
    local name=$1 since=$SECONDS
    shift
    say "$name"
    if run "$@"; then
        passed=$((passed + 1))
    else
        fail 1 "$name"
    fi
    printf '   %s: %s s\n' "$name" "$((SECONDS - since))"
}

skip() {
    say "$1: skipped, $2"
    skipped=$((skipped + 1))
}

# sum PATTERN: adds up the numbers before PATTERN in the summary lines of nextest, cargo test or Vitest.
sum() {
    sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *(Summary|test result|Tests) ?[^a-z]*' |
        grep -oE "[0-9]+ ($1)" | awk '{ n += $1 } END { print n + 0 }'
}

# tests NAME COMMAND…: a test run that ends with such a summary.
tests() {
    local name=$1 since=$SECONDS ok bad left
    shift
    say "$name"
    run "$@"
    local code=$?
    ok=$(sum passed) bad=$(sum 'failed|timed out|exec failed') left=$(sum 'skipped|ignored|todo')
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1 # it did not come to the tests, for example because it does not compile
    fi
    if [ "$code" -eq 0 ] && [ "$ok" -eq 0 ]; then
        echo "no test ran, or their count cannot be read"
        bad=1
    fi
    passed=$((passed + ok)) skipped=$((skipped + left))
    [ "$bad" -eq 0 ] || fail "$bad" "$name"
    printf '   %s: %s passed, %s failed, %s skipped, %s s\n' "$name" "$ok" "$bad" "$left" "$((SECONDS - since))"
}

rust_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        tests "tests" cargo nextest run --locked --no-fail-fast --status-level slow --final-status-level slow
    else
        tests "tests" cargo test --locked --no-fail-fast
    fi
}

lints() {
    if cargo fmt --version >/dev/null 2>&1; then
        check "formatting" cargo fmt --check
    else
        skip "formatting" "this Rust has no rustfmt"
    fi
    if cargo clippy --version >/dev/null 2>&1; then
        # Pedantic lints are advice: `cargo clippy` shows them, they refuse nothing.
        check "lints" cargo clippy --locked --all-targets -- -D warnings -A clippy::pedantic
    else
        skip "lints" "this Rust has no clippy"
    fi
}

# Every feature must compile alone without a warning, and so must the set that the device uses.
feature_sets() {
    local features sub=(check) strict=()
    if cargo clippy --version >/dev/null 2>&1; then
        sub=(clippy) strict=(-- -D warnings -A clippy::pedantic)
    fi
    for features in edge,gstreamer,ort,tract edge gstreamer ort tract central; do
        check "compiles with only $features" \
            cargo "${sub[@]}" --locked --no-default-features --features "$features" "${strict[@]}"
    done
}

user_interface() {
    check "user interface: build" npm --prefix ui run --silent build
    tests "user interface: tests" npm --prefix ui test --silent
}

models() {
    # The program that the tests have built; `cargo run` would build it again, without what only tests need.
    check "models" "$CARGO_TARGET_DIR/debug/umsicht" models verify
}

dependencies() {
    if ! command -v cargo-deny >/dev/null; then
        cargo install --locked --quiet --root "$UMSICHT_CACHE/tools" cargo-deny ||
            { skip "dependencies" "cargo-deny could not be installed"; return; }
        PATH=$PATH:$UMSICHT_CACHE/tools/bin
    fi
    check "dependencies: licences, bans, sources" cargo deny --locked check licenses bans sources
}

packages() {
    check "packages" scripts/deb.sh
    if [ "$(id -u)" -eq 0 ]; then
        check "packages: installed, upgraded, removed" scripts/deb-trial.sh
    else
        skip "packages: installed, upgraded, removed" "only root can set up a Debian apart"
    fi
}

lints
user_interface
rust_tests
models
feature_sets
if [ "${1:-}" = all ]; then
    dependencies
    check "aarch64" scripts/arm64.sh
    packages
fi

say "took $SECONDS s"
for name in "${failures[@]}"; do
    echo "failed: $name"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
