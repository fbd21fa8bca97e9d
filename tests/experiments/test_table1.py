"""The reweighting stage at a tiny size: its control, weights, budget, and what a kill leaves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from benchmarks.speed.budget import extra_epochs
from catwise.config import params
from catwise.experiments import resume, reweighted_epoch
from catwise.experiments.cases import epoch_recipe, resolve_cases, within_budget
from catwise.experiments.reweighted_epoch import Start, measure_epochs, next_epoch
from catwise.experiments.table1_rows import NAMES
from catwise.experiments.workers import pool
from catwise.figures import searches, table1, tradeoff
from catwise.figures.style import png
from catwise.pipeline.artifacts import load_model, read_splits, training_recipe
from catwise.pipeline.files import read_npz
from catwise.pipeline.results import Results
from catwise.pipeline.tables import TABLES
from catwise.training.models import fingerprint
from stages import prepare, reweight, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CASE = {
    "kind": "direct_improvement",
    "epoch": 2,
    "targets": "auto",
    "recipe": "as_trained",
    "budget": "full",
}
TINY = {
    "cases": [CASE, {**CASE, "kind": "course_correction", "targets": ["3"]}],
    "generations": 2,
    "population": 8,
    "seeds": 2,
    "searches": [{"anchor": "start", "rule": "printed", "program": "linear"}],
    "directions": [{"anchor": "end", "filter": "horizon", "query": "margin"}],
    "sizes": [0.5],
    "tradeoff": 2,
}
BUDGET = 8 + 2 * 6
OUTPUTS = (*(f"{name}.csv" for name in NAMES), "weights.npz", "metrics.json")


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

    def keep(path, value):
        if len(kept) == 30:
            raise KeyboardInterrupt
        kept.append(path)
        return resume_keep(path, value)

    resume_keep = resume.keep
    monkeypatch.setattr(resume, "keep", keep)
    with pytest.raises(KeyboardInterrupt):
        reweight.main("digits")
    monkeypatch.setattr(
        resume, "keep", lambda path, value: kept.append(path) or resume_keep(path, value)
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
    for name in NAMES:
        table = pd.read_csv(f"reports/reweight/linear/{name}.csv")
        assert list(table.columns) == list(TABLES[f"reweight/{name}"])
        assert table.empty


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


def test_a_budget_of_its_own_takes_the_first_search_and_direction_of_the_section():
    section = params.load(ROOT / "params.yaml").datasets["digits"].reweight
    full, shown_once = (
        within_budget(section, section.cases[0].budget),
        within_budget(section, section.cases[1].budget),
    )
    assert full == section
    assert shown_once.searches == section.searches[:1]
    assert shown_once.directions == section.directions[:1]
    assert (shown_once.generations, shown_once.population, shown_once.seeds) == (1, 8, 2)
    kept = {"cases", "w_max", "slack", "trust", "sizes", "tradeoff"}
    assert shown_once.model_dump(include=kept) == section.model_dump(include=kept)


def test_the_recipe_of_table_2_is_a_constant_rate(start):
    recipe = params.load(ROOT / "params.yaml").datasets["digits"].reweight.cases[1].recipe
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
