"""Writes what tests hold the classifier of `judge` against, computed by NumPy and scikit-learn.

    .libtorch-python -m pip install scikit-learn      # needed here only
    .libtorch-python Tools/judging_reference.py       # Fixtures/expected/judging.json

judging.json
    rows, labels        [N, D], N class names
    queries, own        [M, D], M class names
    unlikeness          N: -log p(class | row) in nats of each row by the discriminant that the rows of
                        its fold were left out of; fold = place among the rows of the class mod 5
    log_probabilities   [M, C] of the queries, classes sorted, by the discriminant of all rows

The discriminant is Fisher's, with equal priors and the covariance (1 - w) S + w tr(S)/D 1 of the rows
about the means of their classes; w is scikit-learn's ledoit_wolf_shrinkage, at least 0.001.
"""

import json
import pathlib

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

FILE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "expected" / "judging.json"


def log_probabilities(rows, labels, queries):
    names = sorted(set(labels))
    means = np.stack([rows[labels == name].mean(0) for name in names])
    centred = rows - means[[names.index(label) for label in labels]]
    sample = centred.T @ centred / len(rows)
    weight = max(1e-3, ledoit_wolf_shrinkage(centred, assume_centered=True))
    width = rows.shape[1]
    covariance = (1 - weight) * sample + weight * np.trace(sample) / width * np.eye(width)
    solved = np.linalg.solve(covariance, means.T)
    levels = queries @ solved - 0.5 * (means.T * solved).sum(0)
    return levels - np.logaddexp.reduce(levels, axis=1, keepdims=True)


def main():
    random = np.random.default_rng(5)
    counts = {"ant": 14, "bee": 9, "cat": 6}
    centres = {name: random.normal(size=7) for name in counts}
    mixing = random.normal(size=(7, 7))

    def drawn(name, count):
        return (centres[name] + 0.6 * random.normal(size=(count, 7)) @ mixing).astype(np.float32)

    rows = np.concatenate([drawn(name, count) for name, count in counts.items()])
    labels = np.array([name for name, count in counts.items() for _ in range(count)])
    queries = np.concatenate([drawn(name, 4) for name in counts])
    names = sorted(counts)
    folds = np.concatenate([np.arange(count) % 5 for count in counts.values()])
    wide = rows.astype(np.float64)
    unlikeness = np.zeros(len(rows))
    for fold in range(5):
        out = folds == fold
        logs = log_probabilities(wide[~out], labels[~out], wide[out])
        unlikeness[out] = [-row[names.index(label)] for row, label in zip(logs, labels[out])]
    content = {
        "rows": rows.tolist(), "labels": labels.tolist(), "queries": queries.tolist(),
        "own": [names[i % 3] for i in range(len(queries))],
        "unlikeness": unlikeness.tolist(),
        "log_probabilities": log_probabilities(wide, labels, queries.astype(np.float64)).tolist(),
    }
    text = json.dumps(content, separators=(",", ":"))
    FILE.write_text(text + "\n")
    print(f"{FILE.name}: {len(text)} bytes")


if __name__ == "__main__":
    main()
