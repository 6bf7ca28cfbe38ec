#!/usr/bin/env bash
# Feeds odd files to `latent` and reports what it must never do: crash, hang, take more than 1 GB,
# stay silent, or say more than a line about a file.
#
# usage: Tools/torture.sh DIR...
#
# Every regular file below each DIR is scored alone, and taken alone as training data (which must be
# refused: too few files); then each DIR is scored as a whole. Small models for both are trained on
# Fixtures first. Exits with 1 when anything was found, and prints a line for each.
#
# LATENT  the program (.build/release/latent)
# JOBS    files at a time (2)
# SECONDS_LIMIT, MEGABYTE_LIMIT  for each run (30, 1024)
set -u

if [ $# -eq 0 ] || [ "$1" = -h ] || [ "$1" = --help ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit $([ $# -eq 0 ] && echo 64 || echo 0)
fi

root=$(cd "$(dirname "$0")/.." && pwd)
export latent=${LATENT:-$root/.build/release/latent}
export seconds=${SECONDS_LIMIT:-30} megabytes=${MEGABYTE_LIMIT:-1024}
export work
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -x "$latent" ] || { echo "$0: there is no $latent; run swift build -c release" >&2; exit 64; }
command -v /usr/bin/time > /dev/null || echo "$0: no /usr/bin/time: memory is not checked" >&2

# run NAME ALLOWED-CODES ARGUMENTS...: one run of latent; complains on standard output.
run() {
    local name=$1 allowed=$2 place memory=0 code
    shift 2
    place=$(mktemp -d "$work/run.XXXXXX")
    if [ -x /usr/bin/time ]; then
        timeout -s KILL "$seconds" /usr/bin/time -q -f %M -o "$place/memory" "$latent" "$@" \
            > "$place/out" 2> "$place/err" < /dev/null
    else
        timeout -s KILL "$seconds" "$latent" "$@" > "$place/out" 2> "$place/err" < /dev/null
    fi
    code=$?
    memory=$(tail -n 1 "$place/memory" 2> /dev/null || true)
    complain() { printf 'BAD %s: %s: %s\n' "$1" "$name" "$2"; }
    case $code in
        137) complain "$*" "hangs: more than $seconds s" ;;
        *) [[ " $allowed " == *" $code "* ]] || complain "$*" "exit code $code" ;;
    esac
    if [ "${memory:-0}" -gt $((megabytes * 1024)) ]; then
        complain "$*" "took $((memory / 1024)) MB"
    fi
    if grep -aqE 'Fatal error|[Bb]acktrace|AddressSanitizer|runtime error' "$place/err"; then
        complain "$*" "a trace on standard error"
    fi
    [ -s "$place/out" ] || [ -s "$place/err" ] || complain "$*" "not a word"
    if [ "$(grep -ac '^latent: error:' "$place/err")" -gt 1 ]; then
        complain "$*" "more than one error"
    fi
    if [ "$1" = score ] && [ "$name" = alone ] && [ "$(wc -l < "$place/out")" -ne 1 ]; then
        complain "$*" "$(wc -l < "$place/out") lines of output, expected 1"
    fi
    rm -rf "$place"
}

one() {
    local domain=image
    case ${1,,} in
        *.wav | *.wave | *.rf64 | *.w64 | *.flac | *.ogg | *.aif* | *.au | *.mp3) domain=audio ;;
        *.csv | *.ndjson | *.jsonl) return ;; # manifests, not media
    esac
    run alone '0 65' score -m "$work/$domain.safetensors" -- "$1"
    run training '65' train --domain "$domain" -o "$work/none.safetensors" -- "$1"
}
export -f run one

small=(--architecture mlp --channels 32 --latent 4 --epochs 3 --quiet)
"$latent" train "$root/Fixtures/images/shapes" -o "$work/image.safetensors" "${small[@]}" &&
    "$latent" train "$root/Fixtures/audio/sounds" -o "$work/audio.safetensors" "${small[@]}" || exit

count=0
for folder; do
    found=$(find "$folder" -type f | wc -l)
    count=$((count + found))
    find "$folder" -type f -print0 |
        xargs -0 -r -n 1 -P "${JOBS:-2}" bash -c 'one "$1"' bash
    for domain in image audio; do
        run folder '0 65' score -m "$work/$domain.safetensors" "$folder"
    done
done > "$work/report"
cat "$work/report"
complaints=$(wc -l < "$work/report")
echo "$count files, $complaints complaints"
[ "$complaints" -eq 0 ]
