"""Writes the figures of synthetic sets that tests compare against, computed by NumPy and SciPy.

    .libtorch-python Tools/quality_reference.py       # Fixtures/expected/quality.json

quality.json
    cases       [{name, width, real, synthetic, held_out, density, coverage, kid, frechet, leaking,
                  copies, identical, copy_distance}]
        Rows of features, one after the other, and what they give by the definitions: density and
        coverage of Naeem et al. 2020 (k = 5), the unbiased squared discrepancy under (x.y/d + 1)^3,
        the squared Frechet distance by the eigenvalues of the product of the covariances, all of synthetic against real; of
        synthetic rows nearer to a real than to a held-out one (ties one half), those nearer to a real
        one than the 1st percentile of held-out rows' distances to theirs or equal to one, and the
        equal ones.
    intervals   [{count, total, low, high}]
        Clopper and Pearson's 95 % intervals of accuracies of a two-sample test.
    usefulness  {codes, correct, accuracy, balanced, low, high, difference, difference_low,
                 difference_high}
        Of recipes x seeds x items that a classifier got right: means, and percentiles over 20,000
        resamples of seeds and, in each class, of items, of the first recipe's accuracy and of the
        second less the first, which other resamples give within Monte-Carlo error.
"""

import json
import pathlib

import numpy as np
from scipy import linalg, stats
from scipy.spatial.distance import cdist

FILE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "expected" / "quality.json"
K = 5


def density_coverage(real, synthetic):
    radii = np.sort(cdist(real, real), axis=1)[:, K]  # Column 0 is the row itself.
    inside = cdist(real, synthetic) < radii[:, None]
    return inside.sum() / (K * len(synthetic)), inside.any(1).mean()


def kid(x, y):
    def kernel(a, b):
        return (a @ b.T / x.shape[1] + 1) ** 3
    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    return ((xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
            - 2 * kernel(x, y).mean())


def frechet(x, y):
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    trace = np.sqrt(np.clip(linalg.eigvals(a @ b).real, 0, None)).sum()
    if min(np.linalg.matrix_rank(a), np.linalg.matrix_rank(b)) == len(a):
        assert np.isclose(trace, np.trace(linalg.sqrtm(a @ b)).real, rtol=1e-9)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * trace


def case(name, real, synthetic, held_out):
    real, synthetic, held_out = (
        np.asarray(rows, np.float32).astype(np.float64) for rows in (real, synthetic, held_out))
    density, coverage = density_coverage(real, synthetic)
    nearest = cdist(synthetic, real).min(1)
    other = cdist(synthetic, held_out).min(1)
    limit = np.percentile(cdist(held_out, real).min(1), 1)
    # NumPy and the tool compute distances in another order: no figure may hang on a rounding.
    gap = np.abs(np.concatenate([nearest - limit, (nearest - other)[nearest != other]]))
    assert gap[gap > 0].min() > 1e-6
    return {
        "name": name, "width": real.shape[1], "real": real.ravel().tolist(),
        "synthetic": synthetic.ravel().tolist(), "held_out": held_out.ravel().tolist(),
        "density": density, "coverage": coverage, "kid": kid(synthetic, real),
        "frechet": frechet(synthetic, real),
        "leaking": (nearest < other).sum() + 0.5 * (nearest == other).sum(),
        "copies": int(((nearest < limit) | (nearest == 0)).sum()),
        "identical": int((nearest == 0).sum()), "copy_distance": limit}


def cases():
    draw = np.random.default_rng(1)
    same = [draw.normal(size=(n, 4)) for n in (40, 30, 40)]
    yield case("alike", *same)
    yield case("shifted", same[0], same[1] + [1.5, 0, 0, -0.5], same[2])
    yield case("narrow", same[0], 0.3 * same[1], same[2])
    yield case(
        "copies", same[0],
        np.concatenate([same[0][:20], same[0][20:30] + 1e-3, same[1][:10]]), same[2])
    # Covariances without an inverse: the last two columns follow from the first.
    flat = [np.concatenate([x[:, :3], x[:, :1] + x[:, 1:2], 0 * x[:, :1]], 1) for x in same]
    yield case("flat", *flat)


def usefulness():
    draw = np.random.default_rng(2)
    codes = np.repeat([0, 1, 2], [20, 12, 5])
    chance = np.array([[0.6, 0.7, 0.4], [0.8, 0.7, 0.6]])
    hard = draw.normal(scale=0.15, size=len(codes))
    correct = draw.random((2, 4, len(codes))) < (chance[:, codes] + hard)[:, None]
    members = [np.flatnonzero(codes == code) for code in range(3)]
    balanced = np.mean([correct[:, :, m].mean((1, 2)) for m in members], 0)
    samples = []
    for _ in range(20_000):
        seeds = draw.integers(4, size=4)
        items = np.concatenate([draw.choice(m, len(m)) for m in members])
        samples.append(correct[:, seeds][:, :, items].mean((1, 2)))
    samples = np.array(samples)
    low, high = np.percentile(samples[:, 0], [2.5, 97.5])
    difference = np.percentile(samples[:, 1] - samples[:, 0], [2.5, 97.5])
    accuracy = correct.mean((1, 2))
    return {
        "codes": codes.tolist(), "correct": correct.tolist(), "accuracy": accuracy.tolist(),
        "balanced": balanced.tolist(), "low": low, "high": high,
        "difference": accuracy[1] - accuracy[0], "difference_low": difference[0],
        "difference_high": difference[1]}


def main():
    intervals = []
    for count, total in [(50, 100), (0, 8), (37, 40)]:
        low, high = stats.binomtest(count, total).proportion_ci(0.95, "exact")
        intervals.append({"count": count, "total": total, "low": low, "high": high})
    FILE.write_text(json.dumps(
        {"cases": list(cases()), "intervals": intervals, "usefulness": usefulness()}) + "\n")


if __name__ == "__main__":
    main()
