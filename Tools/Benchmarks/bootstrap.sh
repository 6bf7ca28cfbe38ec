#!/usr/bin/env bash
# What the benchmarks need beside `Tools/bootstrap.sh`: tcmalloc for PyTorch, valgrind to count
# instructions.
set -euo pipefail
missing=()
for package in libtcmalloc-minimal4 valgrind; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0
as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo)
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
