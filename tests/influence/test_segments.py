"""By segments: the end point at infinity, every step on a quadratic, and what is refused."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.precision import precision
from catwise.influence.curvature import ExactHessian, FactoredCurvature
from catwise.influence.factors import fit_factors
from catwise.influence.segments import Segment, influence_by_segments
from catwise.influence.unrolled import Step, unrolled_influence
from catwise.influence.vectors import (
    directional_derivatives,
    group_gradients,
    influence_vectors,
)
from tests.helpers import small

N, K, FEATURES = 10, 3, 4
RATES = [0.05, 0.2, 0.3, 0.1, 0.02, 0.1, 0.2]


def squared(model, batch):
    """Quadratic in the parameters, so that the training is linear in them."""
    *inputs, labels = batch
    return 0.5 * (model(*inputs) - nn.functional.one_hot(labels, K).double()).square().sum(1)


@pytest.fixture
def setting(generator):
    train, query = (
        (torch.randn(n, FEATURES, dtype=torch.float64, generator=generator), torch.arange(n) % K)
        for n in (N, 9)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(FEATURES, K).double(), train, query


def hessian(train) -> ExactHessian:
    """The sum over the samples of grad^2, which is the same everywhere: I x sum a a^T."""
    a = torch.cat([train[0], torch.ones(N, 1, dtype=torch.float64)], dim=1)
    return ExactHessian(torch.kron(torch.eye(K, dtype=torch.float64), a.T @ a), {"": (K, 5)}, N)


def by_segments(model, segments, train, query, **losses):
    return influence_by_segments(
        model, segments, train, query, query[-1], K, batch_size=4, **losses
    )


def unrolled(start, train, query, rates, weight_decay=0.0):
    steps = [Step(train, torch.arange(N), rate) for rate in rates]
    losses = {"loss": squared, "query_loss": squared}
    return unrolled_influence(
        start, steps, N, query, query[-1], K, weight_decay=weight_decay, **losses
    ).p_nk


def test_a_segment_for_each_step_is_the_unrolled_training_on_a_quadratic(setting):
    model, train, query = setting
    start, decay, segments = copy.deepcopy(model), 0.05, []
    for rate in RATES:
        segments.append(
            Segment(copy.deepcopy(model), hessian(train), [rate], decay, exact_steps=True)
        )
        gradients = torch.autograd.grad(squared(model, train).mean(), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= rate * (gradient + decay * parameter)
    p_nk = by_segments(model, segments, train, query, loss=squared, query_loss=squared)
    twin_nk = unrolled(start, train, query, RATES, decay)
    torch.testing.assert_close(p_nk, twin_nk, rtol=1e-8, atol=1e-10)


def test_at_rest_a_few_segments_of_many_steps_are_the_unrolled_training(setting):
    """There the gradients of the samples stay as they are, which a segment takes for granted."""
    model, train, query = setting
    a = torch.cat([train[0], torch.ones(N, 1, dtype=torch.float64)], dim=1)
    solution = torch.linalg.lstsq(a, nn.functional.one_hot(train[1], K).double()).solution
    with torch.no_grad():
        model.weight.copy_(solution[:FEATURES].T)
        model.bias.copy_(solution[FEATURES])
    curvature, losses = hessian(train), {"loss": squared, "query_loss": squared}
    segments = [
        Segment(model, curvature, part, exact_steps=True) for part in (RATES[:3], RATES[3:])
    ]
    p_nk = by_segments(model, segments, train, query, **losses)
    torch.testing.assert_close(p_nk, unrolled(model, train, query, RATES), rtol=1e-8, atol=1e-10)
    small = [rate / 1000 for rate in RATES for _ in range(1000)]
    steps_nk, flow_nk = (
        by_segments(
            model, [Segment(model, curvature, small, exact_steps=exact)], train, query, **losses
        )
        for exact in (True, False)
    )
    torch.testing.assert_close(steps_nk, flow_nk, rtol=1e-3, atol=1e-6)  # of the order of the rates


def test_where_the_loss_curves_downwards_a_segment_is_gradient_flow_too(setting):
    """Compare with (1 - exp(-h A)) A^-1 / n of a dense mean curvature A, which is indefinite."""
    model, train, query = setting
    whole = hessian(train)
    dense = whole.hessian / N - torch.eye(K * 5, dtype=torch.float64)
    eigenvalues = torch.linalg.eigvalsh(dense)
    assert eigenvalues[0] < -0.5 < 0.5 < eigenvalues[-1]
    segment = Segment(model, replace(whole, hessian=N * dense), RATES)
    p_nk = by_segments(model, [segment], train, query)
    q = group_gradients(model, query, query[-1], K, batch_size=4)[""]
    flow = torch.eye(K * 5, dtype=torch.float64) - torch.linalg.matrix_exp(-sum(RATES) * dense)
    v = {"": (q.flatten(1) @ torch.linalg.solve(dense, flow) / N).view_as(q)}
    expected = directional_derivatives(model, train, v, batch_size=4)
    torch.testing.assert_close(p_nk, expected, rtol=1e-9, atol=1e-12)  # rounding of the eigenbasis


def test_a_segment_in_lower_precision_is_near():
    train, query = ((x.float(), y) for x, y in (small.images(24), small.images(12, seed=1)))
    model = small.conv_net().float()
    fitted = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=24)

    def found():
        segment = Segment(model, fitted, [0.1] * 30)
        about = (train, query, query[-1], K)
        return influence_by_segments(model, [segment, segment], *about, batch_size=24)

    whole = found()
    with precision("bfloat16", "cpu"):
        lowered = found()
    assert lowered.dtype == torch.float32
    assert 0 < float((lowered - whole).norm() / whole.norm()) < 0.1


def test_one_endless_segment_at_the_end_is_the_influence_at_the_last_checkpoint(setting):
    model, train, query = setting
    factors = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=5)
    p_nk = by_segments(model, [Segment(model, factors, [math.inf])], train, query)
    end_nk = influence_vectors(model, factors, train, query, query[-1], K, batch_size=4)
    assert torch.equal(p_nk, end_nk)


def test_a_segment_goes_no_further_than_its_rates_where_nothing_curves(setting):
    model, train, query = setting
    layers = {"": {"eigenvalues": torch.zeros(K, FEATURES + 1, dtype=torch.float64)}}
    flat = Segment(model, FactoredCurvature(N, 0.1, layers), RATES)
    q = group_gradients(model, query, query[-1], K, batch_size=4)
    v = {name: sum(RATES) / N * q_koi for name, q_koi in q.items()}
    expected_nk = directional_derivatives(model, train, v, batch_size=4)
    torch.testing.assert_close(by_segments(model, [flat], train, query), expected_nk)


def test_a_preconditioner_of_one_number_is_another_learning_rate(setting):
    model, train, query = setting
    factors = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=5)
    scaled_nk, faster_nk = (
        by_segments(model, [Segment(model, factors, rates, scales=scales)], train, query)
        for rates, scales in ((RATES, {"": 3.0}), ([3 * rate for rate in RATES], {}))
    )
    torch.testing.assert_close(scaled_nk, faster_nk)


def test_bad_segments_are_refused_in_one_line(setting):
    model, train, query = setting
    diverging = Segment(model, hessian(train), [50.0], exact_steps=True)
    with pytest.raises(InputError, match="below 2 for exact steps; got"):
        by_segments(model, [diverging], train, query, loss=squared, query_loss=squared)
    with pytest.raises(InputError, match="expected one or more; got none"):
        by_segments(model, [], train, query)
    for changes in ({"weight_decay": 0.1}, {"scales": {"": 2.0}}):
        endless = Segment(model, hessian(train), [math.inf], **changes)
        with pytest.raises(InputError, match="expected no weight_decay and no scales with a rate"):
            by_segments(model, [endless], train, query)
    elsewhere = Segment(model, hessian(train), RATES, scales={"": 2.0, "head": 3.0})
    with pytest.raises(InputError, match="expected scales of ''; got 'head' in segment 0"):
        by_segments(model, [elsewhere], train, query)
    with pytest.raises(InputError, match="got 0 steps and the layers  in segment 0"):
        by_segments(model, [Segment(model, hessian(train), [])], train, query)
