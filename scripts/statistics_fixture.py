# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scipy==1.17.1"]
# ///
"""Reference values of crates/datasway-stats by NumPy and SciPy, for crates/datasway-stats/tests/statistics.rs.

    python3 scripts/statistics_fixture.py

writes crates/datasway-stats/tests/fixtures/statistics.json.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(5)
real = rng.normal(size=(30, 6)).round(4)
predicted = (0.6 * real + rng.normal(size=real.shape)).round(4)
# One decimal, so that there are ties and differences of exactly zero.
coarse_a = rng.normal(size=40).round(1)
coarse_b = (coarse_a + rng.normal(size=40) * 0.4 + 0.2).round(1)
correlations = np.array([stats.pearsonr(p, r).statistic for p, r in zip(predicted, real)])

wilcoxon = stats.wilcoxon(
    (coarse_b - coarse_a).round(1), zero_method="wilcox", correction=False, method="asymptotic"
)
interval = stats.bootstrap(
    (correlations,),
    np.mean,
    n_resamples=50_000,
    method="percentile",
    vectorized=True,
    rng=np.random.default_rng(1),
).confidence_interval

fixture = {
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
    "predicted": predicted.tolist(),
    "real": real.tolist(),
    "pearson": correlations.tolist(),
    "quartiles": np.quantile(correlations, [0.25, 0.5, 0.75]).tolist(),
    "mean_interval": [interval.low, interval.high],
    "coarse_a": coarse_a.tolist(),
    "coarse_b": coarse_b.tolist(),
    "ranks": stats.rankdata(coarse_a).tolist(),
    "spearman": stats.spearmanr(coarse_a, coarse_b).statistic,
    "differences": (coarse_b - coarse_a).round(1).tolist(),
    "wilcoxon": {"statistic": wilcoxon.statistic, "p": wilcoxon.pvalue},
}
path = Path(__file__).parent.parent / "crates/datasway-stats/tests/fixtures/statistics.json"
path.write_text(json.dumps(fixture) + "\n")
