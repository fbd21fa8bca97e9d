"""The GPU script is rehearsed on the CPU, and what the report shows of the benchmark is there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.speed import budget, gpu
from benchmarks.speed.influence import measure
from benchmarks.speed.training import throughput
from benchmarks.speed.vmap_training import CASES, together
from catwise.config import params
from catwise.core import losses
from catwise.report.benchmarks import costs, speeds
from catwise.training import models

ROOT = Path(__file__).parents[2]


def test_the_gpu_script_runs_on_a_cpu():
    assert gpu.same("cpu")["relative error in float64"] == 0
    found = gpu.precisions("cpu", gpu.NARROW, 60)
    assert found["float32"]["relative error"] == 0
    assert 0 < found["bfloat16"]["relative error"] < 0.1  # 8 bits of mantissa
    size = gpu.paper_size("cpu", replace(gpu.LARGE, width=16, n=50, m=100))
    assert size["n"] == 50
    assert size["vectors of 20 groups, seconds"] > 0


def test_every_measurement_gives_seconds_and_memory():
    for what in ("pairwise", "aggregated", "ours", "fit kronfluence", "fit ours, all", "fit ours"):
        found = measure("digits cnn", what, n=60, m=60, device="cpu", k=10)
        assert found["seconds"] > 0
        assert found["peak bytes"] >= 0


def test_training_is_compared_in_turns_and_models_at_once_have_the_gradients_of_each(monkeypatch):
    few = {name: case for name, case in CASES.items() if "width 64" not in name}
    monkeypatch.setattr("benchmarks.speed.vmap_training.CASES", few)
    assert all(
        found["of the bare rate"]["median"] > 0
        for found in throughput("cpu", 20, repeats=1).values()
    )
    assert all(
        found["relative error of gradients"] < 0.05 for found in together("cpu", repeats=1).values()
    )


def test_the_benchmark_in_the_repository_is_a_whole_one():
    training = json.loads((ROOT / "reports/benchmarks/training.json").read_text())
    assert not training["quick"]
    assert len(speeds(training)) == 1 + len(training["epoch"]) + len(training["together"])
    bench = json.loads((ROOT / "reports/benchmarks/influence.json").read_text())
    assert not bench["quick"]
    assert len(costs(bench)) == 1 + 6 * len(bench["cases"]) == 19
    assert {"n", "m", "k"} == set(bench["growth"])
    ranking = json.loads((ROOT / "reports/benchmarks/ranking.json").read_text())
    assert {row["draw"] for row in ranking["rows"]} == {"importance", "balanced"}


def test_an_epoch_of_the_papers_resnet9_is_87_tflop_and_the_budget_follows_the_parameters():
    x, y = torch.zeros(8, 3, 32, 32), torch.arange(8) % 2
    model = models.build("resnet9", x, 10, width=64, seed=0).eval()
    step = (
        budget.counted(lambda part: losses.per_sample_loss(model, part).sum().backward(), (x, y))
        / 8
    )
    assert 50_000 * step == pytest.approx(87e12, rel=0.02)
    small = params.load(ROOT / "params.yaml").datasets["cifar10_rehearsal"]
    twice = small.model_copy(
        update={"train": small.train.model_copy(update={"epochs": 2 * small.train.epochs})}
    )
    one, two = budget.budget(small), budget.budget(twice)
    for stage, factor in (("train", 2), ("removal", 2), ("reweight", 1), ("influence", 1)):
        assert two[stage]["TFLOP"] == pytest.approx(
            factor * one[stage]["TFLOP"], rel=0.05
        )  # tests are no epochs
