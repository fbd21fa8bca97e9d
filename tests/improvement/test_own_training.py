"""Anybody's training function is improved, and the test samples see no choice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from catwise import Augmented, improve
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate
from catwise.improvement.acceptance import Gain
from catwise.improvement.own_samples import as_batch, require_apart
from catwise.improvement.own_training import Improvement, averaged_influence
from catwise.improvement.path import Judgement, Path, Round, Trial
from catwise.improvement.proposals import Evidence, Frequency, direction
from catwise.influence.factors import fit_factors
from catwise.influence.reading import as_samples
from catwise.influence.vectors import influence_vectors
from tests.helpers.small import blobs

ROUNDING = Estimate(2.8e-17, -3e-17, 3e-17)
UNNAMED = "ignore:inputs that the model's forward does not name"
NOTHING = Gain(ROUNDING, ROUNDING, np.zeros(2), np.zeros(2), np.zeros(2))
OPTIONS = {
    "proposals": {"direction": direction(0.75)},
    **{"rounds": 1, "runs": 1, "seeds": 2, "bins": 4},
}


def problem(seed, flips):
    """Samples of three overlapping classes in one plane, some training labels changed."""
    rng = np.random.default_rng(seed)
    x, y = blobs(rng, 690, features=3)
    parts = [(x[rows], y[rows]) for rows in (slice(90), slice(90, 390), slice(390, 690))]
    wrong = rng.permutation(90)[:flips]
    labels = parts[0][1].clone()
    labels[wrong] = (labels[wrong] + 1) % 3
    return (parts[0][0], labels), *parts[1:], wrong


def trainer(train):
    """Fit by weighted least squares, which takes a moment; scores are four times as large."""
    x, y = train
    target = 4 * torch.nn.functional.one_hot(y, 3).double()

    def trained(weights_n, seed):
        weighted = torch.from_numpy(weights_n)[:, None] * x
        model = torch.nn.Linear(3, 3, bias=False).double()
        fit = torch.linalg.solve(weighted.T @ x + 1e-3 * torch.eye(3), weighted.T @ target)
        model.weight.data = fit.T.contiguous()
        return model

    return trained


@pytest.mark.slow
def test_labels_that_were_changed_lose_their_weight_and_the_test_accuracy_rises():
    train, validation, test, wrong = problem(4, flips=30)
    improvement = improve(trainer(train), train, validation, test, "abc", **OPTIONS)
    assert improvement.weights_n[wrong].mean() < 0.6
    assert improvement.net.mean.value > 0
    assert "direction" in str(improvement)
    assert "accepted" in str(improvement)
    assert str(improvement).endswith(improvement.sentence)
    assert f"gains {100 * improvement.net.mean.value:+.2g} points" in improvement.sentence


@pytest.mark.slow
def test_test_labels_of_noise_leave_the_weights_unchanged():
    train, validation, (x, y), _ = problem(4, flips=30)
    noise = torch.randint(0, 3, y.shape, generator=torch.Generator().manual_seed(0))
    first, second = (
        improve(trainer(train), train, validation, (x, labels), "abc", **OPTIONS)
        for labels in (y, noise)
    )
    assert first.weights_n.tobytes() == second.weights_n.tobytes()
    assert first.net.mean.value != second.net.mean.value


def test_proposals_are_told_margins_and_how_many_samples_influence_is_of():
    train, validation, test, _ = problem(4, flips=30)
    seen = []

    def asking(evidence):
        seen.append(evidence)
        return np.ones(90)

    improve(
        trainer(train), train, validation, test, "abc", **OPTIONS | {"proposals": {"a": asking}}
    )
    logits = trainer(train)(np.ones(90), 0)(train[0]).detach()
    given = torch.nn.functional.one_hot(train[1], 3).bool()
    margins = logits[given] - logits.masked_fill(given, -torch.inf).amax(1)
    np.testing.assert_allclose(seen[0].margin_n, margins, atol=1e-9)
    assert abs(2 * seen[0].counts_k - np.bincount(validation[1])).max() <= 1


def test_where_no_weights_are_accepted_nothing_was_to_be_gained():
    train, validation, test, _ = problem(4, flips=0)
    plain = {**OPTIONS, "proposals": {"ones": lambda evidence: np.ones(90)}}
    improvement = improve(trainer(train), train, validation, test, "abc", **plain)
    assert (improvement.weights_n == 1).all()
    assert improvement.net is None
    assert str(improvement).endswith("no other weights were tried, as no proposal changes any")
    assert "  ones: not tried, changes no weight\n" in str(improvement)
    trial = Trial("p", np.ones(4), NOTHING, np.zeros(2), np.ones((2, 4)), refusal="a falls")
    for trials, end, line in (
        ((), "ceiling", "no other weights were tried, at a ceiling"),
        ((trial,), "none accepted", f"gained {NOTHING} on validation, and was refused: a falls"),
    ):
        round_ = replace(improvement.path.rounds[0], trials=trials)
        path = replace(improvement.path, rounds=(round_,), end=end)
        assert replace(improvement, path=path).sentence.endswith(line)


def test_a_class_with_too_few_validation_samples_is_named():
    train, (x, y), test, _ = problem(4, flips=0)
    few = torch.cat([(y != 2).nonzero()[:, 0], (y == 2).nonzero()[:5, 0]])
    with pytest.raises(InputError, match=r"6 samples or more of every class; got 5 of 'c'"):
        improve(trainer(train), train, (x[few], y[few]), test, "abc", **OPTIONS)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_samples_that_are_no_tensors_are_named(name):
    train, validation, test, _ = problem(0, 0)
    parts = {"train": train, "validation": validation, "test": test}
    parts[name] = zip(*parts[name], strict=True)
    with pytest.raises(InputError, match=rf"^{name}: expected tensors, or a Dataset .*; got zip"):
        improve(trainer(train), **parts, classes="abc", **OPTIONS)
    parts[name] = (list(train[0]), train[1])
    with pytest.raises(InputError, match=rf"^{name}: expected a tuple of .*; got list, Tensor$"):
        improve(trainer(train), **parts, classes="abc", **OPTIONS)


def test_arrays_frames_and_series_are_taken_as_tensors_are():
    train, validation, test, _ = problem(4, flips=30)
    arrays = tuple(part.numpy() for part in train)
    frames = (pd.DataFrame(validation[0].numpy()), pd.Series(validation[1].numpy()))
    half = (test[0].float().numpy(), test[1].int().numpy())  # the model is one in float64
    given, expected = (
        improve(trainer(train), *parts, "abc", **OPTIONS)
        for parts in ((arrays, frames, half), (train, validation, test))
    )
    assert given.weights_n.tobytes() == expected.weights_n.tobytes()
    assert str(given) == str(expected)


def as_dictionary(part):
    return {"input": part[0], "number": torch.arange(len(part[1])), "labels": part[1]}


def as_loader(part):
    return DataLoader(TensorDataset(*part), batch_size=7)


@pytest.mark.filterwarnings(UNNAMED)
@pytest.mark.parametrize(
    "make", [lambda part: TensorDataset(*part), as_loader, as_dictionary], ids=["items", "", "dict"]
)
def test_datasets_loaders_and_dictionaries_are_taken_as_tensors_are(make):
    *parts, _ = problem(4, flips=30)
    given, expected = (
        improve(trainer(parts[0]), *sets, "abc", **OPTIONS) for sets in (map(make, parts), parts)
    )
    np.testing.assert_allclose(given.weights_n, expected.weights_n, rtol=1e-9)
    assert str(given) == str(expected)


@pytest.mark.filterwarnings(UNNAMED)
def test_columns_that_the_model_does_not_take_hide_no_shared_samples():
    *parts, _ = problem(4, flips=30)
    parts[1] = (torch.cat([parts[0][0], parts[1][0][90:]]), parts[1][1])  # 90 of 300
    train, validation, test = map(as_dictionary, parts)
    validation["number"] = validation["number"] + 1000
    validation["age"] = torch.full((300,), torch.nan)
    with pytest.warns(UserWarning, match=r"^validation: 90 of 300 samples are in train too"):
        improve(trainer(parts[0]), train, validation, test, "abc", **OPTIONS)
    validation["input"] = train["input"].repeat(4, 1)[:300]
    with pytest.raises(InputError, match=r"^validation: .* not in train; got 300 of 300 that are"):
        improve(trainer(parts[0]), train, validation, test, "abc", **OPTIONS)


@pytest.mark.filterwarnings(UNNAMED)
def test_a_column_that_the_model_takes_is_finite():
    *parts, _ = problem(4, flips=0)
    train, validation, test = map(as_dictionary, parts)
    test["input"] = test["input"].clone()
    test["input"][280, 1] = torch.nan
    with pytest.raises(InputError, match=r"^test: expected finite inputs; got nan for sample 280$"):
        improve(trainer(parts[0]), train, validation, test, "abc", **OPTIONS)


def test_of_augmented_samples_the_influence_is_averaged_and_the_margins_are_as_they_are():
    train, validation, test, _ = problem(4, flips=30)
    moved = (train[0] + 0.3, train[1])
    seen = {"plain": [], "moved": [], "augmented": []}
    sets = {"plain": train, "moved": moved, "augmented": Augmented(train, lambda x: x + 0.3)}
    for name, samples in sets.items():
        asking = {"a": lambda evidence, name=name: seen[name].append(evidence) or np.ones(90)}
        options = OPTIONS | {"proposals": asking, "kind": "identity", "damping": 1.0}
        improve(trainer(train), samples, validation, test, "abc", **options)
    plain, moved, augmented = (found[0] for found in seen.values())
    np.testing.assert_allclose(augmented.p_nk, moved.p_nk, rtol=1e-9, atol=1e-12)
    assert not np.allclose(augmented.p_nk, plain.p_nk)
    np.testing.assert_array_equal(augmented.margin_n, plain.margin_n)


class Answer(torch.nn.Module):
    """Return an output with logits, as models of transformers do."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return SimpleNamespace(logits=self.layer(x))


def test_a_model_may_answer_with_an_output_that_has_logits():
    train, validation, test, _ = problem(1, 18)
    plain = trainer(train)
    direct = improve(plain, train, validation, test, "abc", **OPTIONS)
    wrapped = improve(
        lambda weights_n, seed: Answer(plain(weights_n, seed)),
        *(train, validation, test, "abc"),
        **OPTIONS,
    )
    assert wrapped.weights_n.tobytes() == direct.weights_n.tobytes()


class Heads(torch.nn.Module):
    """Return a tuple, whose second part are the logits."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return None, self.layer(x)


def test_logits_say_where_a_model_has_them():
    train, validation, test, _ = problem(1, 18)
    plain = trainer(train)
    direct = improve(plain, train, validation, test, "abc", **OPTIONS)
    with_heads = improve(
        lambda weights_n, seed: Heads(plain(weights_n, seed)),
        *(train, validation, test, "abc"),
        logits=lambda model, batch: model(batch[0])[1],
        **OPTIONS,
    )
    assert with_heads.weights_n.tobytes() == direct.weights_n.tobytes()


def never(weights_n, seed):
    raise AssertionError


def with_nan(part):
    x = part[0].clone()
    x[7, 1] = torch.nan
    return (x, part[1])


WRONG = {
    "float labels": (lambda x, y: (x, y.float()), "labels as whole .* got torch.float32 of"),
    "a column": (lambda x, y: (x, y[:, None]), "labels as whole .* got torch.int64 of .*, 1"),
    "lengths": (lambda x, y: (x[1:], y), r"inputs and as many labels; got parts of \[\d+, \d+\] s"),
    "labels alone": (lambda x, y: y, "inputs and as many labels"),
    "words": (lambda x, y: (x, y.numpy().astype(str)), "arrays of numbers; got one of"),
    "infinite": (lambda x, y: (x / 0, y), "finite inputs; got -?inf for sample 0"),
    "no number": (lambda x, y: with_nan((x, y)), "finite inputs; got nan for sample 7"),
}


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize("wrong", WRONG)
def test_samples_that_are_wrong_are_refused_before_the_first_training(name, wrong):
    parts = dict(zip(("train", "validation", "test"), problem(0, 0), strict=False))
    change, message = WRONG[wrong]
    parts[name] = change(*parts[name])
    with pytest.raises(InputError, match=rf"^{name}: expected {message}"):
        improve(never, **parts, classes="abc", **OPTIONS)


@pytest.mark.parametrize(
    ("option", "value", "least"), [("runs", 0, 1), ("seeds", 1, 2), ("bins", 2, 3)]
)
def test_too_few_runs_seeds_or_bins_are_refused_before_the_first_training(option, value, least):
    train, validation, test, _ = problem(0, 0)
    with pytest.raises(InputError, match=rf"^{option}: expected .* {least} or more; got {value}$"):
        improve(never, train, validation, test, "abc", **OPTIONS | {option: value})


def test_a_class_without_a_training_sample_and_a_name_that_is_given_twice_are_refused():
    train, validation, test, _ = problem(0, 0)
    rows = train[1] != 1
    without = (train[0][rows], train[1][rows])
    with pytest.raises(InputError, match=r"^train: expected 1 sample or more .*; got 0 of 'b'$"):
        improve(never, without, validation, test, "abc", **OPTIONS)
    with pytest.raises(InputError, match=r"^classes: expected different names; got a, b, a$"):
        improve(never, train, validation, test, "aba", **OPTIONS)


def refusal(train_function, **options):
    """Return what improve says to a train function, on samples whose labels are partly wrong."""
    train, validation, test, _ = problem(4, flips=30)
    with pytest.raises(InputError, match=r"^train_function: expected ") as caught:
        improve(train_function(train), train, validation, test, "abc", **OPTIONS | options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("train_function: expected ")


def test_a_train_function_returns_a_torch_module_with_parameters():
    for returned, kind in (((1, 2), "tuple"), (None, "NoneType"), (torch.nn.ReLU(), "ReLU")):
        line = refusal(lambda train, returned=returned: lambda weights_n, seed: returned)
        assert line == f"a torch module with parameters; got {kind}"


def test_what_is_no_function_of_weights_and_seed_is_refused_before_anything_is_trained():
    for wrong, name in ((lambda weights_n: None, "<lambda>"), (torch.nn.Linear(2, 2), "Linear")):
        for options in ({}, {"half_trained": wrong}):
            train, validation, test, _ = problem(0, 0)
            function = never if options else wrong
            named = "half_trained" if options else "train_function"
            line = rf"^{named}: expected a function of \(weights_n, seed\); got {name}$"
            with pytest.raises(InputError, match=line):
                improve(function, train, validation, test, "abc", **OPTIONS | options)


def test_a_training_that_diverges_is_refused_with_plain_weights_and_else_loses():
    def diverging(when):
        def with_train(train):
            def trained(weights_n, seed):
                model = trainer(train)(weights_n, seed)
                if when(weights_n):
                    model.weight.data[0, 0] = torch.nan
                return model

            return trained

        return with_train

    line = "finite logits; got nan for samples of train; the training may have diverged"
    assert refusal(diverging(lambda weights_n: True)) == line
    *sets, _ = problem(4, flips=30)
    lost = diverging(lambda weights_n: weights_n.std() > 0)(sets[0])
    improvement = improve(lost, *sets, "abc", **OPTIONS)
    (trial,) = improvement.path.rounds[0].trials
    assert trial.refusal == "the mean falls"
    assert not trial.right_sm.any()


def test_samples_of_any_set_that_the_model_does_not_take_are_refused_after_one_training():
    train, validation, (x, y), _ = problem(4, flips=30)
    calls = []

    def trained(weights_n, seed):
        calls.append(seed)
        return trainer(train)(weights_n, seed)

    for sets in ((train, validation, (x[:, :2], y)), (train, (validation[0][:, :2], y), (x, y))):
        calls.clear()
        with pytest.raises(InputError, match=r"takes the inputs of (test|validation); got float64"):
            improve(trained, *sets, "abc", **OPTIONS)
        assert len(calls) == 1


def test_a_train_function_that_ignores_its_weights_is_refused_and_one_that_ignores_seeds_is_not():
    calls = []

    def ignoring(train):
        def trained(weights_n, seed):
            calls.append(seed)
            model = trainer(train)(np.ones(90), seed)
            model.weight.data += 1e-3 * seed
            return model

        return trained

    assert refusal(ignoring) == (
        "another model with other weights; got the same;"
        " multiply the loss of sample i by weights_n[i]"
    )
    assert len(calls) == 2 + 1 + 2  # plain seeds, a run, and the seeds of one proposal
    train, validation, test, _ = problem(4, flips=30)
    improve(trainer(train), train, validation, test, "abc", **OPTIONS)


def test_one_proposal_that_changes_nothing_beside_one_that_does_is_no_reason_to_refuse():
    train, validation, test, _ = problem(4, flips=30)

    def trained(weights_n, seed):  # a weight between 0 and 2 counts as 1
        return trainer(train)(np.where((weights_n > 0) & (weights_n < 2), 1.0, weights_n), seed)

    some = np.where(np.arange(90) < 10, 1.5, 1.0)
    proposals = {
        "slight": lambda evidence: some,
        "half": lambda evidence: 2.0 * (np.arange(90) % 2),
    }
    improvement = improve(
        trained, train, validation, test, "abc", **OPTIONS | {"proposals": proposals}
    )
    assert len(improvement.path.rounds[0].trials) == 2


def test_a_train_function_that_trains_one_model_on_is_refused_and_one_that_keeps_it_is_not():
    def training_on(train):
        model = trainer(train)(np.ones(90), 0)

        def trained(weights_n, seed):
            model.weight.data += 0.1
            return model

        return trained

    assert refusal(training_on) == "a new model each time; got the one before, trained on"
    train, validation, test, _ = problem(4, flips=30)
    kept = {}

    def by_weights(weights_n, seed):
        return kept.setdefault(weights_n.tobytes(), trainer(train)(weights_n, seed))

    improve(by_weights, train, validation, test, "abc", **OPTIONS)


def test_rounding_is_no_gain_and_each_line_says_why_a_proposal_is_not_taken():
    gain = NOTHING
    nothing = np.zeros((2, 4), dtype=bool)
    evidence = Evidence(np.zeros((4, 2)), np.zeros(4, dtype=int), np.ones(4))
    trials = [Trial(name, np.ones(4), gain, np.zeros(2), nothing) for name in ("one", "other")]
    both = (replace(trials[0], accepted=True), replace(trials[1], refusal="another gains more"))
    round_ = Round(1, evidence, nothing, Judgement("room", "room"), both, {"a": "why"})
    path = Path((round_,), np.ones(4), "last round")
    lines = str(Improvement(np.ones(4), path, gain)).splitlines()
    points = "+0 points in the mean (95 %: at least +0), +0 in the worst class (at least +0)"
    assert lines[1:4] == [
        f"  one: {points} on validation; accepted",
        f"  other: {points} on validation; not accepted: another gains more",
        "  a: not tried, why",
    ]


def test_what_is_wrong_is_said_before_the_first_training():
    train, validation, test, _ = problem(0, 0)
    few = (test[0][:3], torch.tensor([0, 1, 2]))
    with pytest.raises(InputError, match=r"^test: expected 2 samples or more .*; got 1 of 'a'$"):
        improve(never, train, validation, few, "abc", **OPTIONS)
    with pytest.raises(InputError, match=r"^train: expected labels 0 to 1; got 0 to 2$"):
        improve(never, train, validation, test, "ab", **OPTIONS)
    for options, line in (
        ({"norm": True}, "improve: expected options of fit_factors; got norm"),
        ({"model": 1, "layers": {}}, "improve: expected options of fit_factors; got model, layers"),
        ({"seed": -1}, "seed: expected a whole number, 0 or more; got -1"),
        ({"seed": "a"}, "seed: expected a whole number, 0 or more; got 'a'"),
        ({"proposals": {"x": 1}}, "proposal 'x': expected a function of the evidence; got 1"),
        ({"proposals": [min]}, "proposals: expected names and functions; got list"),
        ({"rounds": 1.5}, "rounds: expected a whole number, 1 or more; got 1.5"),
        ({"allowed_loss": "1"}, "allowed_loss: expected a finite number, 0 or more; got '1'"),
    ):
        with pytest.raises(InputError, match=rf"^{line}$"):
            improve(never, train, validation, test, "abc", **OPTIONS | options)
    ones = [(part[0], 0 * part[1]) for part in (train, validation, test)]
    with pytest.raises(InputError, match=r"^classes: expected the names of two or more; got \['a"):
        improve(never, *ones, "a", **OPTIONS)


@pytest.mark.parametrize("as_given", [lambda x: x, lambda x: x.float().numpy()])
def test_samples_that_are_in_two_sets_are_counted_and_if_many_refused(as_given):
    train, validation, test, _ = problem(0, 0)
    half = len(validation[0]) // 2
    for count, line in ((7, "7 of 300 samples are in train too"), (half + 1, "not in train; got")):
        shared = torch.cat([train[0].repeat(9, 1)[:count], validation[0][count:]])
        given = as_batch("", (as_given(shared), validation[1]))
        sets = {"train": as_samples(train, None), "validation": as_samples(given, None)}
        if count == 7:  # as in a table of few categories
            with pytest.warns(UserWarning, match=rf"^validation: {line}"):
                require_apart(sets)
        else:
            with pytest.raises(InputError, match=f"^validation: .* {line} {count} of 300 that are"):
                require_apart(sets)
    with pytest.raises(InputError, match=r"^test: .* not in validation; got 300 of 300 that are$"):
        improve(never, train, validation, (as_given(validation[0]), test[1]), "abc", **OPTIONS)
    with pytest.raises(InputError, match=r"^test: .* not in train; got 90 of 90 that are$"):
        improve(never, train, validation, (as_given(train[0]), train[1]), "abc", **OPTIONS)


def test_a_model_that_does_not_fit_the_samples_is_refused_after_the_first_training():
    for model, line in (
        (torch.nn.Linear(3, 2), "logits of 3 classes, (8, 3); got (8, 2)"),
        (torch.nn.Linear(4, 3), "a model that takes the inputs of train; got float64 (8, 3): mat"),
    ):
        calls = []

        def trained(weights_n, seed, model=model, calls=calls):
            calls.append(seed)
            return model.double()

        assert refusal(lambda train, trained=trained: trained).startswith(line)
        assert len(calls) == 1


def test_the_average_over_models_is_that_of_their_vectors(rng):
    train, query = blobs(rng, 60), blobs(rng, 30)
    models = [
        torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).double().eval()
        for _ in range(2)
    ]
    groups_m = 2 * query[1].numpy() + np.arange(30) // 3 % 2
    p_nkb = averaged_influence(models, train, query, groups_m, 3, 2, kind="kfac")
    each = []
    for model in models:
        factors = fit_factors(model, train, kind="kfac", damping=0.1, seed=0, batch_size=60)
        groups = torch.from_numpy(groups_m)
        options = {"batch_size": 60, "statistics": "fixed"}
        each.append(influence_vectors(model, factors, train, query, groups, 6, **options))
    expected = torch.stack(each).mean(0).numpy().reshape(60, 3, 2)
    np.testing.assert_allclose(p_nkb, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_what_is_half_trained_gives_proposals_of_its_own_and_judges_nothing():
    train, validation, test, wrong = problem(4, flips=30)
    seen = []

    def hardly_trained(weights_n, seed):
        seen.append(seed)
        model = trainer(train)(weights_n, seed)
        model.weight.data *= 0.1
        return model

    first = improve(trainer(train), train, validation, test, "abc", **OPTIONS)
    both = improve(
        trainer(train), train, validation, test, "abc", half_trained=hardly_trained, **OPTIONS
    )
    assert seen == [0]  # of P alone, and not of a trial
    names = [trial.proposal for trial in both.path.rounds[0].trials]
    assert names == ["direction", "direction, middle"]
    one, other = (trial.weights_n for trial in both.path.rounds[0].trials)
    assert not np.allclose(one, other)
    assert other[wrong].mean() < 0.6
    assert (first.path.rounds[0].trials[0].weights_n == one).all()
    assert first.path.rounds[0].judgement == both.path.rounds[0].judgement
    half = {"half_trained": lambda weights_n, seed: None}
    with pytest.raises(InputError, match="half_trained: expected a torch module"):
        improve(trainer(train), train, validation, test, "abc", **half, **OPTIONS)


def test_weights_in_which_influence_has_no_part_are_proposed_once_beside_half_trained_models():
    train, validation, test, _ = problem(4, flips=30)
    trained = trainer(train)
    options = OPTIONS | {"proposals": {"root": Frequency(0.5)}}
    result = improve(trained, train, validation, test, "abc", half_trained=trained, **options)
    assert "root" in str(result)
    assert "root, middle" not in str(result)
