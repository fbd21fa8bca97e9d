"""Anybody's training function is improved, and the test samples see no choice."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from catwise import improve
from catwise.core.errors import InputError
from catwise.improvement.own_training import averaged_influence
from catwise.improvement.proposals import direction
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import influence_vectors
from tests.helpers.small import blobs

OPTIONS = {
    "proposals": {"direction": direction(0.75)},
    **{"rounds": 1, "runs": 1, "seeds": 2, "bins": 4},
}


def problem(seed, flips):
    """Samples of three overlapping classes in one plane, some training labels changed."""
    rng = np.random.default_rng(seed)
    x, y = blobs(rng, 690, features=3)
    parts = [(x[rows], y[rows]) for rows in (slice(90), slice(90, 390), slice(390, 690))]
    wrong = rng.permutation(90)[:flips]
    labels = parts[0][1].clone()
    labels[wrong] = (labels[wrong] + 1) % 3
    return (parts[0][0], labels), *parts[1:], wrong


def trainer(train):
    """Fit by weighted least squares, which takes a moment; scores are four times as large."""
    x, y = train
    target = 4 * torch.nn.functional.one_hot(y, 3).double()

    def trained(weights_n, seed):
        weighted = torch.from_numpy(weights_n)[:, None] * x
        model = torch.nn.Linear(3, 3, bias=False).double()
        fit = torch.linalg.solve(weighted.T @ x + 1e-3 * torch.eye(3), weighted.T @ target)
        model.weight.data = fit.T.contiguous()
        return model

    return trained


@pytest.mark.slow
def test_labels_that_were_changed_lose_their_weight_and_the_test_accuracy_rises():
    train, validation, test, wrong = problem(4, flips=30)
    improvement = improve(trainer(train), train, validation, test, "abc", **OPTIONS)
    assert improvement.weights_n[wrong].mean() < 0.6
    assert improvement.net.mean.value > 0
    assert "direction" in str(improvement)
    assert "accepted" in str(improvement)
    assert str(improvement).endswith(improvement.sentence)
    assert f"gains {100 * improvement.net.mean.value:+.2g} points" in improvement.sentence


@pytest.mark.slow
def test_test_labels_of_noise_leave_the_weights_unchanged():
    train, validation, (x, y), _ = problem(4, flips=30)
    noise = torch.randint(0, 3, y.shape, generator=torch.Generator().manual_seed(0))
    first, second = (
        improve(trainer(train), train, validation, (x, labels), "abc", **OPTIONS)
        for labels in (y, noise)
    )
    assert first.weights_n.tobytes() == second.weights_n.tobytes()
    assert first.net.mean.value != second.net.mean.value


def test_where_no_weights_are_accepted_nothing_was_to_be_gained():
    train, validation, test, _ = problem(4, flips=0)
    plain = {**OPTIONS, "proposals": {"ones": lambda evidence: np.ones(90)}}
    improvement = improve(trainer(train), train, validation, test, "abc", **plain)
    assert (improvement.weights_n == 1).all()
    assert improvement.net is None
    assert str(improvement).endswith("by other weights, as far as validation tells")


def test_a_class_with_too_few_validation_samples_is_named():
    train, (x, y), test, _ = problem(4, flips=0)
    few = torch.cat([(y != 2).nonzero()[:, 0], (y == 2).nonzero()[:5, 0]])
    with pytest.raises(InputError, match=r"6 samples or more of every class; got 5 of 'c'"):
        improve(trainer(train), train, (x[few], y[few]), test, "abc", **OPTIONS)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_samples_that_are_no_tensors_are_named(name):
    train, validation, test, _ = problem(0, 0)
    parts = {"train": train, "validation": validation, "test": test}
    parts[name] = torch.utils.data.TensorDataset(*parts[name])
    with pytest.raises(InputError, match=rf"^{name}: expected a tuple of .*; got TensorDataset"):
        improve(trainer(train), **parts, classes="abc", **OPTIONS)


class Answer(torch.nn.Module):
    """Return an output with logits, as models of transformers do."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return SimpleNamespace(logits=self.layer(x))


def test_a_model_may_answer_with_an_output_that_has_logits():
    train, validation, test, _ = problem(1, 18)
    plain = trainer(train)
    direct = improve(plain, train, validation, test, "abc", **OPTIONS)
    wrapped = improve(
        lambda weights_n, seed: Answer(plain(weights_n, seed)),
        *(train, validation, test, "abc"),
        **OPTIONS,
    )
    assert wrapped.weights_n.tobytes() == direct.weights_n.tobytes()


def test_what_is_wrong_is_said_before_the_first_training():
    train, validation, test, _ = problem(0, 0)

    def never(weights_n, seed):
        raise AssertionError

    few = (test[0][:3], torch.tensor([0, 1, 2]))
    with pytest.raises(InputError, match=r"^test: expected 2 samples or more .*; got 1 of 'a'$"):
        improve(never, train, validation, few, "abc", **OPTIONS)
    with pytest.raises(InputError, match=r"^train: expected labels from 0 to 1; got 0 to 2$"):
        improve(never, train, validation, test, "ab", **OPTIONS)
    with pytest.raises(TypeError, match="norm"):
        improve(never, train, validation, test, "abc", **OPTIONS, norm=True)


def test_the_average_over_models_is_that_of_their_vectors(rng):
    train, query = blobs(rng, 60), blobs(rng, 30)
    models = [torch.nn.Linear(4, 3).double() for _ in range(2)]
    groups_m = 2 * query[1].numpy() + np.arange(30) // 3 % 2
    p_nkb = averaged_influence(models, train, query, groups_m, 3, 2, kind="kfac")
    each = []
    for model in models:
        factors = fit_factors(model, train, kind="kfac", damping=0.1, seed=0, batch_size=60)
        groups = torch.from_numpy(groups_m)
        each.append(influence_vectors(model, factors, train, query, groups, 6, batch_size=60))
    expected = torch.stack(each).mean(0).numpy().reshape(60, 3, 2)
    np.testing.assert_allclose(p_nkb, expected, rtol=1e-9, atol=1e-12)
