#!/usr/bin/env bash
# Runs the products in tiles (AMX) on an emulated processor, for machines without: the very sources of
# the library, with the processor's instructions, beside the same in plain C++ and beside AVX-512. It
# shows that they are right, and that Linux lets a process have tiles; of their speed it says nothing.
#
#   Tools/amx.sh [DIR]     DIR keeps what is downloaded and made; default: .build/amx
#
# Takes some 75 MB of packages, and ten minutes on a busy machine. Needs a Debian system (apt, from whose
# mirror come the emulator Bochs, a kernel, a boot loader and the libraries that they need; nothing is
# installed), clang++ and python3.
#
# Bochs has no XFD, by which Linux gives a process tiles only once it uses them; the kernel is told that it
# is there (setcpuid=324, its number for that). All else is the kernel's usual way: arch_prctl asks for
# permission. Neither does Bochs come back from system management with pages of five levels.
set -euo pipefail

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
-*)
    printf 'amx: error: unknown option %s; see --help\n' "$1" >&2
    exit 64
    ;;
esac
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$root/.build/amx}
mkdir -p "$work"
work=$(cd -- "$work" && pwd)
for tool in apt-get apt-cache dpkg-deb clang++ python3; do
    command -v "$tool" >/dev/null || {
        printf 'amx: error: there is no %s here\n' "$tool" >&2
        exit 69
    }
done

# Packages of Debian 13 and its backports, from the mirror that apt here takes Debian's from.
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' |
    awk '$1 == "Debian" && $2 ~ /\/debian\/$/ { print $2; exit }')
if [[ -z $mirror ]]; then
    echo 'amx: error: apt knows no mirror of Debian here' >&2
    exit 69
fi
apt=$work/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
for suite in trixie trixie-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$apt/sources.list"
options=(
    -qq -oDebug::NoLocking=1 -oAPT::Sandbox::User=root -oAPT::Architecture=amd64
    -oAPT::Architectures=amd64 -oDir::Etc::sourcelist="$apt/sources.list"
    -oDir::Etc::sourceparts=/nonexistent -oDir::State::Lists="$apt/lists"
    -oDir::Cache="$apt/cache" -oDir::State::status="$apt/status"
)
if [[ ! -e $work/unpacked ]]; then
    echo 'amx: downloading the emulator and a kernel'
    apt-get "${options[@]}" update
    apt-get "${options[@]}" -y --no-install-recommends --download-only install \
        bochs genisoimage isolinux syslinux-common >/dev/null
    # Of the kernel's packages only the one with the kernel.
    kernel=$(apt-cache "${options[@]}" depends --recurse --no-recommends --no-suggests \
        linux-image-cloud-amd64/trixie-backports |
        grep -oE '^linux-(binary|image)-[0-9][^ ]*-cloud-amd64$' | sort | head -n 1)
    (cd "$apt/cache/archives" && apt-get "${options[@]}" download "$kernel")
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$work/system"
    done
    touch "$work/unpacked"
fi
system=$work/system libraries=$work/system/usr/lib/x86_64-linux-gnu
# Before a program of the unpacked system: its own libraries.
own=("$system/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/bochs/plugins")

echo 'amx: compiling'
clang++ -std=c++20 -O2 -static -Wall -Werror \
    -I "$root/Tools/AMX" -I "$root/Sources/CTorch/Kernels" -I "$root/Tests/KernelTesting/include" \
    -o "$work/check" "$root/Tools/AMX/check.cpp" "$root/Tests/KernelTesting/KernelTesting.cpp" \
    "$root"/Sources/CTorch/Kernels/{Links,Packing,Preparation,Products,TileProducts,Unfolding,VectorProducts}.cpp

# A disc with the kernel, and the program as the first process.
disc=$work/disc
mkdir -p "$disc/isolinux"
cp "$(find "$system" -name 'vmlinuz*' -type f | head -n 1)" "$disc/kernel"
cp "$system/usr/lib/ISOLINUX/isolinux.bin" \
    "$system/usr/lib/syslinux/modules/bios/ldlinux.c32" "$disc/isolinux"
cat >"$disc/isolinux/isolinux.cfg" <<'END'
default check
label check
  kernel /kernel
  append initrd=/files console=ttyS0 setcpuid=324 no5lvl acpi=off mitigations=off quiet panic=-1
END
python3 - "$work/check" "$disc/files" <<'END'
import sys

with open(sys.argv[2], "wb") as archive:
    def add(number, name, mode, data=b"", device=(0, 0)):
        name = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
        for part in (b"070701" + b"".join(b"%08x" % field for field in fields) + name, data):
            archive.write(part + b"\0" * (-len(part) % 4))

    add(1, "dev", 0o040755)
    add(2, "dev/console", 0o020600, device=(5, 1))
    with open(sys.argv[1], "rb") as program:
        add(3, "init", 0o100755, program.read())
    add(4, "TRAILER!!!", 0)
END
"${own[@]}" "$system/usr/bin/genisoimage" -quiet -o "$work/disc.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table -R "$disc"

# IA32_XFD and IA32_XFD_ERR, to be written to and no more.
cat >"$work/msrs" <<'END'
0x1c4 0 00000000 00000000 00000000 00000000 00000000 00000000
0x1c5 0 00000000 00000000 00000000 00000000 00000000 00000000
END
cat >"$work/bochsrc" <<END
display_library: rfb, options="timeout=0"
romimage: file=$system/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=$system/usr/share/vgabios/vgabios.bin
megs: 512
cpu: model=sapphire_rapids, count=1, ips=100000000, ignore_bad_msrs=1, msrs=$work/msrs
clock: sync=none
ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
sound: waveoutdrv=dummy, waveindrv=dummy
log: $work/log
panic: action=fatal
END

echo 'amx: starting Linux in the emulator'
: >"$work/serial"
export LTDL_LIBRARY_PATH=$libraries/bochs/plugins
"${own[@]}" "$system/usr/bin/bochs-bin" -q -f "$work/bochsrc" >"$work/output" 2>&1 </dev/null &
emulator=$!
trap 'kill $emulator 2>/dev/null' EXIT
for ((second = 0; second < 1800; ++second)); do
    if grep -aqE 'amx: (all well|FAILED)|Kernel panic' "$work/serial" || ! kill -0 $emulator 2>/dev/null; then
        break
    fi
    sleep 1
done
(grep -aoE 'amx: .*|Kernel panic.*' "$work/serial" || true) | tr -d '\r' | tail -n 20
if ! grep -aq 'amx: all well' "$work/serial"; then
    printf 'amx: error: no good end; see %s and %s\n' "$work/serial" "$work/output" >&2
    exit 1
fi
