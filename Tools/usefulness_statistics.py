"""Figures by row and seed, kept in files, and their paired differences; used by usefulness.py."""

import json
import math
import statistics

import scipy.stats


class Figures:
    """Figures by row and seed, kept in a file."""

    def __init__(self, path):
        self.path = path
        self.values = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name, compute):
        if name not in self.values:
            self.values[name] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".new")
            temporary.write_text(json.dumps(self.values))
            temporary.replace(self.path)
        return self.values[name]


def interval(values):
    """The mean, and half of the 95 % interval of Student's t; of one value, infinity."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, math.inf
    error = statistics.stdev(values) / len(values) ** 0.5
    return mean, error * scipy.stats.t.ppf(0.975, len(values) - 1)


def bounds(mean, half, form):
    return (f"[{mean - half:{form}}, {mean + half:{form}}]" if half < math.inf
            else "(one seed, no interval)")


def table(title, rows, pairs, figures):
    """figures[row] is a list, a figure for each seed, in percent."""
    print(f"\n{title}\n{'':18}{'mean':>7}{'sd':>7}   each")
    for row in rows:
        values = figures[row]
        spread = f"{statistics.stdev(values):7.1f}" if len(values) > 1 else f"{'-':>7}"
        print(f"{row:18}{statistics.mean(values):7.1f}{spread}   "
              + " ".join(f"{v:.1f}" for v in values))
    print("\npaired differences, 95 % intervals over "
          f"{len(next(iter(figures.values())))} seeds")
    for a, b in pairs:
        if a in figures and b in figures:
            mean, half = interval([x - y for x, y in zip(figures[a], figures[b])])
            verdict = "above 0" if mean - half > 0 else "below 0" if mean + half < 0 else "open"
            print(f"{a + ' - ' + b:36}{mean:+6.1f}  {bounds(mean, half, '+.1f')}  {verdict}")
    plain = [row for row in ("real", "classic", "classic+elastic") if row in figures]
    if "auto" in figures and plain:
        best = max(plain, key=lambda row: statistics.mean(figures[row]))
        print(f"auto is {statistics.mean(figures['auto']) - statistics.mean(figures[best]):+.1f} beside "
              f"the best of {', '.join(plain)}: {best}")
    if "real" in figures and "ours alone" in figures:
        ratios = [a / b for a, b in zip(figures["ours alone"], figures["real"])]
        mean, half = interval(ratios)
        print(f"{'ours alone / real':36}{mean:6.3f}  {bounds(mean, half, '.3f')}")
