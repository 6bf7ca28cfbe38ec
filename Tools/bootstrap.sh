#!/usr/bin/env bash
# Makes this folder ready for `swift build`. May be run again at any time; with nothing to do it
# takes well under a second.
#
#   Tools/bootstrap.sh                  everything, libtorch from the PyTorch wheel
#   LIBTORCH=DIR Tools/bootstrap.sh     uses the libtorch in DIR (with include/ and lib/) instead
#   PYTHON=FILE Tools/bootstrap.sh      makes the virtual environment with this Python
#
# What it leaves:
#   Debian packages   those missing among the ones below; only this needs root or sudo
#   .libtorch         a link to libtorch, where Package.swift looks for headers and libraries
#   .libtorch-python  starts a Python with torch, numpy, pillow, scipy and safetensors, for the
#                     scripts in Tools/; not made when LIBTORCH comes without one
#   a virtual environment in ${XDG_DATA_HOME:-~/.local/share}/latent, shared by all checkouts
#
# A valid .libtorch is kept; remove it to choose again. pip is used as it is configured: its
# environment variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, …) work.
set -euo pipefail

readonly torch_version=2.13.0
readonly torch_series=2.13
readonly swift_minimum=6.2
readonly python_packages=(numpy==2.4.6 pillow==13.0.0 scipy==1.17.1 safetensors==0.8.0)
readonly cpu_gigabytes=2 standard_gigabytes=9

say() { printf 'bootstrap: %s\n' "$*" >&2; }
fail() {
    printf 'bootstrap: error: %s\n' "$*" >&2
    exit 1
}

case "${1:-}" in
"") ;;
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*)
    printf 'bootstrap: error: unknown argument %s; see --help\n' "$1" >&2
    exit 64
    ;;
esac

trap 'fail "line $LINENO failed: $BASH_COMMAND"' ERR
trap 'printf "\nbootstrap: error: interrupted; run it again: what is half made is made anew\n" >&2; exit 130' INT TERM

caller=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# --- What libtorch is there ---------------------------------------------------------------------

# Prints what is wrong with the libtorch in folder $1; nothing when it is usable.
libtorch_problem() {
    local folder=$1 version="" expected machine header
    [[ -d $folder ]] || { echo "there is no folder $folder"; return; }
    for file in lib/libtorch_cpu.so lib/libc10.so include/ATen/ATen.h; do
        [[ -r $folder/$file ]] || { echo "$folder has no $file"; return; }
    done
    for header in include/torch/headeronly/version.h \
        include/torch/csrc/api/include/torch/version.h; do
        if [[ -z $version && -r $folder/$header ]]; then
            version=$(sed -nE \
                's/^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+).*/\2/p' "$folder/$header" \
                | paste -sd.)
        fi
    done
    if [[ -z $version && -r $folder/build-version ]]; then
        version=$(head -n 1 "$folder/build-version")
    fi
    [[ -n $version ]] || { echo "$folder does not say its version"; return; }
    [[ $version == "$torch_series".* ]] \
        || { echo "$folder holds libtorch $version, but latent needs $torch_series.x"; return; }
    # Bytes 18 and 19 of an ELF file name its processor.
    machine=$(od -An -tu2 -j18 -N2 "$folder/lib/libtorch_cpu.so" | tr -d ' ')
    [[ $machine == "$elf_machine" ]] \
        || echo "$folder/lib/libtorch_cpu.so is not built for $(uname -m)"
}

# Prints the Python that goes with the torch folder $1, where there is one with all our packages.
python_beside() {
    local site name
    site=$(cd -- "$1" && cd "$(pwd -P)/.." && pwd)
    for name in numpy PIL scipy safetensors; do
        [[ -d $site/$name ]] || return 0
    done
    if [[ $site == */lib/python3*/site-packages && -x $site/../../../bin/python ]]; then
        (cd -- "$site/../../.." && echo "$PWD/bin/python")
    fi
}

[[ $(uname -s) == Linux ]] || fail "this is $(uname -s); latent builds on Linux"
case $(uname -m) in
x86_64) elf_machine=62 ;;
aarch64) elf_machine=183 ;;
*) fail "no PyTorch wheel is made for $(uname -m); use an x86_64 or aarch64 machine" ;;
esac
[[ -w . ]] || fail "cannot write to $PWD; run as its owner"

data_home=${XDG_DATA_HOME:-${HOME:+$HOME/.local/share}}
environment=${data_home:+$data_home/latent/torch-$torch_version}
marker=$environment/complete

# True when the virtual environment was finished with the packages asked for here.
environment_complete() {
    [[ -n $environment && -r $marker && $(tail -n 1 "$marker") == "${python_packages[*]}" ]] \
        && [[ -x $environment/bin/python ]]
}
environment_torch() { echo "$environment"/lib/python3*/site-packages/torch; }

# False when .libtorch leads into our virtual environment and that was not finished.
link_settled() {
    environment_complete || [[ $(cd .libtorch && pwd -P) != "$(readlink -m -- "$environment")"/* ]]
}

target=""
if [[ -n ${LIBTORCH:-} ]]; then
    target=$(cd -- "$caller" && cd -- "$LIBTORCH" 2>/dev/null && pwd) \
        || fail "LIBTORCH=$LIBTORCH is not a folder; give one with include/ and lib/, or unset it"
    problem=$(libtorch_problem "$target")
    [[ -z $problem ]] || fail "LIBTORCH=$LIBTORCH does not serve: $problem"
elif [[ -e .libtorch && -z $(libtorch_problem .libtorch) ]] && link_settled; then
    target=$(cd .libtorch && pwd -P)
elif environment_complete && [[ -z $(libtorch_problem "$(environment_torch)") ]]; then
    target=$(environment_torch)
fi
if [[ -e .libtorch && ! -L .libtorch && $target != "$(cd .libtorch && pwd -P)" ]]; then
    fail ".libtorch is not a link; move it away, then run again (LIBTORCH=DIR uses it from there)"
fi

# --- Debian packages ----------------------------------------------------------------------------

# Prints the Pythons at hand that can make a virtual environment for our packages, best first.
pythons() {
    local python candidates=(python3 /usr/bin/python3 python3.1{1,2,3,4})
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for python in "${candidates[@]}"; do
        python=$(command -v "$python") || continue
        "$python" -I -c 'if True:
            import os, sys, venv, ensurepip
            if (3, 11) <= sys.version_info < (3, 15):
                ensurepip.version, venv.EnvBuilder
                print(os.path.realpath(sys.executable))' 2>/dev/null || true
    done | awk '!seen[$0]++'
}

libraries=(libpng sndfile libcrypto)
packages=(g++ git ca-certificates pkg-config libpng-dev libsndfile1-dev libssl-dev zlib1g-dev)
if [[ -z $target && -z ${PYTHON:-} && -z $(pythons) ]]; then
    packages+=(python3 python3-venv)
fi
missing=()
if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null \
        || true)
    for package in "${packages[@]}"; do
        grep -qxF -- "installed $package" <<<"$installed" || missing+=("$package")
    done
fi

take_lock() {
    local folder=$data_home/latent
    [[ -n $data_home ]] || fail "neither HOME nor XDG_DATA_HOME is set; set one, or LIBTORCH=DIR"
    mkdir -p -- "$folder" 2>/dev/null \
        || fail "cannot make $folder; set XDG_DATA_HOME to a folder that can be written"
    [[ -w $folder && (! -e $folder/bootstrap.lock || -w $folder/bootstrap.lock) ]] \
        || fail "cannot write in $folder; set XDG_DATA_HOME to a folder that can be written"
    exec {lock}>"$folder/bootstrap.lock"
    if ! flock -n "$lock"; then
        say "another bootstrap is at work; waiting for it"
        flock "$lock"
    fi
}
have_lock=""

if ((${#missing[@]})); then
    take_lock && have_lock=yes
    root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "Debian packages are missing: ${missing[*]};" \
            "as root, run: apt-get install ${missing[*]}"
        root=(sudo)
        [[ -t 0 ]] || root+=(-n)
    fi
    say "installing Debian packages: ${missing[*]}"
    log=$(mktemp)
    options=(-q -y -o DPkg::Lock::Timeout=600 --no-install-recommends)
    if ! { "${root[@]}" apt-get -q update \
        && "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get "${options[@]}" install "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        rm -f -- "$log"
        fail "apt-get could not install ${missing[*]} (its last words are above);" \
            "install them by hand, then run again"
    fi
    rm -f -- "$log"
fi

command -v pkg-config >/dev/null || fail "pkg-config is missing; install it, then run again"
for library in "${libraries[@]}"; do
    pkg-config --exists "$library" \
        || fail "pkg-config does not find $library; install its development package" \
            "(Debian: libpng-dev, libsndfile1-dev, libssl-dev)"
done

# --- Swift --------------------------------------------------------------------------------------

command -v swift >/dev/null \
    || fail "swift is missing; install Swift $swift_minimum or newer and put it on the PATH"
swift_version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9.]+).*/\1/p' \
    | head -n 1)
[[ -n $swift_version ]] || fail "'swift --version' does not answer; install Swift again"
printf '%s\n' "$swift_minimum" "$swift_version" | sort -VC \
    || fail "Swift $swift_version is too old; install Swift $swift_minimum or newer"

# --- libtorch -----------------------------------------------------------------------------------

# Fails unless the folder for the virtual environment has $1 gigabytes left.
require_space() {
    local kilobytes
    kilobytes=$(df -Pk -- "$data_home/latent" | awk 'NR == 2 { print $4 }')
    ((kilobytes >= $1 * 1000 * 1000)) \
        || fail "$data_home has $((kilobytes / 1000)) MB left, but this build of PyTorch needs" \
            "about $1 GB; free some, or set XDG_DATA_HOME to a folder on a larger disk"
}

# Makes a fresh virtual environment with Python $1 and installs requirement $2 and our packages.
# Returns 1 where pip finds no such build for this Python; ends the script on any other failure.
make_environment() {
    local python=$1 requirement=$2 log=$environment/pip.log reason
    rm -rf -- "$environment"
    "$python" -m venv -- "$environment" >&2 \
        || fail "'$python -m venv' failed; install python3-venv, or name another Python in PYTHON"
    # Only the base of pip's configuration stays: --user and --target do not mix with this.
    if env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX "$environment/bin/python" -m pip install \
        --disable-pip-version-check --no-input --retries 2 --timeout 30 --progress-bar off \
        "$requirement" "${python_packages[@]}" >"$log" 2>&1 </dev/null; then
        return 0
    fi
    reason=$(grep -E '^ *ERROR: ' "$log" | tail -n 1 | sed 's/^ *ERROR: //')
    if grep -qiE 'NewConnectionError|ConnectTimeout|ReadTimeout|NameResolution|ProxyError|SSLError|Max retries' \
        "$log"; then
        fail "pip cannot reach its package index while looking for $requirement;" \
            "check the network and pip's settings (PIP_INDEX_URL, PIP_FIND_LINKS)," \
            "or give LIBTORCH=DIR (pip's log: $log)"
    elif grep -q 'No space left' "$log"; then
        fail "the disk ran full; free about $cpu_gigabytes GB, or set XDG_DATA_HOME and TMPDIR to" \
            "folders on a larger disk"
    elif grep -q "No matching distribution found for torch" "$log"; then
        return 1
    fi
    fail "pip could not install $requirement: ${reason:-it gave no reason};" \
        "see $log, or give LIBTORCH=DIR"
}

has_nvidia() { [[ -e /dev/nvidiactl ]] || nvidia-smi >/dev/null 2>&1; }

if [[ -z $target ]]; then
    [[ -n $have_lock ]] || take_lock
    if environment_complete && [[ -z $(libtorch_problem "$(environment_torch)") ]]; then
        say "made meanwhile by the other bootstrap"
    else
        found=$(pythons)
        [[ -n $found ]] || fail "${PYTHON:+PYTHON=$PYTHON is }no Python 3.11 to 3.14 with its" \
            "venv module; install python3 and python3-venv, name one in PYTHON, or give LIBTORCH=DIR"
        requirements=("torch==$torch_version")
        require_space "$cpu_gigabytes"
        if has_nvidia; then
            say "there is an NVIDIA GPU, so the standard build is wanted"
        else
            requirements=("torch==$torch_version+cpu" "torch==$torch_version")
        fi
        [[ ! -d $environment ]] || say "an unfinished environment is made anew"
        done=""
        for requirement in "${requirements[@]}"; do
            if [[ $requirement != *+cpu ]]; then
                require_space "$standard_gigabytes"
                say "the standard wheel is large: some gigabytes with the CUDA libraries it asks" \
                    "for (LIBTORCH=DIR uses another)"
            fi
            while read -r python; do
                say "installing $requirement in $environment ($("$python" --version)); this takes" \
                    "minutes"
                if make_environment "$python" "$requirement"; then
                    done=yes
                    break 2
                fi
                say "pip finds no $requirement for this Python"
            done <<<"$found"
        done
        if [[ -z $done ]]; then
            rm -rf -- "$environment"
            fail "pip finds no torch $torch_version on the index it is set up for; set PIP_INDEX_URL," \
                "PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to one that has it, or give LIBTORCH=DIR"
        fi
        torch=$(environment_torch)
        problem=$(libtorch_problem "$torch")
        [[ -z $problem ]] || fail "the wheel that pip installed does not serve: $problem"
        if has_nvidia && grep -qs '+cpu' "$torch/version.py"; then
            say "pip offered the CPU build only: the GPU will not be used"
        fi
        # Written last: an environment without it is one that was not finished.
        printf '%s\n' "finished by Tools/bootstrap.sh" "${python_packages[*]}" >"$marker.new"
        mv -f -- "$marker.new" "$marker"
    fi
    target=$(environment_torch)
fi

[[ ! -d .libtorch || -L .libtorch ]] || target=""
if [[ -n $target && $(readlink .libtorch || true) != "$target" ]]; then
    ln -sfnT -- "$target" ".libtorch.$$"
    mv -fT -- ".libtorch.$$" .libtorch
fi
# Not a link: through one, Python would not find the virtual environment it belongs to.
python=$(python_beside .libtorch)
if [[ -z $python ]]; then
    rm -f .libtorch-python
else
    starter=$(printf '#!/bin/sh\nexec %q "$@"' "$python")
    if [[ ! -f .libtorch-python || $(<.libtorch-python) != "$starter" ]]; then
        printf '%s\n' "$starter" >".libtorch-python.$$"
        chmod +x ".libtorch-python.$$"
        mv -fT -- ".libtorch-python.$$" .libtorch-python
    fi
fi

for file in lib/libtorch_cpu.so include/ATen/ATen.h; do
    [[ -r .libtorch/$file ]] || fail ".libtorch/$file is missing; remove .libtorch and run again"
done
version=$(sed -nE 's/^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+).*/\2/p' \
    .libtorch/include/torch/headeronly/version.h | paste -sd.)
say "ready: Swift $swift_version, libtorch $version; now: swift build"
