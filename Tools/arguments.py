"""Arguments of a script and, after `--`, those that it hands on to `latent`; used by the others."""

import sys


def divided(usual=()):
    """What comes before the first `--` of the command line, and what after it; `usual` where there is none."""
    words = sys.argv[1:]
    if "--" not in words:
        return words, list(usual)
    cut = words.index("--")
    return words[:cut], words[cut + 1:]
