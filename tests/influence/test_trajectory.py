"""Where along a training influence is taken, TracIn against its sum, and averages over runs."""

import numpy as np
import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss
from catwise.influence.factors import fit_factors
from catwise.influence.trajectory import adam_scales, average, cut, tracin
from catwise.influence.vectors import influence_vectors
from catwise.training.epochs import optimizer_tensors

N, K = 6, 3


@pytest.fixture
def batches(generator):
    return tuple(
        (torch.randn(n, 4, dtype=torch.float64, generator=generator), torch.arange(n) % K)
        for n in (N, 9)
    )


def network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, K)).double()


@pytest.mark.parametrize(("epochs", "count"), [(20, 1), (20, 2), (20, 6), (7, 7)])
def test_segments_cover_every_epoch_once_and_hold_their_checkpoint(epochs, count):
    stretches = cut(epochs, count)
    assert [epoch for part in stretches for epoch in part.epochs] == [*range(1, epochs + 1)]
    sizes = [len(part.epochs) for part in stretches]
    assert max(sizes) - min(sizes) <= 1
    assert all(part.checkpoint in part.epochs for part in stretches)
    for part in stretches:  # as many epochs before it as after it, or one more
        assert 0 <= (part.epochs[-1] - part.checkpoint) - (part.checkpoint - part.epochs[0]) <= 1


def test_more_segments_than_epochs_are_refused_in_one_line():
    with pytest.raises(InputError, match="expected 1 to 3, the epochs of training; got 4"):
        cut(3, 4)


def test_tracin_is_the_sum_of_products_of_gradients_at_each_checkpoint(batches):
    train, query = batches
    stops = [(network(0), 0.3), (network(1), 0.1)]
    p_nk = tracin(stops, train, query, query[1], K, batch_size=4)
    expected = torch.zeros(N, K, dtype=torch.float64)
    for model, rate in stops:
        parameters = list(model.parameters())

        def gradient(batch, rows, model=model, parameters=parameters):
            summed = per_sample_loss(model, tuple(part[rows] for part in batch)).sum()
            return torch.cat([g.flatten() for g in torch.autograd.grad(summed, parameters)])

        q_k = torch.stack([gradient(query, query[1] == k) for k in range(K)])
        g_n = torch.stack([gradient(train, [i]) for i in range(N)])
        expected += rate / N * g_n @ q_k.T
    torch.testing.assert_close(p_nk, expected)


def test_tracin_at_one_checkpoint_with_a_rate_of_one_is_the_identity(batches):
    train, query = batches
    model = network(0)
    fitted = fit_factors(model, train, kind="identity", damping=0.0, seed=0, batch_size=4)
    expected = influence_vectors(model, fitted, train, query, query[1], K, batch_size=4)
    p_nk = tracin([(model, 1.0)], train, query, query[1], K, batch_size=4)
    torch.testing.assert_close(p_nk, expected)


def test_an_average_of_runs_of_other_lengths_or_with_nan_is_refused_in_one_line():
    runs = [np.ones((3, 2)), 2 * np.ones((3, 2))]
    np.testing.assert_array_equal(average(runs), 1.5 * np.ones((3, 2)))
    with pytest.raises(InputError, match=r"runs: expected P of \(3, 2\); got \(4, 2\) of run 1"):
        average([runs[0], np.ones((4, 2))])
    with pytest.raises(InputError, match="of run 1: expected finite values; got nan for sample 2"):
        average([runs[0], np.array([[0, 0], [0, 0], [0, np.nan]])])


def test_sgd_has_no_scales_and_adam_those_of_a_typical_gradient(batches):
    model, train = network(0), batches[0]
    assert adam_scales(model, {}, ["0", "2"]) == {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    gradients = torch.autograd.grad(per_sample_loss(model, train).mean(), [*model.parameters()])
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    scales = adam_scales(model, optimizer_tensors(optimizer), ["0", "2"])
    for name, own in (("0", gradients[:2]), ("2", gradients[2:])):
        flat = torch.cat([gradient.flatten() for gradient in own]).abs()
        # after one step v is the square of the gradient, up to eps = 1e-8
        assert scales[name] == pytest.approx(float(flat.sum() / flat.square().sum()), rel=1e-4)


def test_a_layer_without_gradients_has_a_scale_of_zero(batches):
    model = network(0)
    state = {
        f"{number}/{name}": torch.zeros_like(value) if name == "exp_avg_sq" else torch.tensor(3.0)
        for number, value in enumerate(model.parameters())
        for name in ("exp_avg_sq", "step")
    }
    assert adam_scales(model, state, ["0"]) == {"0": 0.0}


def test_the_packed_projection_of_an_attention_has_a_scale():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)})
    state = {
        f"{number}/{name}": torch.full_like(value, 4) if name == "exp_avg_sq" else torch.tensor(1e9)
        for number, value in enumerate(model.parameters())
        for name in ("exp_avg_sq", "step")
    }
    layers = ["attention", "attention.out_proj"]
    # 1 / sqrt(4), up to eps = 1e-8
    assert adam_scales(model, state, layers) == pytest.approx(dict.fromkeys(layers, 0.5))
