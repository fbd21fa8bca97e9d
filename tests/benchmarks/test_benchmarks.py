"""The benchmarks run, at a small size, and those in the repository are whole."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.cases import Case
from benchmarks.science import compatibility, hit_rates, number_format
from benchmarks.speed import allocation, budget, gpu, linear_program
from benchmarks.speed.influence import measure
from benchmarks.speed.training import throughput
from benchmarks.speed.vmap_training import CASES, compare_vmap_with_loop
from catwise.config import params
from catwise.core import losses
from catwise.report.benchmarks import costs, speeds
from catwise.training import models

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_gpu_script_runs_on_a_cpu(monkeypatch):
    monkeypatch.setitem(gpu.CASES, gpu.NARROW, replace(gpu.CASES[gpu.NARROW], width=4))
    assert gpu.compare_devices("cpu")["relative error in float64"] == 0
    precisions = gpu.compare_precisions("cpu", gpu.NARROW, 200)
    assert precisions["float32"]["relative error"] == 0
    assert 0 < precisions["bfloat16"]["relative error"] < 0.1  # 8 bits of mantissa
    size = gpu.paper_size("cpu", replace(gpu.LARGE, width=4, n=50, m=100))
    assert size["n"] == 50
    assert size["vectors of 20 groups, seconds"] > 0


@pytest.mark.parametrize(
    "what", ["pairwise", "aggregated", "ours", "fit kronfluence", "fit ours, all", "fit ours"]
)
def test_every_measurement_gives_seconds_and_memory(what):
    measured = measure("digits cnn", what, n=60, m=60, device="cpu", k=10)
    assert measured["seconds"] > 0
    assert measured["peak bytes"] >= 0


def test_number_formats_are_compared_on_one_training(monkeypatch):
    """The vectors of two formats are alike, and not the same."""
    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    recipe = replace(number_format.RECIPE, epochs=1, batch_size=20)
    monkeypatch.setattr(number_format, "RECIPE", recipe)
    result = number_format.compare("cpu", Case("resnet9", 1, 60, 40, 0, 0), 30)
    assert set(result["accuracy"]) == {"float32", "bfloat16", "another seed"}
    assert 0.5 < result["spearman of P"]["mean"] < 1
    assert min(result["times faster"].values()) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_what_keeping_freed_memory_saves_is_measured_in_processes_of_their_own(monkeypatch):
    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    result = allocation.compare(Case("resnet9", 1, 512, 40, 0, 0), 1)
    assert set(result) == {"training", "factors", "P"}
    for row in result.values():
        assert row["times less"]["median"] > 0
        assert row["kept"]["peak"] > 0


def test_an_epoch_is_compared_with_a_bare_pass():
    rates = throughput("cpu", 20, repeats=1).values()
    assert all(rate["of the bare rate"]["median"] > 0 for rate in rates)


def test_models_at_once_have_the_gradients_of_each(monkeypatch):
    few = {name: case for name, case in CASES.items() if "width 64" not in name}
    monkeypatch.setattr("benchmarks.speed.vmap_training.CASES", few)
    for result in compare_vmap_with_loop("cpu", repeats=1).values():
        assert result["relative error of gradients"] < 0.05  # float32, through batch norm


def test_our_linear_program_has_the_optimum_of_linprog():
    row = linear_program.measure(300, 3, candidates=4, compared=2)
    assert row["outcomes"] == ["optimal"]
    assert row["same_objective"] < 1e-9
    assert row["compared"] == 2


@pytest.mark.parametrize("size", [0.0, 0.2])
def test_constructed_vectors_have_the_headroom_that_they_are_made_for(size):
    make = hit_rates.constructed(3, noise=0.0, size=size, n=100, p=30)
    total_nk = make(0).p_nkb.sum(axis=2)
    # the search for the size ends within 1e-4 of its unknown, on which t* depends smoothly
    assert hit_rates.headroom(total_nk).value == pytest.approx(size, abs=1e-3)


def test_a_model_is_diagnosed_with_its_price():
    measured = compatibility.measure("transformers ViT")
    assert measured["works"]
    assert 0 < measured["coverage"] < 1  # positions are free parameters
    assert measured["seconds"] > 0
    assert measured["planned bytes"] > 0


def test_nearly_all_families_work_and_every_failure_says_why():
    models = json.loads((ROOT / "reports/benchmarks/compatibility.json").read_text())["models"]
    assert set(models) == set(compatibility.MODELS)
    assert sum(row["works"] for row in models.values()) >= 0.9 * len(models)
    assert all(row["works"] or row["reason"] for row in models.values())


def test_the_benchmarks_in_the_repository_are_whole():
    training = json.loads((ROOT / "reports/benchmarks/training.json").read_text())
    assert not training["quick"]
    assert len(speeds(training)) == 1 + len(training["epoch"]) + len(training["together"])
    bench = json.loads((ROOT / "reports/benchmarks/influence.json").read_text())
    assert not bench["quick"]
    assert len(costs(bench)) == 1 + 6 * len(bench["cases"]) == 19
    assert {"n", "m", "k"} == set(bench["growth"])
    ranking = json.loads((ROOT / "reports/benchmarks/ranking.json").read_text())
    assert {row["draw"] for row in ranking["rows"]} == {"importance", "balanced"}


def test_an_epoch_of_the_papers_resnet9_is_87_tflop():
    x, y = torch.zeros(8, 3, 32, 32), torch.arange(8) % 2
    model = models.build("resnet9", x, 10, width=64, seed=0).eval()
    step = budget.counted(lambda part: losses.per_sample_loss(model, part).sum().backward(), (x, y))
    assert 50_000 * step / len(y) == pytest.approx(87e12, rel=0.02)


def test_the_budget_follows_the_number_of_epochs():
    section = params.load(ROOT / "params.yaml").datasets["cifar10_rehearsal"]
    prepare = section.prepare.model_copy(update={"test": 1})  # its passes are no epochs
    section = section.model_copy(update={"prepare": prepare})
    train = section.train.model_copy(update={"epochs": 2 * section.train.epochs})
    one, two = budget.budget(section), budget.budget(section.model_copy(update={"train": train}))
    for stage, factor in (("train", 2), ("removal", 2), ("reweight", 1), ("influence", 1)):
        assert two[stage]["TFLOP"] == pytest.approx(factor * one[stage]["TFLOP"], rel=0.01)
