"""The GPU script is rehearsed on the CPU, and what the report shows of the benchmark is there."""

import json
from dataclasses import replace
from pathlib import Path

from benchmarks import gpu
from benchmarks.influence import measure
from catwise.report import costs

ROOT = Path(__file__).parents[1]


def test_the_gpu_script_runs_on_a_cpu():
    assert gpu.same("cpu")["relative error in float64"] == 0
    found = gpu.precisions("cpu", gpu.NARROW, 60)
    assert found["float32"]["relative error"] == 0
    assert 0 < found["bfloat16"]["relative error"] < 0.1  # 8 bits of mantissa
    size = gpu.paper_size("cpu", replace(gpu.LARGE, width=16, n=50, m=40))
    assert size["n"] == 50
    assert size["vectors of 20 groups, seconds"] > 0


def test_every_measurement_gives_seconds_and_memory():
    for what in ("pairwise", "aggregated", "ours", "fit kronfluence", "fit ours, all", "fit ours"):
        found = measure("digits cnn", what, n=60, m=60, device="cpu", k=10)
        assert found["seconds"] > 0
        assert found["peak bytes"] >= 0


def test_the_benchmark_in_the_repository_is_a_whole_one():
    bench = json.loads((ROOT / "reports/bench.json").read_text())
    assert not bench["quick"]
    assert len(costs(bench)) == 1 + 6 * len(bench["cases"]) == 19
    assert {"n", "m", "k"} == set(bench["growth"])
    ranking = json.loads((ROOT / "reports/ranking.json").read_text())
    assert {row["draw"] for row in ranking["rows"]} == {"importance", "balanced"}
