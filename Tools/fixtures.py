"""Writes the small images and recordings in Fixtures/.

    ./.libtorch-python Tools/fixtures.py            writes them anew
    ./.libtorch-python Tools/fixtures.py --check    says whether the files there are those it writes

Everything is drawn from fixed seeds, so two runs give the same bytes. (Another zlib may compress
a PNG differently; its pixels stay the same.) Only numpy and the standard library are needed.
"""

import argparse
import filecmp
import hashlib
import json
import pathlib
import shutil
import struct
import sys
import tempfile

import numpy as np

from fixture_formats import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, grey_png, png, wav

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "Fixtures"


def generator(*key):
    """The random numbers of one file: they depend on its name only, not on the order of work."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], dtype="<u4"))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path, value):
    """JSON with one line per file described."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value[name])}" for name in sorted(value)]
    write(path, "{\n" + ",\n".join(lines) + "\n}\n")


# --- Images ---------------------------------------------------------------------------------------

SIZE, OVERSAMPLING = 32, 8


def inside(name, x, y, r):
    """Whether points, relative to a shape's centre and turned with it, lie in it; `r` its radius."""
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    if name == "disc":
        return distance < r
    if name == "square":
        return np.maximum(abs(x), abs(y)) < 0.86 * r
    if name == "triangle":
        return (
            np.max(
                [x * np.cos(t) + y * np.sin(t) for t in np.pi * np.array([0.5, 7 / 6, 11 / 6])],
                axis=0,
            )
            < 0.58 * r
        )
    if name == "star":
        return distance < r * (0.65 + 0.55 * np.cos(5 * angle))
    if name == "cross":
        return (np.minimum(abs(x), abs(y)) < 0.22 * r) & (np.maximum(abs(x), abs(y)) < 1.1 * r)
    if name == "ring":
        return (distance < 1.1 * r) & (distance > 0.65 * r)
    if name == "stripes":
        return (np.sin(2 * np.pi * x / 5) > 0) & (abs(y) < 1.2 * r)
    raise ValueError(name)


def shape(name, random):
    """One bright shape on a dark ground, antialiased, with a little noise; [32, 32] in 0...1."""
    radius = random.uniform(7, 10.5)
    centre = 15.5 + random.uniform(-4, 4, size=2)
    ground, ink = random.uniform(0.05, 0.15), random.uniform(0.6, 0.95)
    turn = random.uniform(-0.2, 0.2)
    fine = (np.arange(SIZE * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5
    x, y = np.meshgrid(fine - centre[0], fine - centre[1])
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    cover = inside(name, u, v, radius).reshape(SIZE, OVERSAMPLING, SIZE, OVERSAMPLING).mean((1, 3))
    return ground + (ink - ground) * cover + random.normal(0, 0.008, (SIZE, SIZE))


SHAPES = ["disc", "square", "triangle"]


def write_classes(folder, stream):
    for name in SHAPES:
        for index in range(40):
            write(
                folder / name / f"{index:03}.png",
                grey_png(shape(name, generator(stream, name, index))),
            )


def make_shapes(folder):
    write_classes(folder, "shapes")
    write(
        folder / "README.md",
        "# Shapes\n\nDiscs, squares and triangles, 40 each, of random place, size, turn and brightness with a\n"
        "little noise: 8-bit grey, 32 × 32. Made by `Tools/fixtures.py`.\n",
    )


def make_fresh_shapes(folder):
    write_classes(folder, "fresh shapes")
    write(
        folder / "README.md",
        "# Fresh shapes\n\nAs many as in `../shapes` and of the same kind, to calibrate on: a threshold has to come from\n"
        "files that training has not seen. Made by `Tools/fixtures.py`.\n",
    )


def write_inbox_labels(folder, kind):
    """A manifest that says which files were planted, for `latent evaluate detection`."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix == f".{kind}")
    write(folder / "labels.csv", "path,label\n" + "".join(
        f"{name},{name.split('-')[0]}\n" for name in names))


def make_image_inbox(folder):
    for index in range(16):
        name = SHAPES[index % 3]
        write(
            folder / f"ok-{index:02}-{name}.png",
            grey_png(shape(name, generator("image inbox", name, index))),
        )
    for name in ["star", "cross", "ring", "stripes"]:
        write(folder / f"odd-{name}.png", grey_png(shape(name, generator("image inbox", name))))
    write_inbox_labels(folder, "png")
    write(
        folder / "README.md",
        "# Image inbox\n\n16 fresh images like those in `../shapes` (`ok-…`) and 4 of other shapes (`odd-…`);\n"
        "`labels.csv` says which. Made by `Tools/fixtures.py`.\n",
    )


def scene():
    """Colour and opacity of one small scene, [13, 19, 3] and [13, 19] in 0...1."""
    y, x = np.mgrid[0:13, 0:19].astype(float)
    disc = np.clip(5.0 - np.hypot(x - 11, y - 6), 0, 1)
    colour = np.stack([x / 18, y / 12, (18 - x) / 18], axis=-1) * 0.7
    colour += disc[..., None] * (np.array([1.0, 0.9, 0.2]) - colour)
    return colour, np.clip(1.2 - np.hypot(x - 9, y - 6) / 11, 0, 1)


def make_image_formats(folder):
    colour, opacity = scene()
    grey = colour @ np.array([0.3, 0.55, 0.15])
    expected = {}

    def quantised(values, depth):
        values = values if values.ndim == 3 else values[..., None]
        return np.rint(values * (2**depth - 1)).astype(np.int64)

    def add(name, codes, kind, depth, read, read_depth, **options):
        """Writes both variants; `read` [H, W, C] are the codes a reader should give."""
        digest = hashlib.sha256(read.astype("<u2").tobytes()).hexdigest()
        variants = (
            [(name, False)] if "extra" in options else [(name, False), (name + "-interlaced", True)]
        )
        for title, interlaced in variants:
            write(folder / f"{title}.png", png(codes, kind, depth, interlaced, **options))
            expected[f"{title}.png"] = {
                "width": read.shape[1],
                "height": read.shape[0],
                "channels": read.shape[2],
                "depth": read_depth,
                "sha256": digest,
            }

    def plain(name, codes, kind, depth, **options):
        add(name, codes, kind, depth, codes, depth, **options)

    for depth in [1, 2, 4, 8, 16]:
        plain(f"grey-{depth}", quantised(grey, depth), GREY, depth)
    for depth in [8, 16]:
        alpha = quantised(opacity, depth)
        plain(
            f"grey-alpha-{depth}",
            np.concatenate([quantised(grey, depth), alpha], -1),
            GREY_ALPHA,
            depth,
        )
        plain(f"rgb-{depth}", quantised(colour, depth), RGB, depth)
        plain(f"rgba-{depth}", np.concatenate([quantised(colour, depth), alpha], -1), RGBA, depth)
    # Chunks that a viewer would apply or show; the codes must not change.
    notes = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(
        b"tEXt", b"Comment\0codes stay as they are"
    )
    plain("grey-8-gamma", quantised(grey, 8), GREY, 8, extra=notes)
    plain("rgb-16-gamma", quantised(colour, 16), RGB, 16, extra=notes)

    # A palette expands to 8-bit RGB, and to RGBA where some of its entries are see-through.
    for depth in [1, 2, 4, 8]:
        count = 2**depth if depth < 8 else 200
        palette = np.rint(generator("palette", depth).uniform(0, 255, (count, 3))).astype(np.int64)
        index = np.minimum(quantised(grey, depth), count - 1)
        add(f"palette-{depth}", index, PALETTE, depth, palette[index[..., 0]], 8, palette=palette)
        if depth in (2, 8):
            # Shorter than the palette: the entries after it are opaque.
            entries = np.linspace(0, 240, count // 2).astype(np.int64)
            alpha = np.concatenate([entries, np.full(count - len(entries), 255)])
            add(
                f"palette-{depth}-trns",
                index,
                PALETTE,
                depth,
                np.concatenate([palette[index[..., 0]], alpha[index]], -1),
                8,
                palette=palette,
                transparency=entries.astype(np.uint8).tobytes(),
            )

    # One see-through code becomes an alpha channel; below 8 bits the grey is scaled to 8 as well.
    for depth in [1, 4, 8, 16]:
        codes = quantised(grey, depth)
        key = int(codes[6, 2, 0])
        read_depth, scale = max(8, depth), 255 // (2**depth - 1) if depth < 8 else 1
        alpha = np.where(codes == key, 0, 2**read_depth - 1)
        add(
            f"grey-{depth}-trns",
            codes,
            GREY,
            depth,
            np.concatenate([codes * scale, alpha], -1),
            read_depth,
            transparency=struct.pack(">H", key),
        )
    for depth in [8, 16]:
        codes = quantised(colour, depth)
        key = codes[6, 11]
        alpha = np.where((codes == key).all(-1, keepdims=True), 0, 2**depth - 1)
        add(
            f"rgb-{depth}-trns",
            codes,
            RGB,
            depth,
            np.concatenate([codes, alpha], -1),
            depth,
            transparency=struct.pack(">HHH", *map(int, key)),
        )

    write_json(folder / "expected.json", expected)
    write(
        folder / "README.md",
        "# PNG formats\n\nOne scene, 19 × 13, in every kind of PNG, plain and interlaced, all row filters in use.\n"
        "`expected.json` says what a reader should give: size, bit depth, channels, and the SHA-256 of\n"
        "the codes as interleaved little-endian 16-bit numbers. A palette is expanded to 8-bit RGB(A); a\n"
        "see-through code becomes alpha; grey below 8 bits keeps its codes, 0 to 2^depth − 1, except with a\n"
        "see-through code, where it is scaled to 8 bits. Made by `Tools/fixtures.py`.\n",
    )


# --- Audio ----------------------------------------------------------------------------------------

RATE = 8000
SOUNDS = ["tone", "chirp", "pulses"]


def sound(name, random):
    """About half a second of one kind of sound, with fades and a little noise, at 8 kHz."""
    count = int(RATE * random.uniform(0.40, 0.50))
    t = np.arange(count) / RATE
    length, level = count / RATE, random.uniform(0.35, 0.7)
    if name == "tone":
        pitch = random.uniform(400, 900)
        wave = np.sin(2 * np.pi * pitch * t) + 0.3 * np.sin(
            4 * np.pi * pitch * t + random.uniform(0, 6)
        )
    elif name in ("chirp", "falling"):
        low, high = random.uniform(300, 600), random.uniform(1800, 2800)
        wave = np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * length)))
        wave = wave[::-1] if name == "falling" else wave
    elif name == "pulses":
        pitch, beat = random.uniform(1000, 1800), random.uniform(9, 14)
        phase = (t * beat + random.uniform(0, 1)) % 1
        wave = np.sin(2 * np.pi * pitch * t) * np.exp(-8 * phase)
    elif name == "noise":
        wave = 0.7 * random.uniform(-1, 1, count)
    elif name == "buzz":
        wave = 0.8 * np.sign(np.sin(2 * np.pi * random.uniform(110, 140) * t))
    elif name == "clicks":
        wave = 0.3 * np.sin(2 * np.pi * 600 * t)
        wave[random.integers(0, count, 60)] = 1.4
    else:
        raise ValueError(name)
    fade = np.clip(np.minimum(t, length - t) / 0.02, 0, 1)
    return 0.75 * level * wave * fade + random.normal(0, 0.003, count)


def make_sounds(folder):
    for name in SOUNDS:
        for index in range(24):
            write(
                folder / name / f"{index:03}.wav",
                wav(sound(name, generator("sounds", name, index)), RATE)[0],
            )
    write(
        folder / "README.md",
        "# Sounds\n\nSteady tones, rising chirps and trains of pulses, 24 each, of random pitch, level and length\n"
        "(0.4 to 0.5 s) with a little noise: 16-bit mono, 8 kHz. Made by `Tools/fixtures.py`.\n",
    )


def make_audio_inbox(folder):
    for index in range(12):
        name = SOUNDS[index % 3]
        write(
            folder / f"ok-{index:02}-{name}.wav",
            wav(sound(name, generator("audio inbox", name, index)), RATE)[0],
        )
    for name in ["noise", "buzz", "clicks", "falling"]:
        write(folder / f"odd-{name}.wav", wav(sound(name, generator("audio inbox", name)), RATE)[0])
    write_inbox_labels(folder, "wav")
    write(
        folder / "README.md",
        "# Sound inbox\n\n12 fresh recordings like those in `../sounds` (`ok-…`) and 4 others (`odd-…`): noise, a buzz,\n"
        "a tone full of clicks, a falling chirp; `labels.csv` says which is which. Made by\n`Tools/fixtures.py`.\n",
    )


def make_audio_formats(folder):
    expected = {}

    def add(name, rate, encoding, channels, extensible=False):
        t = np.arange(rate // 10) / rate
        sides = [0.8 * np.sin(2 * np.pi * 440 * t + 0.5), 0.5 * np.sin(2 * np.pi * 660 * t - 0.3)]
        content, values = wav(np.stack(sides[:channels], axis=1), rate, encoding, extensible)
        write(folder / f"{name}.wav", content)
        expected[f"{name}.wav"] = {
            "rate": rate,
            "channels": channels,
            "frames": len(t),
            "first": [[float(v) for v in values[:8, channel]] for channel in range(channels)],
        }

    for rate in [8000, 11025, 16000, 22050, 44100, 48000]:
        add(f"rate-{rate}", rate, "s16", 1)
    for encoding, title in [
        ("u8", "8"),
        ("s16", "16"),
        ("s24", "24"),
        ("s32", "32"),
        ("f32", "float"),
    ]:
        for channels, side in [(1, "mono"), (2, "stereo")]:
            add(f"{title}-{side}", 8000, encoding, channels)
    for encoding, title in [("s16", "16"), ("s24", "24"), ("f32", "float")]:
        add(f"extensible-{title}-stereo", 8000, encoding, 2, extensible=True)
    write_json(folder / "expected.json", expected)
    write(
        folder / "README.md",
        "# WAV formats\n\nA tenth of a second of a tone (440 Hz left, 660 Hz right) at each rate, and in each sample format.\n"
        "`expected.json` says what a reader should give: rate, channels, frames, and the first 8 values of\n"
        "each channel, full scale being 1. Made by `Tools/fixtures.py`.\n",
    )


# --- Broken and odd files -------------------------------------------------------------------------


def make_broken(folder):
    picture = grey_png(shape("disc", generator("broken")))
    write(folder / "truncated.png", picture[: len(picture) // 2])
    flipped = bytearray(picture)
    flipped[picture.index(b"IDAT") + 40] ^= 0x10
    write(folder / "crc.png", bytes(flipped))
    write(folder / "not-a-png.png", "This is text.\n")
    write(folder / "empty.png", b"")
    write(folder / "tiny-1x1.png", png(np.full((1, 1, 1), 128), GREY, 8))
    write(folder / "single-colour.png", png(np.full((SIZE, SIZE, 1), 77), GREY, 8))

    t = np.arange(RATE // 10) / RATE
    recording = wav(0.5 * np.sin(2 * np.pi * 440 * t), RATE)[0]
    write(folder / "truncated.wav", recording[: len(recording) // 2])
    write(folder / "header-only.wav", wav(np.zeros(0), RATE)[0])
    write(folder / "not-a-wav.wav", "This is text.\n")
    write(folder / "empty.wav", b"")
    write(
        folder / "nan.wav",
        wav(np.where(np.arange(len(t)) % 100 == 50, np.nan, 0.1), RATE, "f32")[0],
    )
    write(folder / "silence.wav", wav(np.zeros(RATE // 10), RATE)[0])
    write(folder / "short.wav", wav([0.1, -0.2, 0.3, -0.4, 0.5], RATE)[0])
    write(
        folder / "README.md",
        "# Broken and odd files\n\n"
        "| file | what is wrong |\n|---|---|\n"
        "| `truncated.png`, `truncated.wav` | the second half is missing |\n"
        "| `crc.png` | one bit flipped in the compressed pixels |\n"
        "| `not-a-png.png`, `not-a-wav.wav` | text |\n"
        "| `empty.png`, `empty.wav` | no bytes |\n"
        "| `header-only.wav` | a sound header, no samples |\n"
        "| `nan.wav` | float samples, some of them not a number |\n"
        "| `tiny-1x1.png` | valid, one pixel |\n"
        "| `single-colour.png` | valid, every pixel the same |\n"
        "| `silence.wav` | valid, all zero |\n"
        "| `short.wav` | valid, 5 samples |\n\n"
        "Made by `Tools/fixtures.py`.\n",
    )


FOLDERS = {
    "images/shapes": make_shapes,
    "images/fresh": make_fresh_shapes,
    "images/inbox": make_image_inbox,
    "images/formats": make_image_formats,
    "audio/sounds": make_sounds,
    "audio/inbox": make_audio_inbox,
    "audio/formats": make_audio_formats,
    "broken": make_broken,
}


def files_below(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(
        description="Writes the small images and recordings in Fixtures/."
    )
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    total, differences = 0, []
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in FOLDERS.items():
            made, kept = pathlib.Path(scratch) / name, FIXTURES / name
            make(made)
            total += sum((made / path).stat().st_size for path in files_below(made))
            if arguments.check:
                both = sorted({*files_below(made), *files_below(kept)})
                differences += [
                    f"{name}/{path}"
                    for path in both
                    if not (
                        (made / path).is_file()
                        and (kept / path).is_file()
                        and filecmp.cmp(made / path, kept / path, shallow=False)
                    )
                ]
            else:
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(made, kept)
    for path in differences:
        print(f"fixtures: differs: {path}", file=sys.stderr)
    print(
        f"fixtures: {total / 1e6:.2f} MB in {len(FOLDERS)} folders, {len(differences)} files differ"
        if arguments.check
        else f"fixtures: {total / 1e6:.2f} MB in {len(FOLDERS)} folders written"
    )
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
