"""Fits of rankings by somebody with weights of their own."""

import numpy as np

from clpips.models.fitting.job import FitJob
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights_files import load_weights

LPIPS = load_weights("lpips").values


def job(rankings: int = 3, candidates: int = 5, seed: int = 0) -> FitJob:
    """Rankings by somebody with weights of their own."""
    rng = np.random.default_rng(seed)
    hidden = rng.gamma(0.3, 1, Z_LENGTH)
    z = [rng.gamma(1, 0.01, (candidates, Z_LENGTH)).astype(np.float16) for _ in range(rankings)]
    ranks = [(np.argsort(np.argsort(rows @ hidden)) + 1).tolist() for rows in z]
    return FitJob(
        channel_distances=z,
        ranks=ranks,
        targets=[f"target {number}" for number in range(rankings)],
        candidates=[[f"{number}-{candidate}" for candidate in range(candidates)] for number in range(rankings)],
        base=LPIPS,
        resolution=256,
    )
