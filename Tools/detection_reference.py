"""Writes the figures of detection that tests compare against, computed by scikit-learn.

    .libtorch-python -m pip install scikit-learn        # needed here only
    .libtorch-python Tools/detection_reference.py       # Fixtures/expected/detection.json

Apart from Tools/reference.py because it needs scikit-learn and SciPy, which nothing else does.

detection.json
    cases       [{name, seed, count, levels, expected}] or [{name, scores, anomalous, expected}]
        Figures of a ranking. Scores with a seed are drawn as `drawn` below says, by integers alone,
        so that the test draws the same ones. tpr_at_fpr_x is the largest TPR with FPR <= x;
        best_f1_threshold the highest score at which the best F1 is reached.
    bootstrap   {seed, count, levels, low, high}
        2.5th and 97.5th percentiles of AUROC over 20,000 resamples of normal and anomalous items
        apart, which other resamples give within Monte-Carlo error.
    regions     [{width, height, maps, masks, pixel_auroc, aupro}]
        Pixels of several maps and masks, row by row; AUPRO up to FPR 0.3 by counting at every
        threshold, regions from scipy.ndimage.label with corners connected.
    intervals   [{count, total, low, high}]
        Clopper and Pearson's 95 % intervals, from scipy.stats.beta.
    labelled    [{seed, count, levels, best_f1, costs: [{miss, alarm, least, flagged}]}]
        Best F1 from precision_recall_curve; the least cost of any threshold, and the fewest items
        that are flagged at it, by trying every one.
"""

import json
import pathlib
import warnings

import numpy as np
from scipy import ndimage, stats
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    average_precision_score, f1_score, precision_recall_curve, roc_auc_score, roc_curve)

FILE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "expected" / "detection.json"


def integers(seed):
    """Upper 16 bits of a linear congruential generator (Numerical Recipes, "quick and dirty")."""
    state = seed
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield state >> 16


def drawn(seed, count, levels):
    """Three integers a, b, c for each item: anomalous where a % 5 == 0; its score is b % levels,
    for an anomalous one plus c % levels."""
    source = integers(seed)
    scores, anomalous = [], []
    for _ in range(count):
        a, b, c = next(source), next(source), next(source)
        anomalous.append(a % 5 == 0)
        scores.append(b % levels + (c % levels if a % 5 == 0 else 0))
    return np.array(scores, np.float64), np.array(anomalous)


def figures(scores, anomalous):
    fpr, tpr, _ = roc_curve(anomalous, scores, drop_intermediate=False)
    # F1 at every score that occurs, from the highest down.
    thresholds = np.unique(scores)[::-1]
    found = [(scores[anomalous] >= t).sum() for t in thresholds]
    flagged = [(scores >= t).sum() for t in thresholds]
    f1 = 2 * np.array(found) / (np.array(flagged) + anomalous.sum())
    best = int(np.argmax(f1))
    assert np.isclose(f1[best], f1_score(anomalous, scores >= thresholds[best]), rtol=0, atol=1e-14)
    return {
        "auroc": roc_auc_score(anomalous, scores),
        "average_precision": average_precision_score(anomalous, scores),
        "partial_auroc_0.1": roc_auc_score(anomalous, scores, max_fpr=0.1),
        "tpr_at_fpr_0.01": tpr[fpr <= 0.01].max(),
        "tpr_at_fpr_0.05": tpr[fpr <= 0.05].max(),
        "best_f1": f1[best],
        "best_f1_threshold": thresholds[best],
    }


def rankings():
    cases = []
    for name, seed, count, levels in [
        ("many ties", 1, 10_000, 37), ("few ties", 2, 10_000, 60_000), ("two scores", 3, 1_000, 2),
        ("few items", 4, 23, 7),
    ]:
        scores, anomalous = drawn(seed, count, levels)
        cases.append({"name": name, "seed": seed, "count": count, "levels": levels,
                      "expected": figures(scores, anomalous)})
    for name, scores, anomalous in [
        ("all equal", [3.5] * 12, [0] * 9 + [1] * 3),
        ("one anomaly, in the middle", [1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 1, 0, 0, 0]),
        ("one of each", [0.25, -1.5], [1, 0]),
        ("one of each, the wrong way", [0.25, -1.5], [0, 1]),
        ("perfectly separated", [-3, -2, -1, 0, 10, 11, 12], [0, 0, 0, 0, 1, 1, 1]),
        ("perfectly wrong", [-3, -2, -1, 0, 10, 11, 12], [1, 1, 1, 0, 0, 0, 0]),
        ("a tie at the limit", [9, 8] + [7] * 10 + list(range(-90, 0)) + [7, 7, -4],
         [0, 1] + [0] * 10 + [0] * 90 + [1, 1, 1]),
    ]:
        cases.append({"name": name, "scores": scores, "anomalous": [bool(a) for a in anomalous],
                      "expected": figures(np.array(scores, np.float64), np.array(anomalous, bool))})
    return cases


def bootstrap():
    seed, count, levels = 5, 400, 50
    scores, anomalous = drawn(seed, count, levels)
    normal, anomaly = scores[~anomalous], scores[anomalous]
    random = np.random.RandomState(0)
    truth = np.r_[np.zeros(len(normal)), np.ones(len(anomaly))]
    values = [
        roc_auc_score(truth, np.r_[random.choice(normal, len(normal)),
                                   random.choice(anomaly, len(anomaly))])
        for _ in range(20_000)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return {"seed": seed, "count": count, "levels": levels, "low": low, "high": high}


def overlap(maps, masks, limit=0.3):
    """AUPRO by counting at each threshold that occurs."""
    regions = []
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(index, labels == number) for number in range(1, count + 1)]
    normal = np.concatenate([m[mask == 0] for m, mask in zip(maps, masks)])
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]:
        rates.append((normal >= threshold).mean())
        overlaps.append(np.mean([(maps[i][r] >= threshold).mean() for i, r in regions]))
    rates, overlaps = np.array(rates), np.array(overlaps)
    inside = rates <= limit
    end = np.searchsorted(rates, limit, "right")
    x, y = rates[inside], overlaps[inside]
    if x[-1] < limit:
        share = (limit - rates[end - 1]) / (rates[end] - rates[end - 1])
        y = np.append(y, y[-1] + share * (overlaps[end] - overlaps[end - 1]))
        x = np.append(x, limit)
    return np.trapezoid(y, x) / limit


def regions():
    cases = []
    for seed, levels, width, height in [(6, 9, 12, 10), (7, 65_536, 9, 14), (8, 2, 6, 5)]:
        source = integers(seed)
        maps, masks = [], []
        for _ in range(3):
            noise = np.array([next(source) % 100 for _ in range(width * height)])
            noise = noise.reshape(height, width)
            # Blobs of several sizes, some of which touch by corners only.
            mask = (ndimage.uniform_filter(noise.astype(float), 3, mode="wrap") > 55).astype(int)
            values = np.array([next(source) % levels for _ in range(width * height)])
            values = np.minimum(values.reshape(height, width) + mask * (levels // 3), levels - 1)
            maps.append(values)
            masks.append(mask)
        masks[1][:] = 0
        # A region that is connected by corners alone.
        masks[2][0, 0] = masks[2][1, 1] = masks[2][2, 2] = 1
        pixels = np.concatenate([m.ravel() for m in maps])
        truth = np.concatenate([m.ravel() for m in masks])
        cases.append({
            "width": width, "height": height, "maps": [m.ravel().tolist() for m in maps],
            "masks": [m.ravel().tolist() for m in masks],
            "pixel_auroc": roc_auc_score(truth, pixels), "aupro": overlap(maps, masks),
        })
    return cases


def intervals():
    cases = []
    for count, total in [(0, 1), (1, 1), (0, 19), (19, 19), (1, 20), (7, 100), (50, 100),
                         (4_999, 100_000), (99_999, 100_000)]:
        low = stats.beta.ppf(0.025, count, total - count + 1) if count > 0 else 0.0
        high = stats.beta.ppf(0.975, count + 1, total - count) if count < total else 1.0
        cases.append({"count": count, "total": total, "low": low, "high": high})
    return cases


def labelled():
    cases = []
    for seed, count, levels in [(9, 2_000, 37), (10, 500, 60_000), (11, 40, 5), (12, 300, 2)]:
        scores, anomalous = drawn(seed, count, levels)
        precision, recall, _ = precision_recall_curve(anomalous, scores)
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
        costs = []
        for miss, alarm in [(10, 1), (1, 1), (1, 10), (0.5, 3), (1_000, 1), (1, 1_000)]:
            tried = []
            for threshold in [np.inf, *np.unique(scores)]:
                flagged = scores >= threshold
                cost = miss * (anomalous & ~flagged).sum() + alarm * (flagged & ~anomalous).sum()
                tried.append((float(cost), int(flagged.sum())))
            least, fewest = min(tried)
            costs.append({"miss": miss, "alarm": alarm, "least": least, "flagged": fewest})
        cases.append({"seed": seed, "count": count, "levels": levels, "best_f1": f1.max(),
                      "costs": costs})
    return cases


if __name__ == "__main__":
    warnings.simplefilter("error", UndefinedMetricWarning)
    content = {"cases": rankings(), "bootstrap": bootstrap(), "regions": regions(),
               "intervals": intervals(), "labelled": labelled()}
    text = json.dumps(
        content, separators=(",", ":"), allow_nan=False,
        default=lambda value: value.item())
    FILE.write_text(text + "\n")
    print(f"{FILE.name}: {len(text)} bytes")
