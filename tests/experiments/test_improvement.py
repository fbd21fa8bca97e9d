"""The path on a small data set: plain is plain, the test split decides nothing, jobs are kept."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.faults.workspace import SMALL
from benchmarks.science import weight_sources
from catwise.config import params
from catwise.config.schema import Improve
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import per_sample_loss
from catwise.experiments import resume, weighted_training
from catwise.experiments.improvement import run_improvement
from catwise.experiments.improvement_trainer import Trainer
from catwise.experiments.plan import most_trainings
from catwise.experiments.retraining import retrain, train_anew
from catwise.experiments.weighted_training import INFLUENCE, WeightedJob, weighted_trainings
from catwise.improvement.proposals import Evidence, Region
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import new_model, read_splits, training_recipe
from catwise.pipeline.files import read_json, read_npz, write_json, write_npz
from catwise.pipeline.fitted_factors import fit_own_factors
from catwise.pipeline.tables import TABLES, read_table, table_names
from catwise.reweighting.controls import kept_weights
from catwise.training import evaluate
from catwise.training.epochs import train_epochs
from stages import improve as stage

ROOT = Path(__file__).parents[2]
SECTION = Improve(
    **SMALL["datasets.digits.improve"]
    | {
        "influence": ["endpoint", "middle", "segments", "exact"],
        "proposals": ["direction", "square_root"],
    }
)
COUNTS = {"train": 60, "validation_a": 60, "validation_b": 60, "test": 60}


def settings():
    """The section of the digits, at a size at which a training takes an instant."""
    parameters = params.load(ROOT / "params.yaml").datasets["digits"]
    train = parameters.train.model_copy(update={"width": 2, "epochs": 2, "batch_size": 10})
    influence = parameters.influence.model_copy(update={"bins": 3})
    changes = {"train": train, "influence": influence, "improve": SECTION}
    return parameters.model_copy(update=changes)


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch, rng):
    """A folder with images of three classes, a tenth of the training labels wrong."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "CATWISE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CATWISE_WORKERS", "1")
    monkeypatch.setattr(stage, "settings", lambda dataset: settings())
    Path("data/mine").mkdir(parents=True)
    patterns = rng.normal(size=(3, 1, 8, 8))
    arrays = {"flipped": np.arange(60) < 6}
    for split, count in COUNTS.items():
        y = np.arange(count) % 3
        noise = rng.normal(size=(count, 1, 8, 8))
        arrays |= {f"{split}/x": (patterns[y] + noise).astype(np.float32), f"{split}/y": y}
    arrays["train/y"] = np.where(arrays["flipped"], (arrays["train/y"] + 1) % 3, arrays["train/y"])
    write_npz(Path("data/mine/arrays.npz"), **arrays)
    card = {"name": "mine", "classes": ["a", "b", "c"], "counts": COUNTS, "sha256": "0"}
    write_json(Path("data/mine/card.json"), card)
    Path("reports/subsets/mine").mkdir(parents=True)
    measured = {f"{name}_hsk": rng.random((8, 1, 3)) for name in ("loss", "accuracy")}
    measured |= {f"{name}_sk": rng.random((1, 3)) for name in ("loss", "accuracy")}
    kept_hn = rng.permuted(np.tile(np.arange(60) % 2 == 0, (8, 1)), axis=1)
    measured |= {"kept_hn": kept_hn, "design_h": np.zeros(8, dtype=int)}
    write_npz(Path("reports/subsets/mine/subsets.npz"), **measured)
    return tmp_path


@pytest.mark.slow
def test_weights_of_one_are_plain_training_bit_for_bit():
    train = settings().train
    batch = read_splits("mine", "cpu")[0]["train"]
    plain = retrain(train, "mine", batch, np.arange(60), seed=3)
    weighted = train_anew(train, "mine", batch, 3, np.ones(60))
    other = train_anew(train, "mine", batch, 3, np.linspace(0, 2, 60))
    assert fingerprint(plain) == fingerprint(weighted) != fingerprint(other)


@pytest.mark.slow
def test_a_job_is_done_once_and_its_influence_is_that_of_its_model(monkeypatch):
    done = []
    trained, states_of = weighted_training.train_anew, weighted_training.trained_states

    def counting(*args):
        done.append(args[3])
        return trained(*args)

    def counting_states(along, *args):
        done.append(along.train.seed)
        return states_of(along, *args)

    monkeypatch.setattr(weighted_training, "train_anew", counting)
    monkeypatch.setattr(weighted_training, "trained_states", counting_states)
    jobs = [WeightedJob(INFLUENCE, np.ones(60), 0), WeightedJob("test", np.ones(60), 1)]
    for _ in range(2):
        with weighted_trainings("mine", settings(), "improve") as run:
            outputs = run([*jobs, jobs[0]], "twice")
        assert done == [0, 1]
    shapes = {kind: p_nkb.shape for kind, p_nkb in outputs[0].by_kind.items()}
    one_bin = dict.fromkeys(("middle", "segments", "exact"), (60, 3, 1))
    assert shapes == {"endpoint": (60, 3, 3), **one_bin}
    assert outputs[0].logits_mk.shape == outputs[1].logits_mk.shape == (60, 3)
    assert outputs[1].by_kind == {}
    for kind, p_nkb in outputs[0].by_kind.items():
        assert (p_nkb == outputs[2].by_kind[kind]).all()


@pytest.mark.slow
def test_influence_is_that_of_the_model_that_was_trained_with_the_weights():
    weights_n, parameters = np.linspace(0, 2, 60), settings()
    with weighted_trainings("mine", parameters, "improve") as run:
        outputs = run([WeightedJob(INFLUENCE, weights_n, 3)], "once")[0]
    splits = read_splits("mine", "cpu")[0]
    train, query = splits["train"], splits["validation_a"]
    model = train_anew(parameters.train, "mine", train, 3, weights_n).eval()
    factors = fit_own_factors(model, train, parameters.curvature)
    p_nk = influence_vectors(model, factors, train, query, query[-1], 3, batch_size=60)
    np.testing.assert_allclose(outputs.by_kind["endpoint"].sum(2), p_nk, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(outputs.logits_mk, evaluate.logits(model, train))


@pytest.mark.slow
def test_influence_in_the_middle_is_that_of_the_model_half_way():
    weights_n, parameters = np.linspace(0, 2, 60), settings()
    with weighted_trainings("mine", parameters, "improve") as run:
        p_nk = run([WeightedJob(INFLUENCE, weights_n, 3)], "once")[0].by_kind["middle"].sum(2)
    splits = read_splits("mine", "cpu")[0]
    train, query = splits["train"], splits["validation_a"]
    section = parameters.train.model_copy(update={"seed": parameters.train.seed + 3})
    model, recipe = new_model("mine", section, train), training_recipe(section)
    assert next(train_epochs(model, train, recipe, torch.tensor(weights_n).float())) == 1
    factors = fit_own_factors(model.eval(), train, parameters.curvature)
    expected = influence_vectors(model, factors, train, query, query[-1], 3, batch_size=60)
    np.testing.assert_allclose(p_nk, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_exact_influence_predicts_a_small_change_of_the_weights():
    weights_n = np.linspace(0.5, 1.5, 60)
    query = read_splits("mine", "cpu")[0]["validation_a"]
    with weighted_trainings("mine", settings(), "improve") as run:
        p_nk = run([WeightedJob(INFLUENCE, weights_n, 3)], "once")[0].by_kind["exact"].sum(2)
    number = int(np.abs(p_nk).sum(axis=1).argmax())
    losses = []
    for change in (-0.002, 0.002):
        changed_n = weights_n + change * (np.arange(60) == number)
        batch = read_splits("mine", "cpu")[0]["train"]
        model = train_anew(settings().train, "mine", batch, 3, changed_n).eval()
        with torch.no_grad():
            loss_m = per_sample_loss(model, query)
        losses.append([float(loss_m[query[-1] == k].double().sum()) for k in range(3)])
    slope_k = (np.array(losses[1]) - losses[0]) / 0.004
    np.testing.assert_allclose(-slope_k, p_nk[number], rtol=0.1, atol=0.02)


@pytest.mark.slow
def test_other_weights_losses_and_questions_have_other_keys():
    setting = weighted_training._Setting(
        "mine",
        "cpu",
        1,
        *(getattr(settings(), name) for name in ("train", "curvature", "influence")),
        ("endpoint",),
    )
    keys = {
        weighted_training._key(setting, question, weights_n, seed, loss)
        for question, weights_n, seed, loss in (
            ("test", np.ones(60), 0, "cross_entropy"),
            ("train", np.ones(60), 0, "cross_entropy"),
            (INFLUENCE, np.ones(60), 0, "cross_entropy"),
            ("test", np.ones(60), 1, "cross_entropy"),
            ("test", np.ones(60), 0, "focal"),
            ("test", np.linspace(0, 2, 60), 0, "cross_entropy"),
        )
    }
    assert len(keys) == 6
    more = replace(setting, kinds=("endpoint", "exact"))
    assert weighted_training._key(more, INFLUENCE, np.ones(60), 0, "cross_entropy") not in keys


@pytest.mark.slow
def test_the_stage_writes_what_its_schema_says_and_noise_for_test_labels_changes_no_weight():
    stage.main("mine")
    out = Path("reports/improve/mine")
    for name in table_names("improve"):
        assert len(read_table(out / f"{name}.csv", TABLES[f"improve/{name}"]))
    first = read_npz(out / "weights.npz")
    table = read_table(out / "table.csv", TABLES["improve/table"])
    assert set(table["method"]) >= {
        "plain",
        "ceiling_path",
        "direction 0.5",
        "oracle",
        "focal",
        "lp_ga",
    }
    assert set(first) >= {"plain", "ceiling_path", "best_seed", "class_search", "program_at_random"}
    for weights_n in first.values():
        assert weights_n.mean() == pytest.approx(1, abs=1e-5)
        assert weights_n.min() >= 0
    plain = table[table["method"] == "plain"]
    assert (plain[["net", "low", "high"]] == 0).all(axis=None)
    adjusted = table[table["method"] == "logit_adjustment"]  # classes are equally frequent here
    np.testing.assert_allclose(adjusted[["net", "low", "high"]], 0, atol=1e-9)
    assert not list(Path("scratch").rglob("*.json"))  # the outputs hold all that was kept

    arrays = read_npz(Path("data/mine/arrays.npz"))
    arrays["test/y"] = np.random.default_rng(5).permutation(arrays["test/y"])
    write_npz(Path("data/mine/arrays.npz"), **arrays)
    write_json(
        Path("data/mine/card.json"), {**read_json(Path("data/mine/card.json")), "sha256": "1"}
    )
    stage.main("mine")
    second = read_npz(out / "weights.npz")
    assert all((first[name] == second[name]).all() for name in first)
    again = read_table(out / "table.csv", TABLES["improve/table"])
    assert not np.allclose(again["value"], table["value"])
    metrics = read_json(out / "metrics.json")
    assert metrics["false_room"] in (0, 1)
    assert metrics["false_ceiling"] in (0, 1)


@pytest.mark.slow
def test_a_killed_stage_goes_on_to_the_same_bytes(monkeypatch):
    stage.main("mine")
    out, kept, keep = Path("reports/improve/mine"), [], resume.keep
    whole = {path.name: path.read_bytes() for path in out.iterdir()}

    def keep_some(path, *value):
        if len(kept) == 30:
            raise KeyboardInterrupt
        kept.append(path)
        return keep(path, *value)

    monkeypatch.setattr(resume, "keep", keep_some)
    with pytest.raises(KeyboardInterrupt):
        stage.main("mine")
    monkeypatch.setattr(resume, "keep", lambda *args: kept.append(args[0]) or keep(*args))
    stage.main("mine")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    assert len(set(kept)) == len(kept) > 60  # nothing was trained again


@pytest.mark.slow
def test_the_plan_counts_at_most_what_the_stage_trains():
    run_improvement("mine", settings())
    done = len(resume.kept_results("improve", "mine"))
    assert 0.5 * most_trainings(SECTION) < done <= most_trainings(SECTION)


def test_without_a_section_the_tables_are_empty(monkeypatch):
    bare = settings().model_copy(update={"improve": None})
    monkeypatch.setattr(stage, "settings", lambda dataset: bare)
    stage.main("mine")
    out = Path("reports/improve/mine")
    assert read_table(out / "table.csv", TABLES["improve/table"]).empty
    assert read_json(out / "metrics.json") == {}


@pytest.mark.slow
def test_a_source_that_knows_the_wrong_labels_gives_them_no_weight(monkeypatch):
    flipped_n = np.arange(60) < 6
    wise_nk = (
        np.where(flipped_n, -1.0, 0.1)[:, None] * np.ones(3) + 1e-3 * np.eye(3)[np.arange(60) % 3]
    )
    known = {"end, damped": wise_nk, "two segments": -wise_nk}
    monkeypatch.setattr(weight_sources, "settings", lambda dataset: settings())
    monkeypatch.setattr(weight_sources, "_sources", lambda *args: known)
    result = weight_sources.compare("mine", runs=1, seeds=2)
    rows = result["rows"]
    assert len(rows) == 7
    assert rows["plain"]["mean"] == {"value": 0, "low": 0, "high": 0}
    assert rows["end, damped, 0.5"]["AUC of flipped labels"] == 1
    assert rows["two segments, 0.5"]["AUC of flipped labels"] == 0
    assert rows["end, damped, 0.5"]["mean weight of flipped labels"] < 0.1
    swapped = rows["flips of end, damped, rest of two segments"]
    flips = rows["two segments, 0.75"]["mean weight of flipped labels"]
    assert swapped["mean weight of flipped labels"] < 0.5 < 1 < flips
    assert swapped["AUC of flipped labels"] > 0.9
    assert np.allclose(rows["plain"]["mean weight by class"], 1)
    assert rows["plain"]["size"] == 0 < swapped["size"] <= 1
    assert set(result["LDS"]) == {"halves"}
    assert result["LDS"]["halves"]["end, damped"] == -result["LDS"]["halves"]["two segments"]


@pytest.mark.slow
def test_each_source_of_weights_is_computed_of_the_same_trainings():
    sources = weight_sources._sources("mine", settings(), runs=2)
    assert list(sources) == [
        *("end, damped", "end, horizon", "middle, damped", "middle alone", "middle, horizon"),
        *("two segments", "exact", "last layer"),
    ]
    assert {p_nk.shape for p_nk in sources.values()} == {(60, 3)}
    for one, other in pairwise(sources.values()):
        assert not np.allclose(one, other)
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.3


def test_what_a_pruning_leaves_out_stays_out_in_the_rounds_after(monkeypatch):
    monkeypatch.setattr(Trainer, "pruning_weights", lambda *_: kept_weights(np.arange(10) > 2))
    section = SECTION.model_copy(update={"proposals": ["lowest_margins"]})
    proposal = Trainer(None, section, {}).proposals()["lowest_margins"]
    weights_n = np.repeat([1.0, 2.0, 0.6], [3, 2, 5])
    later = Evidence(np.zeros((10, 2)), np.arange(10) % 2, weights_n)
    for evidence in (replace(later, weights_n=np.ones(10)), later):
        assert (Region().nearest(proposal(evidence))[:3] == 0).all()
