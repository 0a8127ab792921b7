"""Paper recipe: margin ranking loss and Adam with early stopping, as the CLPIPS paper has it (arXiv 2604.01234).

It needs PyTorch, and learns the families that its parent counts: from LPIPS, as published, `aligned` alone. The convex
recipe (`convex/`) reaches more in a fraction of the time; this one is here to compare with.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from clpips.models.fitting.convex.voted_pairs import NoFitError
from clpips.models.metric.families import layout_of_z
from clpips.models.rankings.pairs import RankedPairs, majorities

MARGIN: Final = 0.05  # in LPIPS's units of distance
LEARNING_RATE: Final = 1e-2
PAIRS_A_STEP: Final = 256
EPOCHS: Final = 200
PATIENCE: Final = 30  # epochs without a better validation before it ends
VALIDATION: Final = 0.3  # of the targets


@dataclass(frozen=True, eq=False, kw_only=True)
class PaperFit:
    """`weights`, float32 `(6016,)`, of the `best_epoch` (0: the parent), and each epoch's agreement on validation."""

    weights: NDArray[np.float32]
    best_epoch: int
    validation: list[float]


def fit_paper(
    pairs: RankedPairs,
    parent: NDArray[np.float32],
    margin: float = MARGIN,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
) -> PaperFit:
    """Fit weights by max(0, margin − (d_worse − d_better)), starting from the parent, ≥ 0 by projection.

    30 % of the targets are kept for validation, chosen by `seed`; the weights of the epoch that agrees best with them
    are kept. Pairs in both directions (votes) count by what the majority is ahead. The weights are scaled to the
    parent's mean distance over `pairs.rows`. Raises `NoFitError` for no pairs or a single target.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a batch is too small to share out: several threads wait for each other
    try:
        return _fit(pairs, parent, margin, learning_rate, seed)
    finally:
        torch.set_num_threads(threads)


def _fit(pairs: RankedPairs, parent: NDArray[np.float32], margin: float, learning_rate: float, seed: int) -> PaperFit:
    decided = majorities(pairs)
    targets = np.unique(decided.targets)
    if len(targets) < 2:
        raise NoFitError(f"the paper recipe needs pairs of two targets or more, these have {len(targets)}")
    order = np.random.default_rng(seed).permutation(len(targets))
    held = np.isin(decided.targets, targets[order[: max(1, round(VALIDATION * len(targets)))]])
    kept, validation = decided.take(~held), decided.take(held)

    generator = torch.Generator().manual_seed(seed)
    counted = _channels(parent)  # (f,)
    rows = torch.from_numpy(np.ascontiguousarray(pairs.rows[:, counted]))  # (r, f)
    better, worse = torch.from_numpy(kept.better), torch.from_numpy(kept.worse)  # (n,)
    counts = torch.from_numpy(kept.counts / kept.counts.mean()).float()  # (n,)
    weights = torch.from_numpy(parent[counted]).requires_grad_()  # (f,)
    adam = torch.optim.Adam([weights], lr=learning_rate)
    best, best_epoch, history = parent, 0, [validation.agreement(parent)]
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.split(torch.randperm(len(kept), generator=generator), PAIRS_A_STEP):
            gaps = (rows[worse[batch]] - rows[better[batch]]) @ weights  # (b,)
            loss = (counts[batch] * torch.relu(margin - gaps)).mean()
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            with torch.no_grad():
                weights.clamp_(min=0)
        now = np.zeros_like(parent)  # (c,)
        now[counted] = weights.detach().numpy()
        history.append(validation.agreement(now))
        if history[-1] > history[best_epoch]:
            best, best_epoch = now, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    mean = pairs.rows.mean(axis=0, dtype=np.float64)  # (c,)
    scale = float(mean @ parent) / float(mean @ best) if mean @ best > 0 else 1.0
    scaled = (best * np.float32(scale)).astype(np.float32)
    return PaperFit(weights=scaled, best_epoch=best_epoch, validation=history)


def _channels(parent: NDArray[np.float32]) -> NDArray[np.intp]:
    """The places of all channels of the families that the parent counts, `(f,)`."""
    return np.concatenate(
        [
            np.arange(place.start, place.stop)
            for place in layout_of_z(len(parent)).places.values()
            if parent[place].any()
        ]
    )
