"""The page shows the benchmarks that were run, with all their numbers."""

import json
from pathlib import Path

from catwise.report.benchmarks import benchmarks

CARRIED = Path(__file__).parents[2] / "reports" / "benchmarks"
# in docs
TABLELESS = {
    *("ranking", "budget", "linear_program", "compatibility", "number_format", "allocation"),
    *("halves", "batch_norm", "last_layer", "twenty_epochs"),
}


def test_a_benchmark_that_was_not_run_is_not_shown():
    assert benchmarks({}) == []


def test_hit_rates_are_shares_with_their_intervals():
    hits = {"hits": 9, "of": 10, "low": 0.5, "high": 1.0}
    case = {"right": ["too_few_samples", "not_predictive"], "mean": {"headroom": 0.1}}
    case |= {"verdict": hits, "uncalibrated": hits, "paper": hits | {"hits": 1}, "wrong": hits}
    (shown,) = benchmarks({"hit_rates": {"cases": {"one": case}}})
    assert shown.table[1][1:4] == ["cannot tell", "10", "90 % (50 to 100)"]
    assert shown.table[1][5] == "10 % (50 to 100)"


def test_faults_are_counted_and_few_failures_are_told():
    kills = {"fault": "SIGKILL", "what": "the same bytes", "cases": 50, "passed": 50}
    kills |= {"interval": {"low": 0.93, "high": 1.0}, "failures": []}
    other = {"fault": "one", "what": "w", "cases": 9, "passed": 4, "failures": list("abcde")}
    (shown,) = benchmarks({"faults": {"faults": [kills, other], "note": ""}})
    assert shown.table[1][2:] == ["50", "50", "93.0 to 100.0 %", "-"]
    assert shown.table[2][2:] == ["9", "4", "-", "a; b; c; and 2 more"]


def test_every_benchmark_that_the_repository_carries_can_be_shown():
    results = {path.stem: json.loads(path.read_text()) for path in CARRIED.glob("*.json")}
    shown = benchmarks(results)
    cases = {f"peers_{name}" for name in results["peers"]["cases"]}
    cases |= {f"weight_sources_{name}" for name in results["weight_sources"]}
    alone = set(results) - TABLELESS - {"peers", "weight_sources"}
    assert sorted(benchmark.name for benchmark in shown) == sorted(alone | cases)
    for benchmark in shown:
        assert len({len(row) for row in benchmark.table}) == 1
