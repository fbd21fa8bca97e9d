"""Tests of influence where the statistics of batch norm move with the weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss
from catwise.influence.factors import fit_factors
from catwise.influence.layers import as_parameters, covered_layers, matrix_shape
from catwise.influence.moving_statistics import moving_statistics
from catwise.influence.reading import as_samples
from catwise.influence.segments import Segment, influence_by_segments
from catwise.influence.trajectory import tracin
from catwise.influence.vectors import directional_derivatives, group_gradients, influence_vectors

N, CLASSES = 24, 3


@pytest.fixture(scope="module")
def train():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 2, 5, 5, generator=generator, dtype=torch.float64)
    return x, torch.arange(N) % CLASSES


@pytest.fixture(scope="module")
def model(train):
    """Make a network with two batch norms, whose statistics are those of all training samples."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 3, 2),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(12, CLASSES),
    ).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
    return refreshed(net, train)


def refreshed(net, train):
    """Return a copy with the statistics of the training samples, without Bessel's correction."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            inputs = []
            hook = module.register_forward_pre_hook(
                lambda _, args, kept=inputs: kept.append(args[0])
            )
            with torch.no_grad():
                net.eval()(train[0])
            hook.remove()
            module.running_mean = inputs[0].mean((0, 2, 3))
            module.running_var = inputs[0].var((0, 2, 3), correction=0)
    return net.eval()


def network_after(model, layers, v_k, step, train):
    """Return the network moved along v_k, its statistics refreshed."""
    net = copy.deepcopy(model)
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        for name, part in as_parameters(layers, v_k).items():
            parameters[name] += step * part
    return refreshed(net, train)


def directions(layers, count):
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(count, *matrix_shape(layer), generator=generator, dtype=torch.float64)
        for name, layer in layers.items()
    }


@pytest.mark.parametrize("norms", [False, True])
def test_a_derivative_is_that_of_a_network_moved_and_refreshed(model, train, norms):
    """The truth: move the weights, take the statistics again, measure the loss of each sample."""
    layers = covered_layers(model, norms=norms)
    v = directions(layers, 2)
    moving = moving_statistics(model, as_samples(train, model), per_sample_loss, "moving")
    derivative_nk = directional_derivatives(model, train, v, batch_size=7, moving=moving)
    q = group_gradients(
        model, train, train[1], CLASSES, batch_size=7, layers=list(layers), moving=moving
    )
    step = 1e-6
    for k in range(2):
        v_k = {name: part[k] for name, part in v.items()}
        ends = [
            per_sample_loss(network_after(model, layers, v_k, sign * step, train), train)
            for sign in (1, -1)
        ]
        expected_n = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(derivative_nk[:, k], expected_n, rtol=1e-5, atol=1e-7)
        by_class = torch.stack([expected_n[train[1] == c].sum() for c in range(CLASSES)])
        along = sum((q[name] * v_k[name]).sum((1, 2)) for name in layers)
        torch.testing.assert_close(along, by_class, rtol=1e-5, atol=1e-7)


def test_what_the_normalisation_undoes_has_no_gradient(model, train):
    """A weight before batch norm may be scaled; with fixed statistics that seems to matter."""
    moving = moving_statistics(model, as_samples(train, model), per_sample_loss, "moving")
    weight = model[0].weight.detach().flatten(1)
    along = {
        name: (
            group_gradients(model, train, train[1], CLASSES, batch_size=N, **options)["0"] * weight
        )
        .sum((1, 2))
        .abs()
        .max()
        for name, options in (("moving", {"moving": moving}), ("fixed", {}))
    }
    assert along["moving"] < 1e-4 * along["fixed"]


def test_p_of_every_kind_takes_the_same_derivatives(model, train):
    """One endless segment is P at the end, and TracIn with a horizon of n that of the identity."""
    curvature = fit_factors(
        model, train, kind="identity", damping=0.0, seed=0, batch_size=N, draw="every"
    )
    about = (train, train, train[1], CLASSES)
    p_nk = influence_vectors(model, curvature, *about, batch_size=N)
    endless = Segment(model, curvature, rates=[float("inf")])
    by_segments = influence_by_segments(model, [endless], *about, batch_size=N)
    torch.testing.assert_close(by_segments, p_nk)
    torch.testing.assert_close(tracin([(model, 1.0)], *about, batch_size=N), p_nk)
    fixed_nk = influence_vectors(model, curvature, *about, batch_size=N, statistics="fixed")
    assert np.corrcoef(fixed_nk.flatten(), p_nk.flatten())[0, 1] < 0.99


def test_groups_at_once_change_nothing(model, train):
    curvature = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=N)
    whole, parts = (
        influence_vectors(
            model, curvature, train, train, train[1], CLASSES, batch_size=N, at_once=at_once
        )
        for at_once in (None, 1)
    )
    torch.testing.assert_close(whole, parts)


def test_batches_of_the_passes_change_nothing(model, train):
    """So the memory that there is does not change the answer."""
    curvature = fit_factors(model, train, kind="identity", damping=0.0, seed=0, batch_size=N)
    whole, parts = (
        influence_vectors(model, curvature, train, train, train[1], CLASSES, batch_size=size)
        for size in (N, 1)
    )
    torch.testing.assert_close(whole, parts)


def test_a_loss_may_use_parts_of_the_network(model, train):
    def by_parts(net, batch):
        logits = net[7](net[:7](batch[0]))
        return nn.functional.cross_entropy(logits, batch[1], reduction="none")

    curvature = fit_factors(model, train, kind="identity", damping=0.0, seed=0, batch_size=N)
    about = (model, curvature, train, train, train[1], CLASSES)
    expected = influence_vectors(*about, batch_size=N)
    p_nk = influence_vectors(*about, batch_size=N, loss=by_parts, query_loss=by_parts)
    torch.testing.assert_close(p_nk, expected)


class Twice(nn.Module):
    """Hold one batch norm under two names, and call it by both."""

    def __init__(self, norm):
        super().__init__()
        self.first = self.second = norm

    def forward(self, x):
        return (self.first(x) + self.second(x)) / 2


def test_a_norm_of_two_names_moves_under_both(model, train):
    net = copy.deepcopy(model)
    net[1] = Twice(net[1])
    v = directions(covered_layers(model), 2)
    expected, twice = (
        directional_derivatives(
            one,
            train,
            v,
            batch_size=N,
            moving=moving_statistics(one, as_samples(train, one), per_sample_loss, "moving"),
        )
        for one in (model, net)
    )
    torch.testing.assert_close(twice, expected)


class ByHand(nn.Module):
    """Call a batch norm in another way than as a module."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        norm = self.norm
        return nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )


@pytest.mark.parametrize("kind", ["no batch norm", "frozen", "without weights", "by hand"])
def test_statistics_that_do_not_move_are_held_fixed(model, train, kind):
    net = copy.deepcopy(model)
    if kind == "frozen":
        for norm in (net[1], net[4]):
            norm.requires_grad_(False)
    elif kind == "by hand":
        net[1], net[4] = ByHand(net[1]), ByHand(net[4])
    elif kind == "without weights":
        net[1], net[4] = (nn.BatchNorm2d(c, affine=False).double().eval() for c in (4, 3))
    else:
        net[1], net[4] = nn.Identity(), nn.Identity()
    samples = as_samples(train, net)
    assert moving_statistics(net, samples, per_sample_loss, "moving") is None
    assert moving_statistics(model, samples, per_sample_loss, "fixed") is None


class Tokens(nn.Module):
    """Put torch's attention, or a function without forward derivatives, after a batch norm."""

    def __init__(self, after):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
        self.after, self.last = after, nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.last(self.after(self.first(x).flatten(2).transpose(1, 2)).mean(1))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class Doubling(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


def p_of(net, train, statistics="moving"):
    curvature = fit_factors(net, train, kind="identity", damping=0.0, seed=0, batch_size=N)
    about = (net, curvature, train, train, train[1], CLASSES)
    return influence_vectors(*about, batch_size=N, statistics=statistics)


def test_attention_after_a_batch_norm_moves_with_its_statistics(train):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    net = Tokens(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)).double().eval()
    moved, fixed = p_of(net, train), p_of(net, train, "fixed")
    assert moved.isfinite().all()
    assert (moved - fixed).norm() > 0.1 * fixed.norm()


def test_a_model_without_forward_derivatives_is_one_line_that_says_what_to_do(train):
    net = Tokens(Doubling()).double().eval()
    with pytest.raises(InputError, match=r"^statistics: expected .*; statistics='fixed' asks for"):
        p_of(net, train)
    assert p_of(net, train, "fixed").isfinite().all()


def test_the_network_is_left_as_it_was(model, train):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curvature = fit_factors(model, train, kind="identity", damping=0.0, seed=0, batch_size=N)
    influence_vectors(model, curvature, train, train, train[1], CLASSES, batch_size=N)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not model.training
