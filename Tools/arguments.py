"""Arguments of a script and, after `--`, those that it hands on to `latent`; used by the others."""

import sys


def divided():
    """What comes before the first `--` of the command line, and what after it."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    return words[:cut], words[cut + 1:]
