"""Tests of P of several kinds from the states of one training."""

import pytest
import torch

from benchmarks.faults.workspace import ROOT
from catwise.config.params import load
from catwise.experiments import along_training
from catwise.experiments.along_training import Along, State, vectors_of
from catwise.influence.augmented import Augmented
from catwise.influence.unrolled import Unrolled
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.fitted_factors import fit_own_factors
from catwise.training.augment import crop_and_flip_one
from catwise.training.batch_norm import statistics
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

    for moving, draws in (("moving", 0), ("moving", 2), ("fixed", 2)):
        changed = influence.model_copy(update={"statistics": moving, "augmentations": draws})
        along = Along("any", "cpu", 1, section.train, curvature, changed)
        vectors = vectors_of(along, states, ["endpoint", "endpoint_fixed"])
        torch.testing.assert_close(vectors["endpoint"], expected(moving, draws))
        torch.testing.assert_close(vectors["endpoint_fixed"], expected("fixed", draws))
    assert not torch.allclose(expected("moving", 2), expected("fixed", 2), rtol=0.1)
    assert not torch.allclose(expected("moving", 2), expected("moving", 0), rtol=0.1)


@pytest.mark.parametrize("kind", ["endpoint", "middle", "last_layer"])
def test_lower_precision_is_near(monkeypatch, kind):
    monkeypatch.setattr("catwise.core.precision.has_bfloat16", lambda device: True)
    splits = {name: small.images(24, seed) for seed, name in enumerate(("train", "validation_a"))}
    splits = {name: (x.float(), y) for name, (x, y) in splits.items()}
    monkeypatch.setattr(along_training, "cached_splits", lambda *_: (splits, list("abc")))
    section = load(ROOT / "params.yaml").datasets["cifar10_rehearsal"]
    curvature = section.curvature.model_copy(update={"samples": "all"})
    state, epochs = State(small.conv_net().float(), {}), section.train.epochs
    found = {}
    for passes in ("float32", "bfloat16"):
        changes = {"bins": 1, "augmentations": 0, "precision": passes}
        influence = section.influence.model_copy(update=changes)
        along = Along("any", "cpu", 1, section.train, curvature, influence)
        found[passes] = vectors_of(along, {epochs: state, epochs // 2: state}, [kind])[kind]
    whole, lowered = found["float32"], found["bfloat16"]
    assert lowered.dtype == torch.float32
    assert float((lowered - whole).norm() / whole.norm()) < 0.1
    assert torch.equal(lowered, whole) == (kind == "last_layer")  # which is in float32 always


def test_exact_vectors_are_of_classes_measured_with_the_statistics_of_the_end(monkeypatch):
    train, query = small.images(24), small.images(12, seed=1)
    splits = {"train": train, "validation_a": query}
    monkeypatch.setattr(along_training, "cached_splits", lambda *_: (splits, list("abc")))
    monkeypatch.setattr(along_training, "new_model", lambda *_: small.conv_net())
    end, starts = small.conv_net(), []
    end.train()(train[0])  # moves its running statistics
    end.eval()

    def unrolled(start, *_, **__):
        starts.append(start)
        return Unrolled(torch.zeros(24, 3), 0.0)

    monkeypatch.setattr(along_training, "unrolled_influence", unrolled)
    section = load(ROOT / "params.yaml").datasets["cifar10_rehearsal"]
    influence = section.influence.model_copy(update={"bins": 1})
    along = Along("any", "cpu", 1, section.train, section.curvature, influence)
    vectors_of(along, {section.train.epochs: State(end, {})}, ["exact"])
    used, fresh = statistics(starts[0]), statistics(small.conv_net())
    for name, value in statistics(end).items():
        assert torch.equal(used[name], value)
        assert not torch.equal(fresh[name], value)
