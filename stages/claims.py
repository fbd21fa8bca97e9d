"""Judge each claim of the paper by the reports of this run and of what was measured once."""

from pathlib import Path
from typing import Any

from catwise.claims.evidence import Evidence, size
from catwise.claims.judge import RULES, claims
from catwise.config import params
from catwise.pipeline.files import read_json, write_json
from catwise.pipeline.results import run_and_carried
from catwise.pipeline.stage import run

BENCHMARK = Path("reports", "benchmarks", "hit_rates.json")  # of `make bench`; there may be none


def main() -> None:
    loaded = params.load()
    sections = {name: section.model_dump() for name, section in loaded.datasets.items()}
    results = run_and_carried(loaded)
    evidences = []
    for one in results:
        source = one.card.source
        if source != "digits" and is_spoiled(one.parameters["prepare"]):
            continue  # the paper has no such variant of its data sets
        printed = sections.get(f"{source}_as_printed", sections.get(source))
        full = None if source == "digits" else printed
        evidences.append(Evidence(one, *size(one, full)))
    benchmark = read_json(BENCHMARK) if BENCHMARK.exists() else None
    rows = [claim.record() for claim in claims(evidences, benchmark, results)]
    write_json(Path("reports", "claims.json"), {"rules": RULES, "claims": rows})


def is_spoiled(prepare: dict[str, Any]) -> bool:
    """Say whether classes were made rare or labels changed on purpose."""
    return prepare.get("imbalance", 1.0) < 1 or prepare.get("flip_share", 0.0) > 0


if __name__ == "__main__":
    run(main, __doc__)
