import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.diagnosis import diagnose
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import influence_vectors
from tests.helpers.diagnoses import trained
from tests.helpers.small import blobs, conv_net, images


@pytest.fixture
def noisy(rng):
    """A model, its training samples, every tenth with another label, and query samples."""
    x, y = blobs(rng, 360)
    given = y[:240].clone()
    given[::10] = (given[::10] + 1) % 3
    return trained((x[:240], given)), (x[:240], given), (x[240:], y[240:])


@pytest.mark.slow
def test_it_is_the_way_that_can_be_gone_step_by_step(noisy):
    model, train, query = noisy
    options = {"kind": "ekfac", "damping": 0.1, "seed": 0}
    p_nk = influence_vectors(
        model,
        fit_factors(model, train, batch_size=50, **options),
        train,
        query,
        query[1],
        3,
        batch_size=50,
    )
    found = diagnose(model, train, query, "abc", batch_size=50)
    np.testing.assert_allclose(
        found.p_nk, p_nk.numpy(), rtol=1e-9, atol=1e-12
    )  # the bins add up in another order
    assert found.coverage == 1


def test_the_weights_keep_each_class_and_raise_every_class_to_first_order(noisy):
    found = diagnose(*noisy, "abc")
    assert found.weights_n.min() >= 0
    assert found.weights_n.max() <= 2
    labels = noisy[1][1].numpy()
    np.testing.assert_allclose(
        [found.weights_n[labels == k].mean() for k in range(3)], 1, rtol=1e-9
    )  # bisection
    assert ((found.weights_n - 1) @ found.p_nk > 0).all()


def test_the_model_is_left_as_it_was():
    model, train, query = conv_net().train(), images(40), images(30, seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diagnose(model, train, query, ("a", "b", "c"))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_frozen_backbone_has_no_part_in_the_influence_of_its_head(noisy):
    model, train, query = noisy
    model[0].requires_grad_(False)
    found = diagnose(model, train, query, "abc")
    with torch.no_grad():
        features = [(model[:2](x), y) for x, y in (train, query)]
    expected = diagnose(model[2], *features, "abc")
    np.testing.assert_allclose(found.p_nk, expected.p_nk, rtol=1e-9, atol=1e-12)  # rounding
    assert found.coverage == 1


def test_a_model_of_several_inputs_is_diagnosed(rng):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, one, two):
            return self.first(one) + self.second(two)

    x, y = blobs(rng, 60)
    parts = [(x[rows, :2], x[rows, 2:], y[rows]) for rows in (slice(30), slice(30, 60))]
    assert diagnose(Pair().double(), *parts, "abc").p_nk.shape == (30, 3)


def test_what_is_wrong_with_the_samples_is_one_line(noisy):
    model, train, query = noisy

    def said(match, *parts):
        with pytest.raises(InputError, match=match) as caught:
            diagnose(model, *parts, "abc")
        assert "\n" not in str(caught.value)

    said("query: expected labels 0 to 2; got 0 to 3", train, (query[0], query[1] + (query[1] == 2)))
    said(
        "train: expected inputs and as many labels; got parts of .* samples",
        (train[0][:-1], train[1]),
        query,
    )
    for labels in (train[1].float(), torch.eye(3)[train[1]].long()):
        said("train: expected labels as whole numbers, int64", (train[0], labels), query)
    said("train: expected finite inputs; got nan for", (train[0] * float("nan"), train[1]), query)
    few = torch.cat([(query[1] < 2).nonzero()[:, 0], (query[1] == 2).nonzero()[:2, 0]])
    said(
        "query: expected 3 samples or more of every class; got 2 of 'c'",
        train,
        tuple(part[few] for part in query),
    )


def test_fewer_bins_than_three_are_one_line_before_the_fit(noisy, capsys):
    for bins in (-1, 0, 2, 3.5):
        with pytest.raises(InputError, match=f"^bins: expected .* 3 or more; got {bins}$"):
            diagnose(*noisy, "abc", bins=bins)
    assert capsys.readouterr().err == ""


def test_names_of_classes_may_be_numbers(noisy):
    found, expected = (diagnose(*noisy, names) for names in (range(3), "012"))
    assert found.label_names == found.ceiling.classes == ("0", "1", "2")
    assert str(found) == str(expected)


def test_in_words_it_names_the_classes_and_the_samples_that_stand_in_the_way(noisy):
    diagnosis = diagnose(*noisy, ["left", "middle", "right"])
    assert diagnosis.verdict.sentence in str(diagnosis)
    assert diagnosis.verdict.answer == "too_few_samples"
    assert "in each other's way" not in str(diagnosis)
    room = replace(diagnosis, verdict=replace(diagnosis.verdict, answer="room"))
    assert f"in each other's way: {' and '.join(diagnosis.ceiling.blocking)}" in str(room)
    total_n = diagnosis.p_nk.sum(axis=1)[diagnosis.detrimental]
    assert (np.diff(total_n) >= 0).all()
    rows = re.findall(r"(\d+) \((\w+), predicted (\w+)\)", str(diagnosis))
    names = diagnosis.label_names
    assert rows == [
        (str(i), names[diagnosis.labels_n[i]], names[diagnosis.predicted_n[i]])
        for i in diagnosis.detrimental[:5]
    ]


def test_room_that_comes_from_more_weight_on_all_alike_is_named(noisy):
    diagnosis = diagnose(*noisy, "abc")
    verdict = replace(diagnosis.verdict, answer="room")
    assert "on all samples alike" not in str(replace(diagnosis, verdict=verdict))
    p_nk = np.abs(diagnosis.p_nk)  # as before training has converged: all samples help all classes
    p_nk[::4] *= -1
    short = replace(diagnosis, verdict=verdict, p_nk=p_nk)
    expected = (p_nk.sum(axis=0) / np.abs(p_nk).sum(axis=0)).min()
    assert short.alike == pytest.approx(expected)
    assert f"{100 * expected:.3g} % of the influence mass comes from more weight" in str(short)


def test_the_accuracy_on_the_query_samples_is_told_by_class_or_group(noisy):
    model, train, (x, y) = noisy
    found = diagnose(model, train, (x, y), "abc")
    right_m = (model(x).argmax(1) == y).numpy()
    expected = [right_m[y.numpy() == k].mean() for k in range(3)]
    np.testing.assert_allclose(found.accuracy_k, expected)
    worst = "abc"[int(np.argmin(expected))]
    line = f"query accuracy: mean {np.mean(expected):.3f}, worst on {worst} {min(expected):.3f}"
    assert line in str(found)
    asked = found.ask((x, y), ["old"] * 50 + ["young"] * 70)
    np.testing.assert_allclose(asked.accuracy_k, [right_m[:50].mean(), right_m[50:].mean()])


def test_a_class_without_training_samples_is_named(noisy):
    model, train, query = noisy
    kept = train[1] != 1
    found = diagnose(model, tuple(part[kept] for part in train), query, "abc")
    assert "No training sample has the label b: weights cannot make up for that." in str(found)
    assert found.ask(query).verdict.absent == ("b",)


def test_of_a_recurrent_model_no_ceiling_is_said(rng):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.end = nn.LSTM(2, 16, batch_first=True), nn.Linear(16, 3)

        def forward(self, x):
            return self.end(self.cell(x.view(-1, 2, 2))[0][:, -1])

    x, y = blobs(rng, 120)
    with pytest.warns(UserWarning, match="left out of the influence"):
        found = diagnose(Recurrent().double(), (x[:60], y[:60]), (x[60:], y[60:]), "abc")
    assert found.verdict.coverage == found.coverage < 0.05
    assert f"It speaks of {100 * found.coverage:.3g} % of the trained parameters" in str(found)


@pytest.mark.slow
def test_a_function_that_trains_calibrates_the_verdict(noisy):
    model, train, query = noisy
    seen = []

    def retrain(weights_n, seed):
        seen.append((weights_n, seed))
        kept = torch.from_numpy(weights_n) > 0
        return trained(tuple(part[kept] for part in train), steps=60)

    plain = diagnose(model, train, query, "abc")
    found = diagnose(model, train, query, "abc", retrain=retrain, halves=5)
    assert [seed for _, seed in seen] == [0, 0, 2, 3, 4]  # two of one seed show ignored weights
    for weights_n, _ in seen:
        assert weights_n.mean() == pytest.approx(1)
        assert sorted(set(weights_n)) == [0, 2]
    assert not plain.verdict.calibrated
    assert "not checked by retraining" in str(plain)
    assert found.verdict.calibrated
    assert found.verdict.slope is not None
    assert "not checked" not in str(found)
    np.testing.assert_array_equal(found.weights_n, plain.weights_n)


@pytest.mark.slow
def test_what_is_wrong_with_a_function_that_trains_is_one_line(noisy):
    with pytest.raises(
        InputError, match="retrain: expected a torch module with parameters; got NoneType"
    ):
        diagnose(*noisy, "abc", retrain=lambda weights_n, seed: None)
    with pytest.raises(InputError, match="halves: expected a whole number, 5 or more; got 4"):
        diagnose(*noisy, "abc", retrain=lambda weights_n, seed: None, halves=4)


def test_few_query_samples_of_a_weak_class_cannot_tell():
    """A class that is recognised 18 times in 100, from 5 query samples, is not at its ceiling."""
    rng = np.random.default_rng(0)
    x, y = blobs(rng, 150)
    x[y == 2] = x[y == 1] + 0.05 * torch.from_numpy(rng.normal(size=x[y == 2].shape))
    query = (x[120:135], y[120:135])
    found = diagnose(trained((x[:120], y[:120])), (x[:120], y[:120]), query, "abc")
    assert found.verdict.answer == "too_few_samples"
    assert found.verdict.sentence.startswith("cannot tell: too few validation samples")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"damping": -1}, "damping: expected a finite number, 0 or more; got -1"),
        ({"damping": "0.1"}, "damping: expected a finite number, 0 or more; got '0.1'"),
        ({"damping": float("nan")}, "damping: expected a finite number, 0 or more; got nan"),
        ({"samples": 2.5}, "samples: expected a whole number, 1 or more; got 2.5"),
        ({"samples": 0}, "samples: expected a whole number, 1 or more; got 0"),
        ({"batch_size": 0}, "batch_size: expected a whole number, 1 or more; got 0"),
        ({"seed": "a"}, "seed: expected a whole number, 0 or more; got 'a'"),
        ({"seed": -1}, "seed: expected a whole number, 0 or more; got -1"),
        ({"memory": "1GB"}, "memory: expected a finite number, 1 or more; got '1GB'"),
        ({"memory": 0}, "memory: expected a finite number, 1 or more; got 0"),
        ({"small_gain": -1}, "small_gain: expected a finite number, 0 or more; got -1"),
        ({"halves": 4}, "halves: expected a whole number, 5 or more; got 4"),
    ],
)
def test_numbers_that_make_no_sense_are_one_line_before_the_fit(noisy, capsys, options, words):
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        diagnose(*noisy, "abc", **options)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_it_works_where_gradients_are_off(noisy):
    model, train, query = noisy
    expected = diagnose(model, train, query, "abc")
    with torch.no_grad():
        found = diagnose(model, train, query, "abc")
        asked = found.ask(query)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(found.p_nk, expected.p_nk)
    np.testing.assert_array_equal(asked.p_nk, expected.p_nk)
