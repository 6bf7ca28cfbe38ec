#!/usr/bin/env bash
# Lints, builds and tests. One line a step when all is well; a step that fails shows what it said.
# Needs what Tools/bootstrap.sh leaves. Package.swift makes every warning in our targets an error,
# so that an incremental build cannot hide one; what slips past that is looked for here.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# Where the full output of the last run stays.
logs=.build/check
mkdir -p "$logs"
trap 'printf "\ncheck: interrupted\n" >&2; exit 130' INT TERM

# Runs a step: its name, a pattern for the lines that matter in a failure, then the command.
step() {
    local name=$1 pattern=$2 log=$logs/$1.log start=$EPOCHREALTIME status=0
    shift 2
    printf 'check: %-6s ' "$name"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    local seconds
    seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')
    if ((status == 0)); then
        printf 'passed  %8s  %s\n' "$seconds" "$(summary "$name" "$log")"
        return
    fi
    printf 'FAILED  %8s\n\n' "$seconds"
    # The lines that matter if there are any, else how it ended.
    if grep -qE -- "$pattern" "$log"; then
        grep -E -A 4 -- "$pattern" "$log" | awk '!seen[$0]++' | head -n 200
    else
        tail -n 40 "$log"
    fi
    printf '\ncheck: error: %s failed (status %s); all it said is in %s\n' \
        "$name" "$status" "$log" >&2
    exit 1
}

# Prints what step $1 says of itself in its log $2.
summary() {
    case $1 in
    test) grep -oE 'Test run with .*' "$2" | tail -n 1 ;;
    esac
}

lint() { swift format lint --strict -r Sources Tests Tools/Benchmarks Package.swift; }
build() { swift build --build-tests; }
silence() { ! grep -E '/(Sources|Tests)/[^:]*:.*: warning:' "$logs/build.log"; }
# Threads of libtorch that wait should not take the processor from those that work. What hangs is
# ended here for all tests together: they share the processors and wait for each other, so that a
# limit on each would cut off those that had no turn yet.
tests() { OMP_WAIT_POLICY=passive timeout -k 30 25m swift test --skip-build; }

step lint ': (error|warning):' lint
step build ': (fatal error|error|warning):|^error:|undefined symbol|undefined reference' build
step warn ': warning:' silence
step test '✘|error:|Fatal error|recorded an issue|unexpected signal|: (SIG|exited)' tests
echo "check: all passed"
