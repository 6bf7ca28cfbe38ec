#!/usr/bin/env bash
# From a fresh checkout to scores and new files, on the small data in Fixtures/: sets up, builds,
# then trains a model of images and one of sounds, scores an inbox with planted odd files, and
# writes new examples.
#
#   Tools/quickstart.sh [--force] [DIR]     DIR is where the results go; default: quickstart
#
# DIR must be empty or absent; --force replaces the results of an earlier run in it.
set -euo pipefail

caller=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$PWD

usage() {
    printf 'quickstart: error: %s; see --help\n' "$*" >&2
    exit 64
}
force="" directory=""
for argument in "$@"; do
    case $argument in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --force) force=yes ;;
    -*) usage "unknown option $argument" ;;
    "") usage "DIR is empty" ;;
    *)
        [[ -z $directory ]] || usage "only one DIR can be given"
        directory=$argument
        ;;
    esac
done
if [[ -z $directory ]]; then
    directory=quickstart
elif [[ $directory != /* && $caller != "$root" ]]; then
    directory=$caller/$directory
fi
[[ $directory != -* ]] || directory=./$directory

if [[ -e $directory && ! -d $directory ]]; then
    printf 'quickstart: error: %s is a file; name a folder\n' "$directory" >&2
    exit 74
fi
if [[ -d $directory && -n $(ls -A -- "$directory") && -z $force ]]; then
    printf 'quickstart: error: %s is not empty; name another folder, or give --force\n' "$directory" >&2
    exit 74
fi

current="preparing" step_start=$SECONDS
failed() {
    local status=$?
    trap - EXIT INT TERM
    if ((status != 0)); then
        printf '\nquickstart: error: failed while %s (status %s); what it said is above\n' \
            "$current" "$status" >&2
    fi
    exit "$status"
}
trap failed EXIT
trap 'exit 130' INT TERM

# Announces a step, and says how long the one before took.
begin() {
    finish
    current=$1 step_start=$SECONDS
    printf '\n== %s\n' "$current"
}
finish() {
    [[ $current == preparing ]] || printf -- '-- %d s\n' $((SECONDS - step_start))
}
# Shows a command as one would type it, then runs it.
latent() {
    printf '$ latent'
    printf ' %q' "$@"
    printf '\n'
    "$tool" "$@"
}

begin "setting up"
Tools/bootstrap.sh

begin "building latent (release; some minutes the first time)"
swift build -c release --product latent
tool=.build/release/latent

mkdir -p -- "$directory"
# Only what this script writes is ever removed.
for kind in images audio; do
    rm -rf -- "$directory/$kind.safetensors" "$directory/$kind-drawing.safetensors" \
        "$directory/$kind-scores.ndjson" "$directory/$kind-new"
done

# One domain from its files to results: its name, then its folder of training classes.
walk() {
    local name=$1 classes=$2 inbox=Fixtures/$1/inbox model=$directory/$1.safetensors
    local drawing=$directory/$1-drawing.safetensors
    begin "learning what belongs to $classes"
    latent train "$classes" --for detection -o "$model"
    begin "scoring $inbox (the files called odd-… were planted)"
    latent score -m "$model" "$inbox" --format table
    "$tool" score -m "$model" "$inbox" --format ndjson >"$directory/$name-scores.ndjson"
    begin "learning to draw what is in $classes"
    latent train "$classes" --for augmentation -o "$drawing"
    begin "writing 60 new files like those of $classes"
    latent augment -m "$drawing" "$classes" -o "$directory/$name-new" -n 60 --method posterior
}
walk images Fixtures/images/shapes
latent inspect "$directory/images.safetensors"
walk audio Fixtures/audio/sounds
latent inspect "$directory/audio.safetensors"
finish
current="finishing"

cat <<END

Done in $SECONDS s. In $directory:
  images.safetensors   audio.safetensors     models that detect
  images-drawing.safetensors, audio-drawing.safetensors: models that draw
  images-scores.ndjson audio-scores.ndjson   one line per scored file; "anomaly" is the verdict
  images-new/          audio-new/            new files in class folders, and manifest.ndjson

With your own files (a folder, or one with a folder for each class), from this folder:
  $tool train photos -o photos.safetensors
  $tool score -m photos.safetensors inbox
  $tool train photos --for augmentation -o drawing.safetensors
  $tool augment -m drawing.safetensors photos -o photos-new -n 1000
  $tool --help
END
