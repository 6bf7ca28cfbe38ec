"""PNGs and WAVs of every variant, for Tools/fixtures.py: the usual libraries do not write them all."""

import struct
import zlib

import numpy as np

# --- PNG ------------------------------------------------------------------------------------------

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return np.where((pa <= pb) & (pa <= pc), a, np.where(pb <= pc, b, c))


def filtered_rows(codes, depth):
    """The rows of `codes` [H, W, C], packed, each behind its filter byte; filters 0 to 4 in turn."""
    height, width, channels = codes.shape
    if depth == 16:
        packed = codes.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = np.unpackbits(codes.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(height, -1), axis=1)
    step = max(1, channels * depth // 8)
    rows, above = [], np.zeros(packed.shape[1], dtype=np.int64)
    for y, row in enumerate(packed.astype(np.int64)):
        left = np.concatenate([np.zeros(step, dtype=np.int64), row])[: len(row)]
        corner = np.concatenate([np.zeros(step, dtype=np.int64), above])[: len(row)]
        kind = y % 5
        guess = [0, left, above, (left + above) // 2, paeth(left, above, corner)][kind]
        rows.append(bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes())
        above = row
    return b"".join(rows)


def png(codes, kind, depth, interlaced=False, palette=None, transparency=None, extra=b""):
    """A PNG of the codes [H, W, C], which are palette indices where `kind` is PALETTE."""
    height, width, _ = codes.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    passes = [codes]
    if interlaced:
        passes = [codes[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    rows = b"".join(filtered_rows(part, depth) for part in passes if part.size)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
    if palette is not None:
        content += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        content += chunk(b"tRNS", transparency)
    return content + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def grey_png(image):
    """An 8-bit grey PNG of an image [H, W] in 0...1."""
    return png(np.rint(np.clip(image, 0, 1) * 255).astype(np.int64)[..., None], GREY, 8)


# --- WAV ------------------------------------------------------------------------------------------


def wav(samples, rate, encoding="s16", extensible=False):
    """A WAV file of samples [frames] or [frames, channels] in -1...1, and the values it stands for."""
    samples = np.asarray(samples, dtype=np.float64)
    samples = samples[:, None] if samples.ndim == 1 else samples
    channels, bits = samples.shape[1], int(encoding[1:])
    if encoding == "f32":
        body = samples.astype("<f4").tobytes()
        values = samples.astype("<f4")
    else:
        full = 2 ** (bits - 1)
        codes = np.clip(np.rint(samples * full), -full, full - 1).astype(np.int64)
        values = codes / full
        if encoding == "u8":
            body = (codes + 128).astype(np.uint8).tobytes()
        else:
            body = codes.astype("<i4")[..., None].view(np.uint8)[..., : bits // 8].tobytes()
    tag = 3 if encoding == "f32" else 1
    block = channels * bits // 8
    layout = struct.pack("<HIIHH", channels, rate, rate * block, block, bits)
    if extensible:
        speakers = {1: 4, 2: 3}[channels]
        identifier = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        layout = (
            struct.pack("<H", 0xFFFE)
            + layout
            + struct.pack("<HHI", 22, bits, speakers)
            + identifier
        )
    else:
        layout = struct.pack("<H", tag) + layout
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout
    if tag == 3:
        chunks += b"fact" + struct.pack("<II", 4, len(samples))
    chunks += b"data" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks, values
