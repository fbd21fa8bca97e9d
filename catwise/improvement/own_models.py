"""Train by the function of a user, and ask its models, on whatever device they are."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.evaluation import evaluating
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import Logits, logits_of
from catwise.improvement.first_calls import FEW, not_a_number, require_logits
from catwise.improvement.own_samples import require_apart
from catwise.influence.reading import as_samples, require_finite
from catwise.influence.samples import Data, Samples

__all__ = ["CheckedTraining", "TrainFunction", "outputs", "require_trainer", "right"]

AT_ONCE = 1000  # samples whose logits are computed together
TrainFunction = Callable[[np.ndarray, int], nn.Module]  # weights (n,) and a seed -> the model


class CheckedTraining:
    """Train by the user's function, and refuse models that do not come from their weights.

    sets   samples by name, the first of which every model has to take, and to answer with logits of
           ``num_classes`` classes
    marks  by seed, the fingerprints of the models, each trained with other weights
    """

    def __init__(
        self,
        function: TrainFunction,
        sets: Mapping[str, Samples],
        num_classes: int,
        logits: Logits,
        name: str = "train_function",
    ) -> None:
        require_trainer(name, function)
        self.function, self.sets, self.num_classes = function, sets, num_classes
        self.logits, self.name = logits, name
        self.marks: dict[int, list[str]] = defaultdict(list)
        self.last: tuple[nn.Module | None, str] = (None, "")

    def __call__(self, weights_n: np.ndarray, seed: int) -> nn.Module:
        model = self.function(weights_n.copy(), seed)  # it may edit them
        if not (isinstance(model, nn.Module) and [*model.parameters()]):
            expected = "a torch module with parameters"
            raise InputError(f"{self.name}: expected {expected}; got {type(model).__name__}")
        plain = bool((weights_n == 1).all())  # with others a training may diverge, and has failed
        sets = {name: as_samples(samples, model) for name, samples in self.sets.items()}
        for name, samples in sets.items():
            few = samples.rows(FEW)
            require_logits(name, model, few, self.logits, self.num_classes, self.name, finite=plain)
        if not self.marks and any(samples.by_name for samples in self.sets.values()):
            for name, samples in sets.items():  # now that the model has said which columns it takes
                require_finite(samples, name)
            require_apart(sets)
        mark = fingerprint(model)
        before, mark_before = self.last
        if model is before and mark != mark_before:  # one that is returned as it was is no harm
            expected = "a new model each time"
            raise InputError(f"{self.name}: expected {expected}; got the one before, trained on")
        self.last = model, mark
        self.marks[seed].append(mark)
        return model

    def require_other_models(self) -> None:
        """Raise InputError where other weights were tried, and no model is another for any."""
        marks = self.marks.values()
        several = any(len(of_seed) > 1 for of_seed in marks)
        if several and all(len(set(of_seed)) == 1 for of_seed in marks):
            raise InputError(
                f"{self.name}: expected another model with other weights; got the same;"
                " multiply the loss of sample i by weights_n[i]"
            )


def require_trainer(name: str, function: TrainFunction) -> None:
    """Raise InputError for anything but a function of the weights and a seed.

    >>> require_trainer("retrain", lambda weights_n: None)
    Traceback (most recent call last):
    catwise.core.errors.InputError: retrain: expected a function of (weights_n, seed); got <lambda>
    """
    with suppress(TypeError):
        if not isinstance(function, nn.Module):
            inspect.signature(function).bind(None, 0)
            return
    got = getattr(function, "__name__", type(function).__name__)
    raise InputError(f"{name}: expected a function of (weights_n, seed); got {got}")


def right(model: nn.Module, samples: Samples, logits: Logits = logits_of) -> np.ndarray:
    """Tell which samples a model classifies right, in evaluation mode: (m,).

    None is right that has a logit of NaN or inf.
    """
    logits_mk = outputs(model, samples, logits)
    right_m = logits_mk.argmax(1) == samples.labels.to(logits_mk.device)
    return (right_m & ~not_a_number(logits_mk).any(1)).cpu().numpy()


@torch.no_grad()
def outputs(model: nn.Module, data: Data, logits: Logits) -> torch.Tensor:
    """Return the logits of all samples, in evaluation mode."""
    samples = as_samples(data, model)
    parts = torch.arange(len(samples)).split(AT_ONCE)
    with evaluating(model):
        return torch.cat([logits(model, samples.rows(part)) for part in parts])
