import numpy as np
import pytest
import torch
from safetensors.torch import save

from catwise.core.errors import InputError
from catwise.core.precision import precision
from catwise.influence import kronfluence_reference
from catwise.influence.curvature import from_tensors
from catwise.influence.factors import fit_factors, logits_of
from catwise.influence.fisher_pairs import draw_pairs
from catwise.influence.layers import coverage
from catwise.influence.vectors import influence_vectors
from catwise.training import models
from tests.helpers import small

OPTIONS = {"damping": 0.1, "seed": 3, "batch_size": 7}
PLAIN = {**OPTIONS, "draw": "balanced"}  # one label of each sample, as kronfluence does


class GivenLabels(kronfluence_reference.Classification):
    """kronfluence with the labels that we drew, so that both fit the same matrix."""

    def compute_train_loss(self, batch, model, sample=False):
        return super().compute_train_loss(batch, model, sample=False)


@pytest.fixture(scope="module")
def case():
    return small.conv_net(), small.images(24), small.images(12, seed=1)


def vectors(model, curvature, train, query):
    return influence_vectors(model, curvature, train, query, query[-1], 3, batch_size=10)


def probabilities(model, train):
    with torch.no_grad():
        return logits_of(model, train).softmax(1)


def drawn(model, train):
    return draw_pairs(probabilities(model, train), train[-1], "balanced", None, 3).labels


def test_ekfac_equals_kronfluence_pairwise_and_summed_and_its_aggregated_calls(case):
    model, train, query = case
    ours = vectors(model, fit_factors(model, train, kind="ekfac", **PLAIN), train, query)
    with kronfluence_reference.analysis(model, GivenLabels()) as analyzer:
        kronfluence_reference.fit_all(analyzer, (train[0], drawn(model, train)), 7)
        sizes = {"batch_size": 10, "query_batch_size": 4}
        pairwise_mn = kronfluence_reference.pairwise_scores(analyzer, train, query, **sizes)
        aggregated_nk = kronfluence_reference.aggregated_scores(analyzer, train, query, 3, **sizes)
    summed_nk = torch.stack([pairwise_mn[query[1] == k].sum(0) for k in range(3)], 1)
    torch.testing.assert_close(
        24 * ours, summed_nk, rtol=1e-10, atol=1e-10 * float(summed_nk.abs().max())
    )
    torch.testing.assert_close(
        24 * ours, aggregated_nk, rtol=1e-10, atol=1e-10 * float(summed_nk.abs().max())
    )


def test_in_float32_too(case):
    model, train, query = case
    model, train, query = (
        small.conv_net().float(),
        (train[0].float(), train[1]),
        (query[0].float(), query[1]),
    )
    ours = vectors(model, fit_factors(model, train, kind="ekfac", **PLAIN), train, query)
    with kronfluence_reference.analysis(model, GivenLabels()) as analyzer:
        kronfluence_reference.fit_all(analyzer, (train[0], drawn(model, train)), 7)
        theirs = kronfluence_reference.aggregated_scores(
            analyzer, train, query, 3, batch_size=10, query_batch_size=4
        )
    assert (24 * ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_factors_that_kronfluence_fitted_itself_serve_as_well(case):
    model, train, query = case
    fitted = kronfluence_reference.fit_kronfluence(model, train, damping=0.1, seed=0, batch_size=7)
    with kronfluence_reference.analysis(model, seed=0) as analyzer:
        kronfluence_reference.fit_all(analyzer, train, 7)
        theirs = kronfluence_reference.aggregated_scores(
            analyzer, train, query, 3, batch_size=10, query_batch_size=4
        )
    ours = vectors(model, fitted, train, query)
    torch.testing.assert_close(
        24 * ours, theirs, rtol=1e-10, atol=1e-10 * float(theirs.abs().max())
    )


@pytest.mark.parametrize("draw", ["importance", "balanced", "every"])
@pytest.mark.parametrize("kind", ["ekfac", "diagonal"])
def test_eigenvalues_are_weighted_second_moments_of_rotated_gradients_pair_by_pair(
    case, kind, draw
):
    model, (x, y), _ = case
    fitted = fit_factors(model, (x, y), kind=kind, draw=draw, **OPTIONS)
    pairs = draw_pairs(probabilities(model, (x, y)), y, draw, None, 3)
    for name, layer in fitted.layers.items():
        module = model.get_submodule(name)
        moments = torch.zeros_like(layer["eigenvalues"])
        for i, label, weight in zip(pairs.rows, pairs.labels, pairs.weights, strict=True):
            loss = torch.nn.functional.cross_entropy(model(x[i][None]), label[None])
            gradients = torch.autograd.grad(loss, list(module.parameters()))
            matrix = gradients[0].flatten(1)
            if module.bias is not None:
                matrix = torch.cat([matrix, gradients[1][:, None]], 1)
            if kind == "ekfac":
                matrix = layer["outputs"].T @ matrix @ layer["inputs"]
            moments += weight * matrix.square()
        torch.testing.assert_close(layer["eigenvalues"], moments, rtol=1e-9, atol=1e-15)


def test_kfac_has_the_trace_of_ekfac_where_its_assumption_holds():
    """With one position and an input independent of the gradient, KFAC is exact: a constant input makes it so."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False)).double()
    x, y = torch.ones(50, 3, dtype=torch.float64), torch.arange(50) % 4
    kfac, ekfac = (
        fit_factors(model, (x, y), kind=kind, **OPTIONS).layers["0"]["eigenvalues"]
        for kind in ("kfac", "ekfac")
    )
    torch.testing.assert_close(kfac, ekfac, rtol=1e-9, atol=1e-12)


def test_the_seed_decides_the_bits_and_the_model_is_left_alone(case):
    model, train, _ = case
    before, state = models.fingerprint(model), torch.get_rng_state()
    one = fit_factors(model, train, kind="ekfac", samples=11, **OPTIONS)
    same = fit_factors(model, train, kind="ekfac", samples=11, **OPTIONS)
    other = fit_factors(model, train, kind="ekfac", samples=11, **{**OPTIONS, "seed": 4})
    assert save(one.tensors()) == save(same.tensors()) != save(other.tensors())
    assert models.fingerprint(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_batches_do_not_matter(case):
    model, train, query = case
    whole, parts = (
        vectors(
            model,
            fit_factors(model, train, kind="ekfac", **{**OPTIONS, "batch_size": size}),
            train,
            query,
        )
        for size in (24, 5)
    )
    torch.testing.assert_close(whole, parts, rtol=1e-9, atol=1e-13)


def test_a_subset_of_all_samples_is_all_samples(case):
    model, train, _ = case
    whole, subset = (
        fit_factors(model, train, kind="ekfac", samples=samples, **PLAIN) for samples in (None, 24)
    )
    for name in whole.layers:
        assert torch.equal(whole.layers[name]["eigenvalues"], subset.layers[name]["eigenvalues"])


@pytest.mark.parametrize("samples", [1, 7, 30, 99, 100])
def test_a_balanced_subset_is_as_balanced_as_the_classes_reach(samples):
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    pairs = draw_pairs(torch.full((100, 3), 1 / 3), labels, "balanced", samples, 0)
    assert len(set(pairs.rows.tolist())) == samples
    counts = torch.bincount(labels[pairs.rows], minlength=3)
    left = counts[counts < torch.bincount(labels)]  # of classes that are not used up
    assert len(left) == 0 or left.max() - left.min() <= 1


@pytest.mark.parametrize("draw", ["importance", "balanced", "every"])
def test_draws_are_unbiased(rng, draw):
    """The mean of a function of sample and label over 400 draws, within 5 of its standard errors."""
    p_nk = torch.from_numpy(rng.dirichlet([0.3] * 4, size=30))
    given, value_nk = p_nk.argmax(1), torch.from_numpy(rng.normal(size=(30, 4)))
    expected = float((p_nk * value_nk).sum() / 30)
    found, inputs = [], []
    for seed in range(400):
        pairs = draw_pairs(p_nk, given, draw, 30 if draw == "balanced" else 12, seed)
        found.append(float((pairs.weights * value_nk[pairs.rows, pairs.labels]).sum()))
        inputs.append(float(pairs.input_weights.sum()))
    for values, truth in ((found, expected), (inputs, 1.0)):
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - truth) <= 5 * error + 1e-12


def test_importance_needs_fewer_pairs_than_one_label_of_each_sample():
    """On a model that is sure of most samples; the squared error of the eigenvalues' sum over 20 seeds."""
    model, train = small.conv_net(), small.images(60)
    with torch.no_grad():
        model[-1].weight *= 200  # mean probability of the likeliest class: 0.95
    options = {**OPTIONS, "kind": "diagonal"}

    def trace(draw, samples, seed):
        fitted = fit_factors(model, train, draw=draw, samples=samples, **{**options, "seed": seed})
        return torch.stack([layer["eigenvalues"].sum() for layer in fitted.layers.values()])

    truth = trace("every", None, 0)
    errors = {
        draw: float(
            torch.stack(
                [(trace(draw, 20, seed) / truth - 1).square().mean() for seed in range(20)]
            ).mean()
        )
        for draw in ("importance", "balanced")
    }
    assert errors["importance"] < errors["balanced"] / 2


@pytest.mark.parametrize("kind", ["ekfac", "kfac", "diagonal", "identity"])
def test_every_kind_survives_a_file(case, kind):
    model, train, query = case
    fitted = fit_factors(model, train, kind=kind, **OPTIONS)
    again = from_tensors({name: value.clone() for name, value in fitted.tensors().items()})
    assert torch.equal(vectors(model, fitted, train, query), vectors(model, again, train, query))


def test_bad_input_is_named(case):
    model, train, _ = case
    with pytest.raises(InputError, match=r"samples: expected 1 to 24.*got 25"):
        fit_factors(model, train, kind="ekfac", samples=25, **OPTIONS)
    with pytest.raises(InputError, match=r"kind: expected one of ekfac.*got 'newton'"):
        fit_factors(model, train, kind="newton", **OPTIONS)
    with pytest.raises(InputError, match=r"draw: expected one of importance.*got 'all'"):
        fit_factors(model, train, kind="ekfac", draw="all", **OPTIONS)


def test_lower_precision_is_near_and_does_not_leak(case):
    """bfloat16 has 8 bits: a few per cent on P; what is summed stays in the dtype of the weights."""
    model, train, query = small.conv_net().float(), *((x.float(), y) for x, y in case[1:])
    whole = vectors(model, fit_factors(model, train, kind="ekfac", **PLAIN), train, query)
    with precision("bfloat16", "cpu"):
        fitted = fit_factors(model, train, kind="ekfac", **PLAIN)
        lowered = vectors(model, fitted, train, query)
    assert lowered.dtype == torch.float32
    assert all(
        value.dtype == torch.float32 for layer in fitted.layers.values() for value in layer.values()
    )
    assert 0 < float((lowered - whole).norm() / whole.norm()) < 0.1
    assert torch.equal(
        vectors(model, fit_factors(model, train, kind="ekfac", **PLAIN), train, query), whole
    )


class Reader(torch.nn.Module):
    """A transformer of one layer with eager attention, embeddings and layer norm; its answer is read at token 0."""

    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=30,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=12,
            max_position_embeddings=16,
            num_labels=3,
            attn_implementation="eager",
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, ids, mask):
        return self.bert(input_ids=ids, attention_mask=mask).logits


def texts(lengths, padded_to, generator):
    ids = torch.zeros(len(lengths), padded_to, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 30, (length,), generator=generator)
        mask[row, :length] = 1
    return ids, mask, torch.arange(len(lengths)) % 3


def test_padding_changes_neither_factors_nor_vectors():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Reader().double().eval()
    assert 0.5 < coverage(model) < 1  # embeddings and norms are not covered
    lengths = [5] * 12
    short = texts(lengths, 5, torch.Generator().manual_seed(1))
    long = texts(lengths, 9, torch.Generator().manual_seed(1))
    found = []
    for batch in (short, long):
        fitted = fit_factors(model, batch, kind="ekfac", mask=lambda part: part[1], **PLAIN)
        found.append(vectors(model, fitted, batch, batch))
    scale = float(found[0].abs().max())
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-10 * scale)
    unmasked = fit_factors(model, long, kind="ekfac", **PLAIN)
    assert not torch.allclose(
        vectors(model, unmasked, long, long), found[0], rtol=1e-3, atol=1e-4 * scale
    )


def test_a_transformer_equals_kronfluence():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Reader().double().eval()
    batch = texts([4, 6, 3, 6, 5, 6, 2, 6, 4], 6, torch.Generator().manual_seed(1))

    class Masked(GivenLabels):
        def get_attention_mask(self, batch):
            return batch[1]

    fitted = fit_factors(model, batch, kind="ekfac", mask=lambda part: part[1], **PLAIN)
    labels = drawn(model, batch)
    ours = vectors(model, fitted, batch, batch)
    with kronfluence_reference.analysis(model, Masked()) as analyzer:
        analyzer.fit_all_factors(
            kronfluence_reference.FACTORS,
            torch.utils.data.TensorDataset(*batch[:-1], labels),
            per_device_batch_size=7,
            factor_args=kronfluence_reference.factor_arguments(torch.float64),
        )
        scores = kronfluence_reference.score_arguments(torch.float64)
        analyzer.compute_pairwise_scores(
            "scores",
            kronfluence_reference.FACTORS,
            query_dataset=torch.utils.data.TensorDataset(*batch),
            train_dataset=torch.utils.data.TensorDataset(*batch),
            per_device_query_batch_size=3,
            score_args=scores,
        )
        pairwise = analyzer.load_pairwise_scores("scores")["all_modules"]
    summed = torch.stack([pairwise[batch[2] == k].sum(0) for k in range(3)], 1) / 9
    torch.testing.assert_close(ours, summed, rtol=1e-8, atol=1e-10 * float(summed.abs().max()))
    assert logits_of(model, batch).shape == (9, 3)
