"""Mel spectrograms.

mel.json    {"banks": [{rate, fft, mels, weights}], "spectra": [{…, hop, signal, log}]}
    Slaney's mel bank as librosa builds it, checked here against the mel frequencies that librosa's
    documentation prints; and ln of the mel power of a chirp in noise, by numpy's FFT with reflected
    ends and a periodic Hann window, in float64. Used by LogMelViewTests.
"""

import numpy as np

from .common import plain, write


def mel_to_hertz(mels):
    """Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 mels for each factor of 6.4."""
    log_step = np.log(6.4) / 27.0
    return np.where(mels < 15.0, 200.0 / 3 * mels, 1000.0 * np.exp(log_step * (mels - 15.0)))


def hertz_to_mel(hertz):
    """The inverse, for one frequency."""
    return 15.0 + np.log(hertz / 1000.0) / (np.log(6.4) / 27.0) if hertz >= 1000 else hertz / (
        200.0 / 3)


def mel_bank(rate, fft, mels):
    """As librosa.filters.mel(norm="slaney"): ramps of all bands at once."""
    edges = mel_to_hertz(np.linspace(0.0, hertz_to_mel(rate / 2), mels + 2))
    widths = np.diff(edges)
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(fft, 1.0 / rate))
    lower, upper = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    return np.maximum(0, np.minimum(lower, upper)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def mel():
    """mel.json"""
    # librosa.mel_frequencies(n_mels=40), as its documentation prints it.
    known = [0, 85.317, 170.635, 255.952, 341.269, 426.586, 511.904, 597.221, 682.538, 767.855,
             853.173, 938.49, 1024.856, 1119.114, 1222.042, 1334.436, 1457.167, 1591.187, 1737.532,
             1897.337, 2071.84, 2262.393, 2470.47, 2697.686, 2945.799, 3216.731, 3512.582,
             3835.643, 4188.417, 4573.636, 4994.285, 5453.621, 5955.205, 6502.92, 7101.009,
             7754.107, 8467.272, 9246.028, 10096.408, 11025]
    found = mel_to_hertz(np.linspace(0.0, hertz_to_mel(11025.0), 40))
    assert np.abs(found - known).max() < 6e-4, "the scale here is wrong"

    banks = [
        {"rate": rate, "fft": fft, "mels": mels, "weights": plain(mel_bank(rate, fft, mels))}
        for rate, fft, mels in [(8000, 256, 40), (16000, 512, 64), (11025, 300, 17), (1500, 64, 8)]
    ]
    random = np.random.RandomState(7)
    spectra = []
    for rate, fft, hop, mels, count in [(8000, 256, 128, 40, 1000), (8000, 64, 20, 12, 333)]:
        time = np.arange(count) / rate
        chirp = 0.5 * np.sin(2 * np.pi * (300 * time + 0.5 * 20000 * time**2))
        signal = np.round(chirp + 0.02 * random.standard_normal(count), 4).astype(np.float32)
        padded = np.pad(signal.astype(np.float64), fft // 2, mode="reflect")
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
        frames = [padded[start:start + fft] * window for start in range(0, count + 1, hop)]
        power = np.abs(np.fft.rfft(frames, axis=1).T) ** 2
        spectra.append({
            "rate": rate, "fft": fft, "hop": hop, "mels": mels, "signal": plain(signal),
            "log": plain(np.log(mel_bank(rate, fft, mels) @ power)),
        })
    write("mel.json", {"banks": banks, "spectra": spectra})
