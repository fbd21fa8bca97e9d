"""Tests of P of several kinds from the states of one training."""

import torch

from benchmarks.faults.workspace import ROOT
from catwise.config.params import load
from catwise.experiments import along_training
from catwise.experiments.along_training import Along, State, vectors_of
from catwise.influence.augmented import Augmented
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.fitted_factors import fit_own_factors
from catwise.training.augment import crop_and_flip_one
from tests.helpers import small


def test_statistics_and_augmentations_are_those_of_the_section_but_where_a_kind_fixes_them(
    monkeypatch,
):
    train, query, net = small.images(24), small.images(12, seed=1), small.conv_net()
    splits = {"train": train, "validation_a": query}
    monkeypatch.setattr(along_training, "cached_splits", lambda *_: (splits, list("abc")))
    section = load(ROOT / "params.yaml").datasets["cifar10_rehearsal"]
    curvature = section.curvature.model_copy(update={"samples": "all"})
    influence = section.influence.model_copy(update={"bins": 1})
    states = {section.train.epochs: State(net, {})}
    factors = fit_own_factors(net, train, curvature)
    size = influence.batch_size

    def expected(statistics, draws):
        samples = Augmented(train, crop_and_flip_one, draws) if draws else train
        pair = (samples, query, query[-1], 3)
        return influence_vectors(net, factors, *pair, batch_size=size, statistics=statistics)

    for statistics, draws in (("moving", 0), ("moving", 2), ("fixed", 2)):
        changed = influence.model_copy(update={"statistics": statistics, "augmentations": draws})
        along = Along("any", "cpu", 1, section.train, curvature, changed)
        vectors = vectors_of(along, states, ["endpoint", "endpoint_fixed"])
        torch.testing.assert_close(vectors["endpoint"], expected(statistics, draws))
        torch.testing.assert_close(vectors["endpoint_fixed"], expected("fixed", draws))
    assert not torch.allclose(expected("moving", 2), expected("fixed", 2), rtol=0.1)
    assert not torch.allclose(expected("moving", 2), expected("moving", 0), rtol=0.1)
