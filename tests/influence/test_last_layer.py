"""The last layer's curvature is the Hessian that automatic differentiation gives for it."""

from functools import partial

import pytest
import torch
from torch import nn

from catwise import (
    Augmented,
    diagnose,
    influence_vectors,
    last_layer_hessian,
    load_diagnosis,
)
from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss
from catwise.influence import last_layer
from catwise.influence.curvature import exact_hessian
from catwise.influence.factors import fit_factors
from catwise.influence.reading import as_samples

N, K = 40, 3


class Cooled(nn.Module):
    """A network with batch norm whose logits are multiplied by a number."""

    def __init__(self, bias=True):
        super().__init__()
        self.below = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh())
        self.head = nn.Linear(6, K, bias=bias)

    def forward(self, x):
        return 0.2 * self.head(self.below(x))


def samples(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, 4, generator=generator), torch.arange(N) % K


def built(make):
    torch.manual_seed(0)
    return make().eval()


def hessian_of_autograd(model, batch):
    """Differentiate the summed loss twice by the head's matrix, the bias its last column."""
    head = model.head
    theta = torch.cat([head.weight, head.bias[:, None]], dim=1).detach()

    def summed(flat):
        matrix = flat.view_as(theta)
        values = {"head.weight": matrix[:, :-1], "head.bias": matrix[:, -1]}
        logits = torch.func.functional_call(model, values, (batch[0],))
        return nn.functional.cross_entropy(logits, batch[1], reduction="sum")

    return torch.func.hessian(summed)(theta.flatten())


def test_it_is_the_hessian_of_automatic_differentiation_at_that_layer():
    model, train = built(Cooled), samples(0)
    found = last_layer_hessian(model, train, damping=0.0, batch_size=7)
    assert found.shapes == {"head": (K, 7)}
    assert found.n == N
    torch.testing.assert_close(found.hessian, hessian_of_autograd(model, train))


def test_without_layers_below_it_is_the_exact_hessian():
    model, train = built(lambda: nn.Sequential(nn.Linear(4, K, bias=False))), samples(0)
    found = last_layer_hessian(model, train, damping=0.0)
    torch.testing.assert_close(found.hessian, exact_hessian(model, train, 0.0).hessian)


def test_damping_is_a_share_of_the_mean_eigenvalue():
    model, train = built(Cooled), samples(0)
    plain, damped = (last_layer_hessian(model, train, damping=d).hessian for d in (0.0, 0.5))
    added = 0.5 * torch.linalg.eigvalsh(plain).mean()
    torch.testing.assert_close(damped - plain, added * torch.eye(len(plain)), atol=1e-6, rtol=1e-5)


def test_augmented_samples_count_with_their_mean():
    (x, y), model = samples(0), built(Cooled)
    augmented = Augmented((x, y), lambda x: x + torch.rand(()), draws=2)
    found = last_layer_hessian(model, augmented, damping=0.0, batch_size=N)
    views = [view.rows(slice(0, N)) for view in as_samples(augmented, model).views]
    apart = [last_layer_hessian(model, view, damping=0.0).hessian for view in views]
    torch.testing.assert_close(found.hessian, (apart[0] + apart[1]) / 2)


def test_p_is_gradient_inverse_hessian_gradient_whether_batch_norm_moves_or_not():
    model, train, query = built(Cooled), samples(0), samples(1)
    curvature = last_layer_hessian(model, train)
    p_nk = influence_vectors(model, curvature, train, query, query[1], K, batch_size=9)

    def gradient(batch, rows):
        part = tuple(values[rows] for values in batch)
        head = [model.head.weight, model.head.bias]
        weight, bias = torch.autograd.grad(per_sample_loss(model, part).sum(), head)
        return torch.cat([weight, bias[:, None]], dim=1).flatten()

    q_kp = torch.stack([gradient(query, query[1] == k) for k in range(K)])
    g_np = torch.stack([gradient(train, [i]) for i in range(N)])
    expected = g_np @ torch.linalg.solve(curvature.hessian, q_kp.T)
    torch.testing.assert_close(p_nk, expected, atol=1e-6, rtol=1e-4)
    fixed = influence_vectors(
        model, curvature, train, query, query[1], K, batch_size=9, statistics="fixed"
    )
    torch.testing.assert_close(p_nk, fixed)


def test_a_diagnosis_by_it_is_saved_and_asked_again(tmp_path):
    model, train, query = built(Cooled), samples(0), samples(1)
    curvature = last_layer_hessian(model, train)
    about = (query, ["a", "b", "c"])
    found = diagnose(model, train, *about, curvature=curvature, statistics="fixed")
    assert found.coverage == pytest.approx(21 / (21 + 30 + 12))
    found.save(tmp_path)
    read = load_diagnosis(tmp_path, model, train)
    assert read.ask(query).p_nk == pytest.approx(found.p_nk, abs=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(4, K), nn.LogSoftmax(dim=1)),
        lambda: nn.Sequential(nn.Linear(4, K), nn.LayerNorm(K)),
        lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, K, 4), nn.Flatten()),
        lambda: nn.Sequential(
            nn.Linear(4, K),
            nn.Threshold(1e9, 0.0),  # through which no gradient comes
            nn.Unflatten(1, (1, K)),
            nn.Conv1d(1, K, K),
            nn.Flatten(),
        ),
    ],
)
def test_a_model_without_a_linear_last_layer_is_refused(make):
    with pytest.raises(InputError, match="expected a linear layer whose outputs are the logits"):
        last_layer_hessian(built(make), samples(0))


def test_a_last_layer_too_large_for_a_matrix_of_its_square_is_refused(monkeypatch):
    monkeypatch.setattr(last_layer, "LARGEST", 20)
    with pytest.raises(InputError, match=r"model.head: expected at most 20 parameters .* got 21"):
        last_layer_hessian(built(Cooled), samples(0))


FITS = {
    "last layer": last_layer_hessian,
    "exact": lambda model, train: exact_hessian(model, train, 0.1),
    "ekfac": partial(fit_factors, kind="ekfac", damping=0.1, seed=0, batch_size=9),
}


@pytest.mark.parametrize("fit", FITS)
def test_a_model_in_half_precision_is_taken_in_float32(fit):
    half, whole = built(Cooled).half(), built(Cooled).half().float()
    train, query = samples(0), samples(1)
    p_nk, expected_nk = (
        diagnose(model, train, query, "abc", curvature=FITS[fit](model, train)).p_nk
        for model in (half, whole)
    )
    assert p_nk.tolist() == expected_nk.tolist()


def test_a_curvature_of_another_model_or_of_other_samples_is_refused():
    model, (x, y), query = built(Cooled), samples(0), samples(1)
    curvature = last_layer_hessian(model, (x, y))

    def said(line, curvature):
        with pytest.raises(InputError, match=f"^curvature: expected {line}$"):
            diagnose(model, (x, y), query, "abc", curvature=curvature)

    said("one that fit_factors or a Hessian gives; got str", "last")
    said(
        "that of the 40 training samples; got that of 39", last_layer_hessian(model, (x[1:], y[1:]))
    )
    said(r"\(3, 7\) in layer head; got \(3, 6\)", last_layer_hessian(Cooled(bias=False), (x, y)))
    with torch.no_grad():
        model.head.weight += 0.1
    said("that of this model; got that of other weights", curvature)


def test_a_negative_damping_is_refused():
    with pytest.raises(InputError, match="damping: expected"):
        last_layer_hessian(built(Cooled), samples(0), damping=-1.0)
