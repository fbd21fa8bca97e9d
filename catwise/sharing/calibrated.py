"""Calibrate a diagnosis with a function that trains: again on random halves, answers by class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from catwise.ceiling.calibration import calibrate
from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.decision import SIZE, calibrated_check
from catwise.ceiling.joint_direction import joint_weights
from catwise.ceiling.verdict import Verdict
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.progress import Progress
from catwise.fidelity.subsets import halves_of_labels
from catwise.improvement.own_models import CheckedTraining, TrainFunction
from catwise.influence.layers import frozen
from catwise.influence.samples import Samples
from catwise.sharing.questions import Fitted

__all__ = ["retrained_verdict"]

TRIAL_SEEDS = 2  # seeds of the trainings with the weights of a verdict of room


def retrained_verdict(
    check: CeilingCheck,
    p_nkb: np.ndarray,
    fitted: Fitted,
    query: Samples,
    classes: Sequence[str],
    accuracy_k: np.ndarray,
    retrain: TrainFunction,
    *,
    halves: int,
    seed: int,
    small_gain: float,
    progress: Progress = iter,
) -> Verdict:
    """Train on ``halves`` random halves of every label, and give the verdict that they calibrate.

    Half h is trained as ``retrain(weights_n, h)``, with weight 2 on the half (n over its size) and
    0 elsewhere, of mean 1 as the weights that the verdict is about. Half 1 has the seed of half 0,
    so that a function which ignores the weights shows itself. ``accuracy_k`` is that of the fitted
    model on the query samples of each class. Room is said only if the loss of every class falls on
    these samples in trainings with the weights that promise it, beside plain ones of the same
    seeds, ``halves`` and the next.

    Raises InputError where ``retrain`` returns no model of these classes, trains one on that was
    there before, returns the same model whatever the weights, or one whose losses are not finite.
    """
    labels_n = fitted.train.labels.cpu().numpy()
    kept_hn = halves_of_labels(labels_n, halves, np.random.default_rng(seed))
    like, answers = next(fitted.model.parameters()), []

    def placed(weights_n: np.ndarray, number: int) -> nn.Module:
        model = retrain(weights_n, number)
        return model.to(like) if isinstance(model, nn.Module) else model

    training = CheckedTraining(
        placed, {"train": fitted.train}, len(classes), fitted.logits, "retrain"
    )

    def train(weights_n: np.ndarray, number: int, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Train with these weights and this seed; return loss and accuracy of each class."""
        model = training(weights_n, number)
        if fingerprint(fitted.model) != fitted.fingerprint:
            raise InputError("retrain: expected a new model; got the diagnosed one, trained on")
        loss_k, right_k = _loss_and_accuracy(model, query, len(classes), fitted)
        if not np.isfinite(loss_k).all():
            expected = "a model with finite losses"
            raise InputError(
                f"retrain: expected {expected}; got others after {what}; the training may "
                "have diverged"
            )
        return loss_k, right_k

    for number, kept_n in progress(list(enumerate(kept_hn))):
        seed_of_half = 0 if number == 1 else number
        answers.append(train(kept_n / kept_n.mean(), seed_of_half, f"half {number}"))
        if (kept_hn[:2] != kept_hn[0]).any():  # else two halves of few samples are the same
            training.require_other_models()
    loss_hk, accuracy_hk = (np.stack(values) for values in zip(*answers, strict=True))
    counts_k = np.bincount(query.labels.cpu().numpy(), minlength=len(classes))
    calibration = calibrate(
        p_nkb.sum(axis=2), labels_n, counts_k, kept_hn, loss_hk[:, None], accuracy_hk[:, None]
    )
    verdict, _ = calibrated_check(
        check, p_nkb, labels_n, counts_k, accuracy_k, calibration, classes, small_gain
    )
    if verdict.answer != "room":
        return verdict
    weights_n = joint_weights(p_nkb.sum(axis=2), labels_n, size=SIZE)
    pairs = [
        (w_n, halves + s)
        for s in range(TRIAL_SEEDS)
        for w_n in (np.ones_like(weights_n), weights_n)
    ]
    loss_jk = np.stack([train(*pair, "its weights")[0] for pair in progress(pairs)])
    return verdict.after_training(classes, (loss_jk[::2] - loss_jk[1::2]).mean(axis=0))


def _loss_and_accuracy(
    model: nn.Module, query: Samples, num_classes: int, fitted: Fitted
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean loss and the accuracy of each class on the query samples, (k,) each."""
    losses, right = [], []
    with frozen(model), torch.no_grad():
        for start in range(0, len(query), fitted.batch_size):
            part = query.rows(slice(start, start + fitted.batch_size))
            losses.append(fitted.loss(model, part).double().cpu())
            predicted = fitted.logits(model, part)[:, :num_classes].argmax(-1)
            right.append((predicted == part[-1]).double().cpu())
    labels = query.labels.cpu()
    count_k = torch.bincount(labels, minlength=num_classes)
    loss_k, right_k = (
        torch.bincount(labels, weights=torch.cat(parts), minlength=num_classes) / count_k
        for parts in (losses, right)
    )
    return loss_k.numpy(), right_k.numpy()
