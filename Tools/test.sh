#!/usr/bin/env bash
# Sets this folder up if need be, then runs every check: what to run before a change is proposed.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
Tools/bootstrap.sh
exec Tools/check.sh
