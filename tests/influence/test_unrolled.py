"""Reverse mode through SGD is the derivative of the training, in the memory that it is given."""

import copy
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss
from catwise.influence import unrolled as module
from catwise.influence.unrolled import Step, unrolled_influence

N, K, DECAY = 12, 3, 0.01
WEIGHTS = torch.linspace(0.5, 1.5, N, dtype=torch.float64)


def network(batch_norm: bool) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3),
            nn.BatchNorm2d(3) if batch_norm else nn.Identity(),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(27, K),
        ).double()
        net(torch.randn(64, 1, 5, 5, dtype=torch.float64))
    return net.eval()


def data(n: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 5, 5, dtype=torch.float64, generator=generator), torch.arange(n) % K


def steps(x, y):
    generator = torch.Generator().manual_seed(7)
    orders = [torch.randperm(N, generator=generator) for _ in range(3)]
    return [
        Step((x[rows], y[rows]), rows, 0.1 + 0.05 * epoch)
        for epoch, order in enumerate(orders)
        for rows in order.split(4)
    ]


def trained(start, training_steps, weights):
    """Train by plain SGD, batch norm in training mode, and put its statistics back at the end."""
    net = copy.deepcopy(start)
    statistics = {name: value.clone() for name, value in net.named_buffers()}
    net.train()
    for step in training_steps:
        loss = (weights[step.rows] * per_sample_loss(net, step.batch)).mean()
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= step.rate * (gradient + DECAY * parameter)
    for name, value in net.named_buffers():
        value.copy_(statistics[name])
    return net.eval()


def class_losses(net, query):
    losses = per_sample_loss(net, query)
    return torch.stack([losses[query[-1] == k].sum() for k in range(K)]).detach()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_is_the_derivative_of_the_class_losses_by_each_weight(batch_norm):
    start, (x, y), query = network(batch_norm), data(N, 0), data(9, 1)
    unrolled = unrolled_influence(
        start, steps(x, y), N, query, query[-1], K, weight_decay=DECAY, weights=WEIGHTS
    )
    for i in (0, 5, 11):
        moved = []
        for shift in (1e-5, -1e-5):
            shifted = WEIGHTS.clone()
            shifted[i] += shift
            moved.append(class_losses(trained(start, steps(x, y), shifted), query))
        numeric = -(moved[0] - moved[1]) / 2e-5
        torch.testing.assert_close(unrolled.p_nk[i], numeric, rtol=1e-6, atol=1e-8)


def test_states_that_are_computed_again_give_the_same_bits():
    start, (x, y), query = network(True), data(N, 0), data(9, 1)
    whole, small = (
        unrolled_influence(start, steps(x, y), N, query, query[-1], K, memory=memory)
        for memory in (1e9, 3000)
    )
    assert torch.equal(whole.p_nk, small.p_nk)


@pytest.mark.parametrize(("copies", "held"), [(1, 6), (6, 6), (7, 7), (9, 7), (10, 10), (99, 10)])
def test_the_states_that_are_held_fit_in_the_memory_or_are_as_few_as_can_be(
    monkeypatch, copies, held
):
    """There are 9 steps and 10 states; the fewest that can be held are 2 sqrt(9)."""
    start, (x, y), query = network(False), data(N, 0), data(9, 1)
    size = sum(parameter.numel() * 8 for parameter in start.parameters())
    run, seen, alive = module._Training.run, [], []

    def counted(self, theta, numbers):
        path = run(self, theta, numbers)
        seen.extend(weakref.ref(state["4.bias"]) for state in path)
        alive.append(len({id(part()) for part in seen if part() is not None}))
        return path

    monkeypatch.setattr(module._Training, "run", counted)
    unrolled_influence(start, steps(x, y), N, query, query[-1], K, memory=copies * size)
    assert max(alive) == held


def test_inputs_by_name_and_an_output_with_logits_are_unrolled_as_others_are():
    class ByName(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return SimpleNamespace(logits=self.model(x))

    start, (x, y), query = network(True), data(N, 0), data(9, 1)
    named = [
        Step(({"x": step.batch[0]}, step.batch[1]), step.rows, step.rate) for step in steps(x, y)
    ]
    expected = unrolled_influence(start, steps(x, y), N, query, query[-1], K)
    found = unrolled_influence(ByName(start), named, N, ({"x": query[0]}, query[1]), query[-1], K)
    assert torch.equal(found.p_nk, expected.p_nk)


def test_dropout_is_refused_unless_it_drops_nothing():
    (x, y), query = data(N, 0), data(9, 1)
    idle, dropping = (nn.Sequential(network(False), nn.Dropout(p)) for p in (0.0, 0.3))
    unrolled_influence(idle, steps(x, y), N, query, query[-1], K)
    with pytest.raises(InputError, match=r"expected no dropout; got p = 0\.3 in module '1'"):
        unrolled_influence(dropping, steps(x, y), N, query, query[-1], K)


def test_an_adjoint_that_explodes_names_its_step():
    def squared(model, batch):
        return model(batch[0]).square().sum(1)

    net = nn.Linear(2, K).double()
    x, y = torch.ones(4, 2, dtype=torch.float64), torch.arange(4) % K
    wild = [Step((x, y), torch.arange(4), 1e60) for _ in range(8)]
    with pytest.raises(InputError, match="expected finite values; got others before step"):
        unrolled_influence(net, wild, 4, (x, y), y, K, loss=squared)
