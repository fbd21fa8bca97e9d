import copy
import logging
import tempfile

import brute_force
import numpy as np
import pytest
import small
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments

from catwise import curvature
from catwise.influence import directional_derivatives, group_gradients, influence_vectors


@pytest.fixture
def logistic_case(rng):
    train, query = small.blobs(rng, 60), small.blobs(rng, 45)
    return train, query


def vectors(model, train, query, l2, batch_size=17):
    hessian = curvature.exact(model, *train, l2)
    return influence_vectors(model, hessian, train, query, query[1], 3, batch_size=batch_size)


def gradients(model, query, batch_size=5):
    return group_gradients(model, query, query[1], 3, batch_size=batch_size)


@pytest.mark.parametrize("l2", [0.0, 0.02])
def test_equals_the_definition_with_dense_gradients(logistic_case, l2):
    train, query = logistic_case
    model = small.logistic(train, l2)
    expected = brute_force.influence(model, train, query, 3, l2)
    torch.testing.assert_close(vectors(model, train, query, l2), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_equals_refitting_with_one_weight_moved(logistic_case, sign):
    """d(loss of class k) / d w_i = -P[i, k] at w = 1. Richardson removes the first error of each one-sided step."""
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
        torch.testing.assert_close(slope, -p_nk[i], rtol=1e-5, atol=1e-7)  # the error left is O(h^2)


def test_sums_to_zero_at_an_unregularised_optimum(logistic_case):
    train, query = logistic_case
    p_nk = vectors(small.logistic(train, 0.0), train, query, 0.0)
    assert p_nk.sum(0).abs().max() < 1e-9 * p_nk.abs().sum(0).max()


def test_sums_to_the_pull_of_the_penalty(logistic_case):
    """sum_i g_i = -n l2 theta at the optimum, so sum_i P[i, k] = -n l2 v_k . theta."""
    train, query = logistic_case
    l2 = 0.05
    model = small.logistic(train, l2)
    hessian = curvature.exact(model, *train, l2)
    v = brute_force.as_parameters(model, hessian.solve(gradients(model, query, 50)))
    theta = torch.cat([model.get_parameter(name).detach().flatten() for name in v[0]])
    expected = torch.stack([-60 * l2 * brute_force.flat(v_k) @ theta for v_k in v])
    torch.testing.assert_close(vectors(model, train, query, l2).sum(0), expected, rtol=1e-9, atol=1e-12)


def class_losses(model, query):
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(model(query[0]), query[1], reduction="none")
    return torch.stack([losses[query[1] == k].sum() for k in range(3)])


def test_predicts_leaving_one_out(rng):
    train, query = small.blobs(rng, 400), small.blobs(rng, 45)
    model = small.logistic(train, 0.05)
    predicted = vectors(model, train, query, 0.05)[:80]
    changes = []
    for i in range(80):
        weights = torch.ones(400, dtype=torch.float64)
        weights[i] = 0
        changes.append(class_losses(small.logistic(train, 0.05, weights), query) - class_losses(model, query))
    for k in range(3):
        assert np.corrcoef(torch.stack(changes)[:, k], predicted[:, k])[0, 1] > 0.999


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
    ekfac = curvature.fit_ekfac(model, x, y, damping=0.1, seed=0, batch_size=23)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    whole = influence_vectors(model, ekfac, (x, y), query, query[1], 3, batch_size=23)
    pieces = influence_vectors(model, ekfac, (x[order], y[order]), query, query[1], 3, batch_size=4)
    torch.testing.assert_close(pieces, whole[order], rtol=1e-10, atol=1e-14)


def test_ekfac_vectors_equal_kronfluence_pairwise_scores_summed():
    """kronfluence's scores use the mean curvature, ours the sum of Eq. 1: its scores are n times ours."""
    model, train, query = small.conv_net(), small.images(24), small.images(12, seed=1)
    ekfac = curvature.fit_ekfac(model, *train, damping=0.1, seed=3, batch_size=24)
    ours = influence_vectors(model, ekfac, train, query, query[1], 3, batch_size=24)
    v = ekfac.solve(gradients(model, query))
    twin = brute_force.directional_derivatives(model, *train, brute_force.as_parameters(model, v))
    torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-14)

    pairwise = kronfluence_pairwise(model, train, query)
    summed = torch.stack([pairwise[query[1] == k].sum(0) for k in range(3)], 1) / 24
    torch.testing.assert_close(ours, summed, rtol=1e-10, atol=1e-14)


def kronfluence_pairwise(model, train, query):
    """The public way: factors seeded as ours, damping None (0.1 times the mean eigenvalue), every pair."""
    dtypes = dict.fromkeys(("activation_covariance_dtype", "gradient_covariance_dtype", "lambda_dtype"), torch.float64)
    task = curvature.Classification()
    tensors = torch.utils.data.TensorDataset
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(3)
        analyzer = Analyzer(
            "twin",
            prepare_model(copy.deepcopy(model), task),
            task,
            output_dir=folder,
            disable_tqdm=True,
            disable_model_save=True,
            log_level=logging.ERROR,
        )
        analyzer.fit_all_factors(
            "f",
            tensors(*train),
            per_device_batch_size=24,
            factor_args=FactorArguments(strategy="ekfac", per_sample_gradient_dtype=torch.float64, **dtypes),
        )
        analyzer.compute_pairwise_scores(
            "s",
            "f",
            query_dataset=tensors(*query),
            train_dataset=tensors(*train),
            per_device_query_batch_size=4,
            per_device_train_batch_size=24,
            score_args=ScoreArguments(
                damping_factor=None,
                score_dtype=torch.float64,
                precondition_dtype=torch.float64,
                per_sample_gradient_dtype=torch.float64,
                query_gradient_svd_dtype=torch.float64,
            ),
        )
        return analyzer.load_pairwise_scores("s")["all_modules"]
