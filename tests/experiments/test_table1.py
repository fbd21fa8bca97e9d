"""The stage at a tiny size: its control, its weights, its budget, and what is left of it when it is killed."""

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
from catwise.experiments.cases import resolved, steps
from catwise.experiments.reweighted_epoch import Start, next_epoch, taken
from catwise.experiments.workers import pool
from catwise.figures import searches, table1, tradeoff
from catwise.figures.style import png
from catwise.pipeline.artifacts import load_model, read_splits, training_recipe
from catwise.pipeline.files import read_csv, read_npz
from catwise.training.models import fingerprint
from stages import prepare, reweight, train

ROOT = Path(__file__).parents[2]
CASE = {"kind": "direct_improvement", "epoch": 2, "targets": "auto", "recipe": "as_trained"}
TINY = {
    "cases": [CASE, {**CASE, "kind": "course_correction", "targets": ["3"]}],
    "generations": 2,
    "population": 8,
    "seeds": 2,
    "searches": [{"anchor": "start", "rule": "printed", "program": "linear"}],
    "directions": [{"anchor": "end", "filter": "horizon", "measure": "margin"}],
    "sizes": [0.5],
    "tradeoff": 2,
}
BUDGET = 8 + 2 * 6
OUTPUTS = (
    "room.csv",
    "table.csv",
    "printed.csv",
    "history.csv",
    "tradeoff.csv",
    "weights.npz",
    "metrics.json",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with digits and a small network's three epochs."""
    folder = tmp_path_factory.mktemp("digits")
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load((ROOT / "params.yaml").read_text())
    digits = tree["datasets"]["digits"]
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
    with pool(torch.device("cpu"), 1) as spread:
        first, again, other = taken(start, [(ones, 0), (ones, 0), (ones, 5)], ("test",), spread)
    resume.clear("reweight", "digits")
    assert len(done) == 2
    assert (first["test"] == again["test"]).all()
    assert (first["test"] != other["test"]).any()


def test_weights_are_in_the_box_with_mean_one(whole, trained):
    found = read_npz(trained / "reports/reweight/digits/weights.npz")
    assert (
        len(found) == 2 * 7
    )  # control, search and direction each with its shuffle, oracle, best seeds
    labels = read_npz(trained / "data/digits/arrays.npz")["train/y"]
    for name, weights in found.items():
        assert weights.min() >= 0
        assert weights.max() <= 2
        assert weights.astype(np.float64).mean() == pytest.approx(1, abs=1e-7)  # kept as float32
        if "maximin" in name:
            masses = [weights[labels == k].mean(dtype=np.float64) for k in range(10)]
            np.testing.assert_allclose(masses, 1, atol=1e-6)


def test_the_control_gains_nothing_and_the_budget_is_kept(whole, trained):
    tables = {
        name: read_csv(trained / "reports/reweight/digits" / f"{name}.csv")
        for name in ("table", "history")
    }
    control = tables["table"][tables["table"]["method"] == "all ones"]
    assert (control[["gain", "low", "high"]] == 0).all(axis=None)
    assert set(control["class"]) == set("0123456789")
    last = tables["history"].groupby(["case", "search"]).last()
    assert len(last) == 2 * 2  # the honest search and the one as printed, of each case
    assert (last["generation"] == 2).all()
    assert (last["evaluations"] <= BUDGET).all()
    assert (last["trained"] <= last["evaluations"]).all()


def test_the_printed_table_compares_with_the_original_epoch_when_a_course_is_corrected(
    whole, trained
):
    printed = read_csv(trained / "reports/reweight/digits/printed.csv")
    improved, corrected = (
        printed[printed["case"].str.startswith(kind)] for kind in ("direct", "course")
    )
    assert improved["original"].isna().all()
    np.testing.assert_array_equal(
        corrected["original"], corrected["all_ones"]
    )  # the same seed, the same epoch
    assert corrected.loc[corrected["target"] == "True", "class"].tolist() == ["3"]


def test_a_killed_stage_goes_on_to_the_same_bytes(whole, here, monkeypatch):
    kept = []

    def keep(place, value):
        if len(kept) == 30:
            raise KeyboardInterrupt
        kept.append(place)
        return scratch_keep(place, value)

    scratch_keep = resume.keep
    monkeypatch.setattr(resume, "keep", keep)
    with pytest.raises(KeyboardInterrupt):
        reweight.main("digits")
    monkeypatch.setattr(
        resume, "keep", lambda place, value: kept.append(place) or scratch_keep(place, value)
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
    for name in reweight.COLUMNS:
        assert pd.read_csv(f"reports/reweight/linear/{name}.csv").columns[0] == "case"


def test_auto_finds_the_worst_epoch_after_the_peak_and_the_classes_it_cost(start):
    names, counts = ["a", "b", "c"], np.array([50, 50, 50])
    accuracies = {
        1: (0.1, 0.9, 0.9),
        2: (0.9, 0.1, 0.1),
        3: (0.9, 0.8, 0.7),
        4: (0.5, 0.9, 0.7),
        5: (0.6, 0.9, 0.8),
    }
    rows = [
        {"split": "validation_b", "epoch": e, "class": name, "accuracy": value}
        for e, values in accuracies.items()
        for name, value in zip(names, values, strict=True)
    ]
    section = start.train.model_copy(update={"epochs": 5})
    case = (
        params.load()
        .datasets["digits"]
        .reweight.cases[1]
        .model_copy(update={"epoch": "auto", "targets": "auto"})
    )
    corrected = resolved("digits", case, section, pd.DataFrame(rows), counts, "cpu", 1)
    assert (corrected.start.epoch, corrected.reference, corrected.targets) == (3, 4, [0])
    improved = case.model_copy(update={"kind": "direct_improvement", "epoch": 3})
    found = resolved("digits", improved, section, pd.DataFrame(rows), counts, "cpu", 1)
    assert (found.reference, found.targets) == (3, [1, 2])


def test_the_recipe_of_table_2_is_a_constant_rate(start):
    chosen = params.load(ROOT / "params.yaml").datasets["digits"].reweight.cases[1].recipe
    expected = replace(
        training_recipe(start.train),
        schedule="constant",
        batch_size=512,
        learning_rate=1e-4,
        weight_decay=1e-4,
    )
    assert steps(chosen, start.train) == expected


def test_the_figures_name_every_case_and_repeat_to_the_byte(whole, trained):
    folder = trained / "reports/reweight/digits"
    table = read_csv(folder / "table.csv")
    for draw, name in (
        (table1.table_one, "table"),
        (tradeoff.tradeoff, "tradeoff"),
        (searches.searches, "history"),
    ):
        once, again = (draw(read_csv(folder / f"{name}.csv")) for _ in range(2))
        assert png(once.figure) == png(again.figure)
    assert all(case in table1.table_one(table).caption for case in table["case"].unique())
