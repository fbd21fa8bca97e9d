"""Reverse mode through SGD is the derivative of the training, in the memory that it is given."""

import copy

import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss
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


def test_an_adjoint_that_explodes_names_its_step():
    def squared(model, batch):
        return model(batch[0]).square().sum(1)

    net = nn.Linear(2, K).double()
    x, y = torch.ones(4, 2, dtype=torch.float64), torch.arange(4) % K
    wild = [Step((x, y), torch.arange(4), 1e60) for _ in range(8)]
    with pytest.raises(InputError, match="expected finite values; got others before step"):
        unrolled_influence(net, wild, 4, (x, y), y, K, loss=squared)
