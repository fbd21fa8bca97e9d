"""Laws of the fitted factors: moments pair by pair, whatever the batches, the padding, the file."""

import copy

import pytest
import torch
from safetensors.torch import save

from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import logits_of
from catwise.core.precision import precision
from catwise.influence import factors
from catwise.influence.curvature import from_tensors
from catwise.influence.factors import fit_factors
from catwise.influence.fisher_pairs import draw_pairs
from catwise.influence.layers import coverage, covered_layers
from catwise.influence.vectors import influence_vectors
from catwise.training import bert
from tests.helpers import small

OPTIONS = {"damping": 0.1, "seed": 3, "batch_size": 7}


@pytest.fixture(scope="module")
def case():
    return small.conv_net(), small.images(24), small.images(12, seed=1)


def vectors(model, curvature, train, query):
    return influence_vectors(model, curvature, train, query, query[-1], 3, batch_size=10)


@pytest.mark.parametrize("draw", ["importance", "balanced", "every"])
@pytest.mark.parametrize("kind", ["ekfac", "diagonal"])
def test_eigenvalues_are_weighted_second_moments_of_rotated_gradients_pair_by_pair(
    case, kind, draw
):
    model, (x, labels), _ = case
    fitted = fit_factors(model, (x, labels), kind=kind, draw=draw, **OPTIONS)
    with torch.no_grad():
        probability_nk = logits_of(model, (x, labels)).softmax(1)
    pairs = draw_pairs(probability_nk, labels, draw, None, OPTIONS["seed"])
    moments = {name: torch.zeros_like(part["eigenvalues"]) for name, part in fitted.layers.items()}
    for row, label, weight in zip(pairs.rows, pairs.labels, pairs.weights, strict=True):
        loss = torch.nn.functional.cross_entropy(model(x[row][None]), label[None])
        gradients = dict(
            zip(
                dict(model.named_parameters()),
                torch.autograd.grad(loss, list(model.parameters())),
                strict=True,
            )
        )
        for name, part in fitted.layers.items():
            matrix = gradients[f"{name}.weight"].flatten(1)
            if f"{name}.bias" in gradients:
                matrix = torch.cat([matrix, gradients[f"{name}.bias"][:, None]], 1)
            if kind == "ekfac":
                matrix = part["outputs"].T @ matrix @ part["inputs"]
            moments[name] += weight * matrix.square()
    for name, part in fitted.layers.items():
        torch.testing.assert_close(part["eigenvalues"], moments[name], rtol=1e-9, atol=1e-15)


def test_kfac_equals_ekfac_where_its_assumption_holds():
    """Fit with one position and a constant input, which is independent of the gradient."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False)).double()
    train = torch.ones(50, 3, dtype=torch.float64), torch.arange(50) % 4
    kfac = fit_factors(model, train, kind="kfac", **OPTIONS).layers["0"]["eigenvalues"]
    ekfac = fit_factors(model, train, kind="ekfac", **OPTIONS).layers["0"]["eigenvalues"]
    torch.testing.assert_close(kfac, ekfac, rtol=1e-9, atol=1e-12)


def test_the_seed_decides_the_bits_and_the_model_is_left_alone(case):
    model, train, _ = case
    before, state = fingerprint(model), torch.get_rng_state()
    one = fit_factors(model, train, kind="ekfac", samples=11, **OPTIONS)
    same = fit_factors(model, train, kind="ekfac", samples=11, **OPTIONS)
    other = fit_factors(model, train, kind="ekfac", samples=11, **{**OPTIONS, "seed": 4})
    assert save(one.tensors()) == save(same.tensors()) != save(other.tensors())
    assert fingerprint(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_batches_do_not_matter(case):
    model, train, query = case
    whole, parts = (
        fit_factors(model, train, kind="ekfac", **{**OPTIONS, "batch_size": size})
        for size in (24, 5)
    )
    expected = vectors(model, whole, train, query)
    torch.testing.assert_close(vectors(model, parts, train, query), expected, rtol=1e-9, atol=1e-13)


def test_a_subset_of_all_samples_is_all_samples(case):
    model, train, _ = case
    options = {"kind": "ekfac", "draw": "balanced", **OPTIONS}
    whole = fit_factors(model, train, **options)
    subset = fit_factors(model, train, samples=24, **options)
    for name, part in whole.layers.items():
        assert torch.equal(part["eigenvalues"], subset.layers[name]["eigenvalues"])


@pytest.mark.parametrize("kind", ["ekfac", "kfac", "diagonal", "identity"])
def test_every_kind_survives_a_file(case, kind):
    model, train, query = case
    fitted = fit_factors(model, train, kind=kind, **OPTIONS)
    again = from_tensors({name: value.clone() for name, value in fitted.tensors().items()})
    assert torch.equal(vectors(model, fitted, train, query), vectors(model, again, train, query))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "ekfac", "samples": 25}, "^samples: expected 1 to 24, .*; got 25$"),
        (
            {"kind": "ekfac", "samples": 9, "draw": "every"},
            "^samples: expected all .* every; got 9$",
        ),
        ({"kind": "ekfac", "damping": -1}, "^damping: expected .* 0 or more; got -1$"),
        ({"kind": "newton"}, "^kind: expected one of ekfac, .*; got 'newton'$"),
        ({"kind": "ekfac", "draw": "all"}, "^draw: expected one of importance, .*; got 'all'$"),
    ],
)
def test_bad_options_are_named(case, options, words):
    model, train, _ = case
    with pytest.raises(InputError, match=words):
        fit_factors(model, train, **OPTIONS | options)


def test_lower_precision_is_near_and_does_not_leak(case):
    """Fit in bfloat16, of 8 bits: a few per cent on P; sums stay in the dtype of the weights."""
    model = small.conv_net().float()
    train, query = ((x.float(), labels) for x, labels in case[1:])

    def fit():
        return fit_factors(model, train, kind="ekfac", draw="balanced", **OPTIONS)

    whole = vectors(model, fit(), train, query)
    with precision("bfloat16", "cpu"):
        fitted = fit()
        lowered = vectors(model, fitted, train, query)
    assert lowered.dtype == torch.float32
    parts = [value for layer in fitted.layers.values() for value in layer.values()]
    assert all(value.dtype == torch.float32 for value in parts)
    assert 0 < float((lowered - whole).norm() / whole.norm()) < 0.1
    assert torch.equal(vectors(model, fit(), train, query), whole)


@pytest.mark.slow
@pytest.mark.parametrize("embeddings", [False, True])
def test_padding_changes_neither_factors_nor_vectors(monkeypatch, embeddings):
    monkeypatch.setattr(bert, "_cut", lambda mask: mask)  # else a batch loses what is padding alone
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = bert.small(30, 12, 3, width=32, layers=1).double().eval()
    assert (
        0.5 < coverage(model) < 0.98 < coverage(model, covered_layers(model, embeddings=True)) < 1
    )
    short, long = (small.texts([5] * 12, padded_to=length) for length in (5, 9))
    options = {"kind": "ekfac", "draw": "balanced", "embeddings": embeddings, **OPTIONS}

    def padded_vectors(batch, mask=None):
        fitted = fit_factors(model, batch, mask=mask, **options)
        extra = 3 if embeddings else 0  # words, positions, kinds of text
        assert len(fitted.names) == len(covered_layers(model)) + extra
        return vectors(model, fitted, batch, batch)

    expected = padded_vectors(short, bert.real_positions)
    scale = float(expected.abs().max())
    masked = padded_vectors(long, bert.real_positions)
    torch.testing.assert_close(masked, expected, rtol=1e-8, atol=1e-10 * scale)
    assert not torch.allclose(padded_vectors(long), expected, rtol=1e-3, atol=1e-4 * scale)


def test_eigenvectors_in_float32_change_the_last_digits_alone(case, monkeypatch):
    net = copy.deepcopy(case[0]).float()
    train, query = ((x.float(), labels) for x, labels in case[1:])
    exact = fit_factors(net, train, kind="ekfac", **OPTIONS)
    monkeypatch.setattr(factors, "LARGE", 1)
    rounded = fit_factors(net, train, kind="ekfac", **OPTIONS)
    assert any(
        (exact.layers[name]["inputs"] != part["inputs"]).any()
        for name, part in rounded.layers.items()
    )
    first, second = (vectors(net, fitted, train, query) for fitted in (exact, rounded))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5 * float(first.abs().max()))
    monkeypatch.undo()
    wide = fit_factors(case[0], case[1], kind="kfac", **OPTIONS)
    monkeypatch.setattr(factors, "LARGE", 1)  # a network in float64 keeps its bits
    again = fit_factors(case[0], case[1], kind="kfac", **OPTIONS)
    for name, part in wide.layers.items():
        assert all((part[key] == again.layers[name][key]).all() for key in part)
