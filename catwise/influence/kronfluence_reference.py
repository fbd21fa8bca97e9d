"""Compute EKFAC factors and influence scores by kronfluence's own public calls.

Ours are checked and timed against them. kronfluence wraps and freezes the model that it is given,
so it gets a copy; it caches by folder without looking at the weights, so each analysis has a folder
of its own; it draws the labels of the Fisher matrix from the global random state, so that state is
seeded and restored.
"""

import copy
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from catwise.core.losses import Batch
from catwise.influence.curvature import FactoredCurvature
from catwise.influence.layers import covered_layers

__all__ = [
    "Classification",
    "aggregated_scores",
    "analysis",
    "fit_all",
    "fit_kronfluence",
    "pairwise_scores",
]

FACTORS = "factors"


class Classification(Task):
    """Describe a classifier trained by cross entropy, as kronfluence asks for it."""

    def compute_train_loss(self, batch: Batch, model: nn.Module, sample: bool = False) -> Tensor:
        """Sum the loss of a batch; with ``sample`` of labels drawn from the model (true Fisher)."""
        *inputs, labels = batch
        logits = model(*inputs)
        if sample:
            with torch.no_grad():
                labels = torch.multinomial(logits.softmax(-1), 1).flatten()
        return F.cross_entropy(logits, labels, reduction="sum")

    def compute_measurement(self, batch: Batch, model: nn.Module) -> Tensor:
        """Sum the loss of a batch of query samples."""
        return self.compute_train_loss(batch, model)


@contextmanager
def analysis(model: nn.Module, task: Task | None = None, seed: int = 0) -> Iterator[Analyzer]:
    """Yield an analyzer of a copy of the model, in a folder that is deleted afterwards."""
    task = task or Classification()
    logging.getLogger("kronfluence").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield Analyzer(
            "catwise",
            prepare_model(copy.deepcopy(model).eval(), task),
            task,
            cpu=next(model.parameters()).device.type == "cpu",
            output_dir=folder,
            disable_tqdm=True,
            disable_model_save=True,
            log_level=logging.ERROR,
        )


def _factor_arguments(dtype: torch.dtype) -> FactorArguments:
    """Return kronfluence's defaults, but in one dtype and on all samples, not the first 100,000."""
    return FactorArguments(
        strategy="ekfac",
        activation_covariance_dtype=dtype,
        gradient_covariance_dtype=dtype,
        per_sample_gradient_dtype=dtype,
        lambda_dtype=dtype,
        covariance_max_examples=None,
        lambda_max_examples=None,
    )


def _score_arguments(dtype: torch.dtype) -> ScoreArguments:
    """Return arguments with a damping of 0.1 times each layer's mean eigenvalue.

    kronfluence's default of 1e-8 ruins the ranking.
    """
    return ScoreArguments(
        damping_factor=None,
        score_dtype=dtype,
        precondition_dtype=dtype,
        per_sample_gradient_dtype=dtype,
    )


def fit_all(analyzer: Analyzer, train: Batch, batch_size: int) -> None:
    """Fit the factors and keep them in the analyzer's folder."""
    analyzer.fit_all_factors(
        FACTORS,
        TensorDataset(*train),
        per_device_batch_size=batch_size,
        factor_args=_factor_arguments(_dtype(analyzer)),
    )


def fit_kronfluence(
    model: nn.Module, train: Batch, *, damping: float, seed: int, batch_size: int
) -> FactoredCurvature:
    """Fit EKFAC factors as kronfluence does, for our own passes over the data."""
    with analysis(model, seed=seed) as analyzer:
        fit_all(analyzer, train, batch_size)
        factors = analyzer.load_all_factors(FACTORS)
    layers = {}
    for name, layer in covered_layers(model).items():
        parts = {
            "outputs": factors["gradient_eigenvectors"][name],
            "inputs": factors["activation_eigenvectors"][name],
            "eigenvalues": factors["lambda_matrix"][name] / factors["num_lambda_processed"][name],
        }
        layers[name] = {part: value.to(layer.weight).contiguous() for part, value in parts.items()}
    return FactoredCurvature(len(train[-1]), damping, layers)


def pairwise_scores(
    analyzer: Analyzer, train: Batch, query: Batch, *, batch_size: int, query_batch_size: int
) -> Tensor:
    """Compute n times Eq. 1 for every query and training sample, with fitted factors: (m, n)."""
    return _scores(analyzer, train, query, batch_size, query_batch_size, aggregate=False)


def aggregated_scores(
    analyzer: Analyzer,
    train: Batch,
    query: Batch,
    num_classes: int,
    *,
    batch_size: int,
    query_batch_size: int,
) -> Tensor:
    """Compute n times P, (n, k), by kronfluence's public way: a pass over the data per class."""
    columns = []
    for k in range(num_classes):
        members = tuple(part[query[-1] == k] for part in query)
        scores = _scores(analyzer, train, members, batch_size, query_batch_size, aggregate=True)
        columns.append(scores[0])
    return torch.stack(columns, 1)


def _scores(
    analyzer: Analyzer,
    train: Batch,
    query: Batch,
    batch_size: int,
    query_batch_size: int,
    aggregate: bool,
) -> Tensor:
    arguments = _score_arguments(_dtype(analyzer))
    arguments.aggregate_query_gradients = aggregate
    analyzer.compute_pairwise_scores(
        "scores",
        FACTORS,
        query_dataset=TensorDataset(*query),
        train_dataset=TensorDataset(*train),
        per_device_query_batch_size=query_batch_size,
        per_device_train_batch_size=batch_size,
        score_args=arguments,
        overwrite_output_dir=True,
    )
    return analyzer.load_pairwise_scores("scores")["all_modules"]


def _dtype(analyzer: Analyzer) -> torch.dtype:
    """Return the dtype of the weights."""
    return next(analyzer.model.parameters()).dtype
