"""The reweighting stage at a tiny size: its control, weights, budget, and what a kill leaves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from benchmarks.faults.workspace import SMALL
from catwise.config import params
from catwise.core.fingerprint import fingerprint
from catwise.experiments import resume, reweighted_epoch
from catwise.experiments import unrolled_epoch as unrolled_epochs
from catwise.experiments.cases import epoch_recipe, resolve_cases, within_budget
from catwise.experiments.plan import extra_epochs
from catwise.experiments.reweighted_epoch import Start, measure_epochs, next_epoch
from catwise.experiments.unrolled_epoch import (
    FIRST_ORDER,
    Query,
    unrolled_epoch,
    unrolled_vectors,
)
from catwise.figures import searches, table1, tradeoff
from catwise.figures.style import png
from catwise.pipeline.artifacts import load_model, read_splits, training_recipe
from catwise.pipeline.files import read_json, read_npz
from catwise.pipeline.results import Results
from catwise.pipeline.tables import TABLES, table_names
from catwise.pipeline.workers import pool
from catwise.training import evaluate
from stages import prepare, reweight, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CASE = SMALL["datasets.digits.reweight"]["cases"][0] | {"epoch": 2}
TINY = {
    "cases": [CASE, {**CASE, "kind": "course_correction", "targets": ["3"]}],
    "generations": 2,
    "population": 8,
    "seeds": 2,
    "searches": [{"anchor": "start", "rule": "printed", "program": "linear"}],
    "directions": [{"anchor": "end", "filter": "horizon", "query": "margin"}],
    "unrolled": {"orders": 2, "relinearise": 1, "at_once": 10},
    "sizes": [0.5],
    "tradeoff": 2,
}
BUDGET = 8 + 2 * 6
OUTPUTS = (*(f"{name}.csv" for name in table_names("reweight")), "weights.npz", "metrics.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a part of digits and a small network's three epochs."""
    folder = tmp_path_factory.mktemp("digits")
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load((ROOT / "params.yaml").read_text())
    digits = tree["datasets"]["digits"]
    digits["prepare"] |= {"validation_a": 500, "validation_b": 500, "test": 500}
    digits["train"] |= {"epochs": 3, "width": 2}
    digits["curvature"] |= {"samples": 100, "earlier": []}
    digits["reweight"] |= TINY
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(tree, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare.main("digits")
        train.main("digits")
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    for name in ("DVC_ROOT", "CATWISE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CATWISE_WORKERS", "1")
    return trained


@pytest.fixture
def start(here):
    section = params.load().datasets["digits"].train
    return Start("digits", "cpu", 1, section, 2, training_recipe(section))


def outputs(folder):
    return {name: (folder / "reports/reweight/digits" / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def whole(trained):
    """The outputs of a stage that nothing interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        patch.setenv("CATWISE_WORKERS", "1")
        reweight.main("digits")
    return outputs(trained)


@pytest.fixture
def written(whole, here):
    """What the stage wrote, as the readers of its results read it."""
    return Results.live("digits", {}).reweight


def test_ones_under_the_trainings_seed_give_the_training_bit_for_bit(start):
    part = read_splits("digits", "cpu")[0]["train"]
    ones = torch.ones(len(part[-1]))
    original = fingerprint(load_model("digits", start.train, part, 3))
    assert (
        fingerprint(next_epoch(start, part, ones))
        == fingerprint(next_epoch(start, part))
        == original
    )
    assert fingerprint(next_epoch(start, part, ones, seed=1)) != original


def test_equal_jobs_are_done_once_and_seeds_differ(start, monkeypatch):
    done = []
    monkeypatch.setattr(
        reweighted_epoch, "next_epoch", lambda *job: done.append(job) or next_epoch(*job)
    )
    ones = np.ones(len(read_splits("digits", "cpu")[0]["train"][-1]))
    jobs = [(ones, 0), (ones, 0), (ones, 5)]
    with pool(torch.device("cpu"), 1) as spread:
        first, again, other = measure_epochs(start, jobs, ("test",), spread)
    resume.clear("reweight", "digits")
    assert len(done) == 2
    for measure in ("accuracy", "loss"):
        assert (first["test"][measure] == again["test"][measure]).all()
    assert (first["test"]["loss"] != other["test"]["loss"]).any()


def test_weights_are_in_the_box_with_mean_one(written, here):
    # By case: control, search and direction each with its shuffle, oracle, best seeds.
    assert len(written.weights) == 2 * 7
    labels = read_npz(here / "data/digits/arrays.npz")["train/y"]
    for (_, method), weights in written.weights.items():
        assert weights.min() >= 0
        assert weights.max() <= 2
        assert weights.astype(np.float64).mean() == pytest.approx(1, abs=1e-6)  # kept as float32
        if "direction" in method:
            masses = [weights[labels == k].mean(dtype=np.float64) for k in range(10)]
            np.testing.assert_allclose(masses, 1, atol=1e-6)


def test_the_control_gains_nothing_and_the_budget_is_kept(written):
    control = written.table[written.table["family"] == "all_ones"]
    assert (control[["gain", "low", "high", "reading"]] == 0).all(axis=None)
    assert set(control["class"]) == set("0123456789")
    last = written.history.groupby(["case", "method", "split"]).last()
    assert len(last) == 2 * 2  # the honest search and the one as printed, of each case
    assert (last["generation"] == 2).all()
    assert (last["evaluations"] <= BUDGET).all()
    assert (last["trained"] <= last["evaluations"]).all()


def test_the_printed_table_compares_with_the_original_epoch_when_a_course_is_corrected(written):
    printed = written.printed
    improved = printed[printed["case"] == "direct_improvement"]
    corrected = printed[printed["case"] == "course_correction"]
    assert improved["original"].isna().all()
    # The same seed, the same epoch.
    np.testing.assert_array_equal(corrected["original"], corrected["all_ones"])
    assert corrected.loc[corrected["target"], "class"].tolist() == ["3"]


def test_a_killed_stage_goes_on_to_the_same_bytes(whole, here, monkeypatch):
    kept = []

    def keep(path, value, seconds):
        if len(kept) == 30:
            raise KeyboardInterrupt
        kept.append(path)
        return resume_keep(path, value, seconds)

    resume_keep = resume.keep
    monkeypatch.setattr(resume, "keep", keep)
    with pytest.raises(KeyboardInterrupt):
        reweight.main("digits")
    monkeypatch.setattr(
        resume,
        "keep",
        lambda path, *value: kept.append(path) or resume_keep(path, *value),
    )
    reweight.main("digits")
    assert outputs(here) == whole
    assert len(set(kept)) == len(kept)  # nothing was trained again
    bound = extra_epochs(params.load().datasets["digits"].reweight)
    assert bound / 2 < len(kept) <= bound  # what the budget counts; equal weights are trained once
    assert not list((here / "scratch").rglob("*.json"))


def test_without_cases_the_tables_are_empty_but_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for stage in (prepare, train, reweight):
        stage.main("linear")
    for name in table_names("reweight"):
        table = pd.read_csv(f"reports/reweight/linear/{name}.csv")
        assert list(table.columns) == list(TABLES[f"reweight/{name}"])
        assert table.empty


def test_p_of_an_unrolled_epoch_is_what_other_weights_do_in_that_order(start):
    """A weight changed by 1 % moves the sum of the losses as P says, to a twentieth."""
    recipe = replace(start.recipe, schedule="constant", learning_rate=0.02, weight_decay=0.01)
    start = replace(start, recipe=recipe)
    splits, classes = read_splits("digits", "cpu")
    count = torch.bincount(splits["validation_a"][-1], minlength=10)
    rng = np.random.default_rng(0)
    weights_n = rng.uniform(0.5, 1.5, len(splits["train"][-1]))
    query = Query("loss", 10)
    found = unrolled_epoch(start, splits, len(classes), query, weights_n, FIRST_ORDER)
    moves_n = 0.01 * rng.normal(size=len(weights_n))

    def losses(at_n):
        at = torch.from_numpy(at_n.astype(np.float32))
        model = next_epoch(start, splits["train"], at, FIRST_ORDER)
        return (evaluate.per_class(model, splits["validation_a"], 10)[1] * count).numpy()

    change_k = losses(weights_n + moves_n) - losses(weights_n - moves_n)
    predicted_k = -2 * moves_n @ found.p_nk.numpy()
    error = np.linalg.norm(change_k - predicted_k) / np.linalg.norm(change_k)
    assert error < 0.05
    assert 0 < found.sharpness < 2


def test_orders_are_averaged_and_those_that_are_kept_are_not_unrolled_again(start, monkeypatch):
    splits, classes = read_splits("digits", "cpu")
    query, ones_n = Query("loss", 10), np.ones(len(splits["train"][-1]))
    apart = [
        unrolled_epoch(start, splits, len(classes), query, ones_n, FIRST_ORDER + order)
        for order in (0, 1)
    ]
    with pool(torch.device("cpu"), 1) as spread:
        p_nk, sharpness = unrolled_vectors(start, query, ones_n, 2, spread)
        monkeypatch.setattr(unrolled_epochs, "unrolled_epoch", None)
        again_nk, _ = unrolled_vectors(start, query, ones_n, 2, spread)
    resume.clear("reweight", "digits")
    np.testing.assert_allclose(p_nk, np.mean([one.p_nk for one in apart], axis=0), atol=1e-6)
    np.testing.assert_array_equal(p_nk, again_nk)
    assert sharpness == max(one.sharpness for one in apart)


def test_without_a_search_controls_and_directions_are_measured_alone(here, whole):
    yaml, path = YAML(typ="safe", pure=True), here / "params.yaml"
    before = path.read_text()
    tree = yaml.load(before)
    unrolled = {"anchor": "unrolled", "filter": "exact", "query": "loss"}
    end = {"anchor": "end", "filter": "horizon", "query": "loss"}
    tree["datasets"]["digits"]["reweight"] |= {
        "cases": [CASE],
        "searches": [],
        "generations": 0,
        "directions": [unrolled, end],
    }
    try:
        with path.open("w") as file:
            yaml.dump(tree, file)
        reweight.main("digits")
        tables = Results.live("digits", {}).reweight
        metrics = read_json(here / "reports/reweight/digits/metrics.json")
        assert len(table1.table_one(tables.cases, tables.table, tables.summary).figure.axes) == 2
        assert tradeoff.tradeoff(tables.cases, tables.tradeoff).figure.axes
    finally:
        path.write_text(before)
        for name, content in whole.items():
            (here / "reports/reweight/digits" / name).write_bytes(content)
    assert set(tables.table["family"]) == {"all_ones", "direction", "oracle"}
    assert tables.history.empty
    assert tables.printed.empty
    assert tables.refresh.empty  # a cnn has no batch norm
    cells = metrics["direct_improvement"]["unrolled"]
    assert cells["rate_times_curvature"] > 0
    assert cells["loss_beyond_end.low"] < cells["loss_beyond_end.high"]


def resolved(classes, accuracies, *cases):
    """Cases of digits in a training of five epochs with these accuracies of the classes."""
    rows = [
        {"split": "validation_b", "epoch": epoch, "class": name, "accuracy": value}
        for epoch, values in accuracies.items()
        for name, value in zip(classes, values, strict=True)
    ]
    parameters = params.load(ROOT / "params.yaml").datasets["digits"]
    section = parameters.reweight
    entries = [section.cases[0].model_copy(update=changes) for changes in cases]
    changes = {
        "train": parameters.train.model_copy(update={"epochs": 5}),
        "reweight": section.model_copy(update={"cases": entries}),
    }
    parameters = parameters.model_copy(update=changes)
    return resolve_cases("digits", parameters, pd.DataFrame(rows), np.full(len(classes), 50))


def test_auto_finds_the_worst_epoch_after_the_peak_and_the_classes_it_cost():
    accuracies = {
        1: (0.1, 0.9, 0.9),
        2: (0.9, 0.1, 0.1),
        3: (0.9, 0.8, 0.7),
        4: (0.5, 0.9, 0.7),
        5: (0.6, 0.9, 0.8),
    }
    corrected, improved = resolved(
        ["a", "b", "c"],
        accuracies,
        {"kind": "course_correction", "epoch": "auto", "targets": "auto"},
        {"kind": "direct_improvement", "epoch": 3, "targets": "auto"},
    )
    assert (corrected.start.epoch, corrected.compared_with, corrected.targets) == (3, 4, [0])
    assert (improved.start.epoch, improved.compared_with, improved.targets) == (3, 3, [1, 2])


def test_auto_corrects_the_classes_that_fell_most_where_all_fell():
    accuracies = dict.fromkeys(range(1, 6), (0.9, 0.9, 0.9, 0.9)) | {4: (0.5, 0.1, 0.2, 0.3)}
    (case,) = resolved(
        list("abcd"), accuracies, {"kind": "course_correction", "epoch": 3, "targets": "auto"}
    )
    assert case.targets == [1, 2]


def test_there_are_as_many_lucky_seeds_as_seeds_where_a_search_has_fewer_candidates(here, whole):
    yaml, path = YAML(typ="safe", pure=True), here / "params.yaml"
    before = path.read_text()
    tree = yaml.load(before)
    few = {"cases": [CASE], "generations": 0, "population": 8, "seeds": 9}
    tree["datasets"]["digits"]["reweight"] |= few | {"directions": []}
    try:
        with path.open("w") as file:
            yaml.dump(tree, file)
        reweight.main("digits")
        table = Results.live("digits", {}).reweight.table
    finally:
        path.write_text(before)
        for name, content in whole.items():
            (here / "reports/reweight/digits" / name).write_bytes(content)
    assert "best_seeds" in set(table["family"])


def test_cases_of_a_kind_are_told_apart_by_a_number_and_keep_it_when_auto_moves():
    kinds = ["course_correction", "direct_improvement", "course_correction", "course_correction"]
    for shift in (0, 1):
        fall = {epoch: (0.1 if epoch == 4 + shift else 0.9, 0.8, 0.9) for epoch in range(1, 6)}
        cases = resolved(
            ["a", "b", "c"],
            fall,
            *({"kind": kind, "epoch": 2, "targets": ["a"]} for kind in kinds[:-1]),
            {"kind": kinds[-1], "epoch": "auto", "targets": ["a"]},
        )
        assert [case.key for case in cases] == [
            "course_correction",
            "direct_improvement",
            "course_correction_2",
            "course_correction_3",
        ]
        assert cases[-1].start.epoch == 3 + shift


def test_a_budget_of_its_own_takes_so_many_of_the_first_searches_and_directions():
    section = params.load(ROOT / "params.yaml").datasets["digits_noisy10"].reweight
    full, shown_once = (
        within_budget(section, section.cases[0].budget),
        within_budget(section, section.cases[1].budget),
    )
    assert full == section
    assert shown_once.searches == section.searches[:1]
    assert shown_once.directions == section.directions[:1]
    assert (shown_once.generations, shown_once.population, shown_once.seeds) == (1, 8, 2)
    kept = {"cases", "w_max", "slack", "trust", "merge", "unrolled", "sizes", "tradeoff"}
    assert shown_once.model_dump(include=kept) == section.model_dump(include=kept)


def test_the_recipe_of_table_2_is_a_constant_rate(start):
    recipe = params.load(ROOT / "params.yaml").datasets["digits_noisy10"].reweight.cases[1].recipe
    expected = replace(
        training_recipe(start.train),
        schedule="constant",
        batch_size=512,
        learning_rate=1e-4,
        weight_decay=1e-4,
    )
    assert epoch_recipe(recipe, start.train) == expected


def test_the_figures_repeat_to_the_byte(written):
    for draw, tables in (
        (table1.table_one, (written.cases, written.table, written.summary)),
        (tradeoff.tradeoff, (written.cases, written.tradeoff)),
        (searches.searches, (written.cases, written.history)),
    ):
        assert png(draw(*tables).figure) == png(draw(*tables).figure)
