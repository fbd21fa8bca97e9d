"""Laws of influence vectors: the definition, refitting, sums, partitions; laws of their passes."""

import copy

import numpy as np
import pytest
import torch

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss, per_sample_probability
from catwise.influence import curvature
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import (
    directional_derivatives,
    group_gradients,
    influence_vectors,
    validation_bins,
)
from tests.helpers import brute_force, small


@pytest.fixture
def logistic_case(rng):
    train, query = small.blobs(rng, 60), small.blobs(rng, 45)
    return train, query


def vectors(model, train, query, l2, batch_size=17):
    hessian = curvature.exact_hessian(model, train, l2)
    return influence_vectors(model, hessian, train, query, query[1], 3, batch_size=batch_size)


def gradients(model, query, batch_size=5):
    return group_gradients(model, query, query[1], 3, batch_size=batch_size)


@pytest.mark.parametrize("l2", [0.0, 0.02])
def test_equals_the_definition_with_dense_gradients(logistic_case, l2):
    train, query = logistic_case
    model = small.logistic(train, l2)
    expected = brute_force.influence(model, train, query, 3, l2)
    torch.testing.assert_close(vectors(model, train, query, l2), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_equals_refitting_with_one_weight_moved(logistic_case, sign):
    """Differentiate: d(loss of class k) / d w_i = -P[i, k] at w = 1, by one-sided steps.

    Richardson's extrapolation removes the first error of each step.
    """
    train, query = logistic_case
    p_nk = vectors(small.logistic(train, 0.01), train, query, 0.01)

    def query_loss(step: float, i: int) -> torch.Tensor:
        weights = torch.ones(60, dtype=torch.float64)
        weights[i] += sign * step
        return class_losses(small.logistic(train, 0.01, weights), query)

    for i in (0, 7, 31):
        h = 1e-3
        base, near, far = query_loss(0, i), query_loss(h / 2, i), query_loss(h, i)
        slope = sign * (4 * near - far - 3 * base) / h
        torch.testing.assert_close(
            slope, -p_nk[i], rtol=1e-5, atol=1e-7
        )  # the error left is O(h^2)


def test_sums_to_zero_at_an_unregularised_optimum(logistic_case):
    train, query = logistic_case
    p_nk = vectors(small.logistic(train, 0.0), train, query, 0.0)
    assert p_nk.sum(0).abs().max() < 1e-9 * p_nk.abs().sum(0).max()


def test_sums_to_the_pull_of_the_penalty(logistic_case):
    """At the optimum sum_i g_i = -n l2 theta, so sum_i P[i, k] = -n l2 v_k . theta."""
    train, query = logistic_case
    l2 = 0.05
    model = small.logistic(train, l2)
    hessian = curvature.exact_hessian(model, train, l2)
    v = brute_force.as_parameters(model, hessian.solve(gradients(model, query, 50)))
    theta = torch.cat([model.get_parameter(name).detach().flatten() for name in v[0]])
    expected = torch.stack([-60 * l2 * brute_force.flat(v_k) @ theta for v_k in v])
    torch.testing.assert_close(
        vectors(model, train, query, l2).sum(0), expected, rtol=1e-9, atol=1e-12
    )


def class_losses(model, query):
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(model(query[0]), query[1], reduction="none")
    return torch.stack([losses[query[1] == k].sum() for k in range(3)])


@pytest.mark.slow
def test_predicts_leaving_one_out(rng):
    train, query = small.blobs(rng, 400), small.blobs(rng, 45)
    model = small.logistic(train, 0.05)
    predicted = vectors(model, train, query, 0.05)[:25]
    losses = []
    for i in range(25):
        weights = torch.ones(400, dtype=torch.float64)
        weights[i] = 0
        losses.append(class_losses(small.logistic(train, 0.05, weights), query))
    changes = torch.stack(losses) - class_losses(model, query)
    for k in range(3):
        assert np.corrcoef(changes[:, k], predicted[:, k])[0, 1] > 0.999


def test_one_pass_equals_forward_mode_derivatives():
    model, (x, y) = small.conv_net(), small.images(23)
    q = gradients(model, small.images(12, seed=1))
    expected = brute_force.directional_derivatives(model, x, y, brute_force.as_parameters(model, q))
    torch.testing.assert_close(
        directional_derivatives(model, (x, y), q, batch_size=7), expected, rtol=1e-10, atol=1e-12
    )


def test_group_gradients_are_sums_of_autograd_gradients():
    model, (x, y) = small.conv_net(), small.images(12)
    q = brute_force.as_parameters(model, gradients(model, (x, y)))
    for k in range(3):
        loss = torch.nn.functional.cross_entropy(model(x[y == k]), y[y == k], reduction="sum")
        expected = torch.autograd.grad(loss, [model.get_parameter(name) for name in q[k]])
        for name, gradient in zip(q[k], expected, strict=True):
            torch.testing.assert_close(q[k][name], gradient, rtol=1e-10, atol=1e-12)


def test_neither_batches_nor_order_matter():
    model, (x, y), query = small.conv_net(), small.images(23), small.images(12, seed=1)
    ekfac = fit_factors(model, (x, y), kind="ekfac", damping=0.1, seed=0, batch_size=23)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    about, fixed = (query, query[1], 3), {"statistics": "fixed"}  # others see a part of the samples
    whole = influence_vectors(model, ekfac, (x, y), *about, batch_size=23, **fixed)
    pieces = influence_vectors(model, ekfac, (x[order], y[order]), *about, batch_size=4, **fixed)
    torch.testing.assert_close(pieces, whole[order], rtol=1e-10, atol=1e-14)


def test_any_partition_of_the_query_samples_adds_up():
    """Halves of the classes are groups too; their vectors add up to those of the classes."""
    model, train, query = small.conv_net(), small.images(23), small.images(12, seed=1)
    ekfac = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=23)
    halves = query[1] + 3 * (torch.arange(12) % 2)
    whole = influence_vectors(model, ekfac, train, query, query[1], 3, batch_size=7)
    parts = influence_vectors(model, ekfac, train, query, halves, 6, batch_size=7)
    torch.testing.assert_close(parts[:, :3] + parts[:, 3:], whole, rtol=1e-10, atol=1e-14)


def test_a_query_loss_of_its_own_is_differentiated(logistic_case):
    """Predict minus the probability of the true class: the rest of Eq. 1 stays as it is."""
    train, query = logistic_case
    model = small.logistic(train, 0.05)
    hessian = curvature.exact_hessian(model, train, 0.05)

    def of(query_loss, samples, num_groups):
        options = {"batch_size": 17, "query_loss": query_loss}
        groups = samples[1]
        return influence_vectors(model, hessian, train, samples, groups, num_groups, **options)

    one = tuple(part[:1] for part in query)  # -dp = p d(-log p) for a single sample
    with torch.no_grad():
        probability = model(one[0]).softmax(1)[0, one[1]]
    expected = probability * of(per_sample_loss, one, 1)
    of_probability = of(per_sample_probability, one, 1)
    torch.testing.assert_close(of_probability, expected, rtol=1e-9, atol=1e-14)
    all_of_probability = of(per_sample_probability, query, 3)
    assert not torch.allclose(all_of_probability, of(per_sample_loss, query, 3))


def test_an_empty_class_is_zero_and_named(logistic_case):
    train, query = logistic_case
    hessian = curvature.exact_hessian(small.logistic(train, 0.05), train, 0.05)
    with pytest.warns(UserWarning, match=r"groups without a query sample.*\[3\]"):
        p_nk = influence_vectors(
            small.logistic(train, 0.05), hessian, train, query, query[1], 4, batch_size=20
        )
    assert (p_nk[:, 3] == 0).all()
    assert (p_nk[:, :3] != 0).any(0).all()


def test_bad_gradients_and_groups_are_named(logistic_case):
    train, query = logistic_case
    model = small.logistic(train, 0.05)
    hessian = curvature.exact_hessian(model, train, 0.05)
    with pytest.raises(InputError, match="groups: expected 0 to 1; got 0 to 2"):
        influence_vectors(model, hessian, train, query, query[1], 2, batch_size=20)
    large = 1e308 * model.linear.weight[0].detach().sign()  # finite, but no logits are
    query[0][7] = large
    with pytest.raises(InputError, match="others for sample 7 in layer linear"):
        influence_vectors(model, hessian, train, query, query[1], 3, batch_size=20)
    query[0][7] = 0
    train[0][33] = large
    with pytest.raises(InputError, match="got nan for training sample 33"):
        fit_factors(model, train, kind="ekfac", draw="balanced", damping=0.1, seed=0, batch_size=7)
    with pytest.raises(InputError, match="others for sample 33 in layer linear"):
        influence_vectors(model, hessian, train, query, query[1], 3, batch_size=20)


def test_groups_are_one_for_each_query_sample_and_may_be_an_array():
    model, query = small.conv_net(), small.images(12)
    groups = query[1].numpy()
    groups.setflags(write=False)
    found = group_gradients(model, query, groups, 3, batch_size=5)
    for name, expected in gradients(model, query).items():
        assert torch.equal(found[name], expected)
    for wrong in (query[1][:9], torch.arange(15) % 3, query[1][:, None], groups[:9]):
        with pytest.raises(InputError, match="groups: expected one for each of 12 query samples"):
            group_gradients(model, query, wrong, 3, batch_size=5)


def test_what_was_frozen_stays_frozen_and_the_mode_is_restored():
    model, train = small.conv_net().train(), small.images(9)
    model[3].weight.requires_grad_(False)
    gradients(model, train)
    directional_derivatives(model, train, gradients(model, train), batch_size=4)
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1


def test_bins_deal_each_class_evenly(rng):
    labels_m = rng.integers(0, 3, 100)
    groups_m = validation_bins(labels_m, 4, rng)
    np.testing.assert_array_equal(groups_m // 4, labels_m)
    for label in range(3):
        sizes = np.bincount(groups_m[labels_m == label] % 4, minlength=4)
        assert sizes.max() - sizes.min() <= 1


def test_more_bins_than_the_smallest_class_has_samples_are_named(rng):
    with pytest.raises(InputError, match=r"^bins: expected at most 2, .* got 4"):
        validation_bins(np.array([0] * 9 + [1] * 2), 4, rng)


def test_no_bins_are_refused(rng):
    for bins in (0, -1):
        with pytest.raises(
            InputError, match=f"^bins: expected a whole number, 1 or more; got {bins}$"
        ):
            validation_bins(np.array([0, 1]), bins, rng)


@pytest.mark.parametrize("kind", ["ekfac", "kfac", "diagonal"])
def test_below_a_head_of_zeros_there_is_no_influence_and_no_nan(kind, rng):
    """New vision transformers have such a head; a gradient of zero has a curvature of zero."""
    x, labels = torch.from_numpy(rng.normal(size=(30, 4))).float(), torch.arange(30) % 3
    body, head = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)
    torch.nn.init.zeros_(head.weight)

    def vectors(model, inputs):
        part = inputs.detach(), labels
        factors = fit_factors(model, part, kind=kind, damping=0.1, seed=0, batch_size=10)
        return influence_vectors(model, factors, part, part, labels, 3, batch_size=10)

    whole = vectors(torch.nn.Sequential(body, torch.nn.Tanh(), head), x)
    torch.testing.assert_close(whole, vectors(torch.nn.Sequential(head), body(x).tanh()))
    assert whole.abs().max() > 0


def test_bins_of_labels_of_eight_bits_are_those_of_wide_ones():
    """Forty classes of eight bins are more groups than eight bits count."""
    labels_m = np.repeat(np.arange(40), 8)
    narrow, wide = (
        validation_bins(labels_m.astype(kind), 8, np.random.default_rng(0))
        for kind in (np.uint8, np.int64)
    )
    np.testing.assert_array_equal(narrow, wide)
    assert len(np.unique(narrow)) == 320


def test_a_model_in_half_precision_is_taken_in_float32():
    model, (x, y) = small.conv_net().bfloat16(), small.images(12)
    train, query, groups = (x.float(), y), (x[:6].float(), y[:6]), y[:6]
    curvature = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=6)
    p_nk = influence_vectors(model, curvature, train, query, groups, 3, batch_size=6)
    float32 = copy.deepcopy(model).float()
    expected = influence_vectors(float32, curvature, train, query, groups, 3, batch_size=6)
    assert torch.equal(p_nk, expected)
    assert next(model.parameters()).dtype == torch.bfloat16
