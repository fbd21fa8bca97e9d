"""Score the label of each training sample without influence: a low score is a suspect label."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from benchmarks.peers.case import Work
from catwise.experiments.retraining import train_anew

__all__ = ["LABELS"]

FOLDS = 5


def mean_margin(work: Work) -> np.ndarray:
    """Average over the epochs the logit of the label less the largest other one.

    Source: the area under the margin, Pleiss et al. 2020, arXiv 2001.10528. The stage ``train``
    records the same while it trains, so that it costs a user nothing.
    """
    own = F.one_hot(work.train[-1], work.k).bool()
    margins = [z[own] - z.masked_fill(own, -torch.inf).amax(1) for z in _along(work)]
    return torch.stack(margins).mean(0).numpy()


def el2n(work: Work) -> np.ndarray:
    """Average over the epochs the length of the error of the probabilities, its sign turned.

    Source: Paul et al. 2021, arXiv 2107.07075, who average over trainings early in each.
    """
    target = F.one_hot(work.train[-1], work.k)
    errors = [(z.softmax(1) - target).norm(dim=1) for z in _along(work)]
    return -torch.stack(errors).mean(0).numpy()


def _along(work: Work) -> Iterator[Tensor]:
    """Yield the logits of the training samples after each epoch."""
    for epoch in range(1, work.recipe.epochs + 1):
        yield work.logits(work.at(epoch), work.train[0])


def self_confidence(work: Work) -> np.ndarray:
    """Score each label by its own probability, of a network that has not seen the sample."""
    from cleanlab.rank import get_label_quality_scores

    x, y = work.train
    p_nk = np.zeros((len(y), work.k))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for seen, unseen in folds.split(np.zeros(len(y)), y.numpy()):
        model = train_anew(work.section.train, work.dataset, (x[seen], y[seen])).eval()
        p_nk[unseen] = work.logits(model, x[unseen]).softmax(1).numpy()
    return get_label_quality_scores(y.numpy(), p_nk, method="self_confidence")


# by name: the package, the module that is imported before the clock starts, how it is computed
LABELS: dict[str, tuple[str, str, Callable[[Work], np.ndarray]]] = {
    "margin, mean over the epochs": ("catwise", "catwise", mean_margin),
    "EL2N, mean over the epochs": ("catwise", "catwise", el2n),
    "cleanlab, self-confidence": ("cleanlab", "cleanlab.rank", self_confidence),
}
