"""Influence averages the gradients of a sample over what the training did to it at random."""

import numpy as np
import pytest
import torch
from torch import nn

from catwise import Augmented, diagnose
from catwise.core.errors import InputError
from catwise.influence.factors import fit_factors
from catwise.influence.reading import as_samples
from catwise.influence.vectors import influence_vectors
from catwise.training.augment import crop_and_flip_one

N, K = 30, 3


@pytest.fixture(scope="module")
def known():
    train, query = images(0), images(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, K))
    curvature = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=10)
    return model, curvature, train, query


def images(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, 1, 8, 8, generator=generator), torch.arange(N) % K


def vectors(known, train):
    model, curvature, _, query = known
    return influence_vectors(model, curvature, train, query, query[1], K, batch_size=7)


def test_a_change_that_changes_nothing_gives_the_p_of_the_samples(known):
    plain = vectors(known, known[2])
    torch.testing.assert_close(vectors(known, Augmented(known[2], lambda x: x)), plain)


def test_p_is_the_mean_of_that_of_changed_samples_with_the_curvature_of_the_unchanged(known):
    (x, y), seen = known[2], {}

    def change(image):
        shift = torch.rand(())
        seen.setdefault(shift.item(), len(seen))  # in the order of draws, then of samples
        return image + shift

    views = as_samples(Augmented((x, y), change, draws=2), known[0]).views
    seen.clear()
    for view in views:
        view.rows(slice(0, N))
    p_nk = vectors(known, Augmented((x, y), change, draws=2))
    shifts = torch.tensor(list(seen)).reshape(2, N)
    apart = [vectors(known, (x + shift_n[:, None, None, None], y)) for shift_n in shifts]
    torch.testing.assert_close(p_nk, (apart[0] + apart[1]) / 2)
    assert len(seen) == 2 * N  # every sample and every draw has a seed of its own


def test_crops_are_the_same_again_and_leave_the_generator_as_it_was(known):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = vectors(known, Augmented(known[2], crop_and_flip_one))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(vectors(known, Augmented(known[2], crop_and_flip_one)), first)
    assert not torch.allclose(first, vectors(known, known[2]))


def test_the_crop_of_a_sample_is_the_same_in_any_batch(known):
    (view,) = as_samples(Augmented(known[2], crop_and_flip_one, draws=1), known[0]).views
    part = view.rows(slice(6, 12))[0]
    assert torch.equal(part, view.rows(torch.arange(6, 12))[0])
    assert torch.equal(part[3:], view.rows(torch.tensor([9, 10, 11]))[0])


def test_everything_but_gradients_sees_the_samples_as_they_are(known):
    samples = as_samples(Augmented(known[2], crop_and_flip_one), known[0])
    assert torch.equal(samples.rows(slice(0, N))[0], known[2][0])
    assert len(samples.views) == 4
    assert len(as_samples(known[2], known[0]).views) == 1


def test_a_diagnosis_takes_augmented_samples(known):
    model, _, train, query = known
    classes = ["a", "b", "c"]
    found = diagnose(model, Augmented(train, crop_and_flip_one, draws=2), query, classes, bins=3)
    plain = diagnose(model, train, query, classes, bins=3)
    assert found.accuracy_k.tolist() == plain.accuracy_k.tolist()
    assert not np.allclose(found.p_nk, plain.p_nk)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x[:, : int(torch.randint(1, 9, ()))],
            "train: expected a change of the inputs of one sample; got: stack expects each tensor",
        ),
        (
            lambda x: (x, x),
            r"train: expected changed inputs of shape \(1, 8, 8\); got .* and \(1, 8, 8\)",
        ),
        (lambda x: x[:, :4], r"train: expected changed .* \(1, 8, 8\); got \(1, 4, 8\)"),
        (lambda x, y: x, "train: expected a change of the inputs of one sample; got: .* argument"),
        (lambda _: None, "train: expected a change of the inputs of one sample; got: default_coll"),
        (lambda _: "word", "train: expected a change of the inputs of one sample; got: "),
        (
            lambda x: x + np.random.rand(),
            "train: expected a change that draws from torch's generator",
        ),
    ],
)
def test_a_change_to_something_else_is_refused(known, change, message):
    with pytest.raises(InputError, match=message):
        vectors(known, Augmented(known[2], change))


@pytest.mark.parametrize("draws", [0, 1.5])
def test_less_than_one_draw_is_refused(known, draws):
    with pytest.raises(
        InputError, match=f"^train.draws: expected a whole number, 1 or more; got {draws}$"
    ):
        vectors(known, Augmented(known[2], crop_and_flip_one, draws))
