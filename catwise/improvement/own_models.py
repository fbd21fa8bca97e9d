"""Train by the function of a user, and ask its models, on whatever device they are."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.evaluation import evaluating
from catwise.core.losses import Logits, logits_of
from catwise.improvement.first_calls import FEW, require_logits
from catwise.influence.samples import Data, Samples, as_samples
from catwise.training.models import fingerprint

__all__ = ["CheckedTraining", "TrainFunction", "outputs", "right"]

AT_ONCE = 1000  # samples whose logits are computed together
TrainFunction = Callable[[np.ndarray, int], nn.Module]  # weights (n,) and a seed -> the model


class CheckedTraining:
    """Train by the user's function, and refuse models that do not come from their weights.

    train  the training samples, the first of which every model has to take, and to answer with
           logits of the ``classes``
    marks  by seed, the fingerprints of the models, each trained with other weights
    """

    def __init__(
        self,
        function: TrainFunction,
        train: Samples,
        classes: int,
        logits: Logits,
        name: str = "train_function",
    ) -> None:
        self.function, self.train, self.classes, self.logits = function, train, classes, logits
        self.name = name
        self.marks: dict[int, list[str]] = defaultdict(list)
        self.last: tuple[nn.Module | None, str] = (None, "")

    def __call__(self, weights_n: np.ndarray, seed: int) -> nn.Module:
        model = self.function(weights_n, seed)
        if not (isinstance(model, nn.Module) and [*model.parameters()]):
            expected = "a torch module with parameters"
            raise InputError(f"{self.name}: expected {expected}; got {type(model).__name__}")
        few = as_samples(self.train, model).rows(FEW)
        require_logits("train", model, few, self.logits, self.classes, self.name)
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
            raise self.same_models()

    def same_models(self) -> InputError:
        """Return the error of a function whose models are the same whatever the weights."""
        return InputError(
            f"{self.name}: expected another model with other weights; got the same;"
            " multiply the loss of sample i by weights_n[i]"
        )


def right(model: nn.Module, samples: Samples, logits: Logits = logits_of) -> np.ndarray:
    """Tell which samples a model classifies right, in evaluation mode: (m,)."""
    logits_mk = outputs(model, samples, logits)
    return (logits_mk.argmax(1) == samples.labels.to(logits_mk.device)).cpu().numpy()


@torch.no_grad()
def outputs(model: nn.Module, data: Data, logits: Logits) -> torch.Tensor:
    """Return the logits of all samples, in evaluation mode."""
    samples = as_samples(data, model)
    parts = torch.arange(len(samples)).split(AT_ONCE)
    with evaluating(model):
        return torch.cat([logits(model, samples.rows(part)) for part in parts])
