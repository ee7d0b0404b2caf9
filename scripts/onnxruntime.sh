#!/bin/bash
# Puts libonnxruntime, pinned and checked, into a folder:
#
#   scripts/onnxruntime.sh x86_64|aarch64 FOLDER
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "$0")/env.sh"
machine=${1:?"say for which machine: x86_64 or aarch64"}
folder=${2:?"say into which folder"}

say "pip: fetching libonnxruntime $ORT_VERSION for $machine"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch_wheel wheels-onnxruntime.txt "$work" "$machine"
python3 -m zipfile -e "$work"/onnxruntime-*.whl "$work/out"
mkdir -p "$folder"
cp "$work"/out/onnxruntime/capi/libonnxruntime.so.* "$work"/out/onnxruntime/{LICENSE,ThirdPartyNotices.txt} "$folder/"
ln -sf "libonnxruntime.so.$ORT_VERSION" "$folder/libonnxruntime.so"
