"""Renews what README.md takes from elsewhere: the stage map (dvc.yaml), the results and figures (reports/)."""

import csv
import json
import re
import shutil
from pathlib import Path

import yaml

from catwise.figures.table1 import shown
from catwise.report.removal_tables import removals
from catwise.report.table1 import digest

ROOT = Path(__file__).parents[1]
PICTURES = {"linear": "trimming.png"}


def renewed(text: str, name: str, content: str) -> str:
    """``text`` with the block between the markers of ``name`` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    found = re.subn(
        pattern, lambda match: match[1] + content + "\n" + match[2], text, flags=re.DOTALL
    )
    if found[1] != 1:
        raise ValueError(f"README.md: expected one block of markers {name}, got {found[1]}")
    return found[0]


def stage_map(pipeline: dict) -> str:
    rows = ["| stage | what it does | writes |", "|---|---|---|"]
    for name, stage in pipeline["stages"].items():
        outs = [
            out if isinstance(out, str) else next(iter(out))
            for key in ("outs", "metrics")
            for out in stage.get(key, [])
        ]
        shown = ", ".join(f"`{out.replace('${item.dataset}', '*')}`" for out in outs)
        rows.append(f"| [`{name}`](stages/{name}.py) | {stage['desc']} | {shown} |")
    return "\n".join(rows)


def places(root: Path) -> dict[str, tuple[Path, str]]:
    """By data set: the folder of a stage's report, with STAGE in place of its name, and the command that renews it."""
    reports = root / "reports"
    here = {
        path.name: (reports / "STAGE" / path.name, "dvc repro")
        for path in sorted((reports / "ceiling").iterdir())
    }
    measured = sorted(path for path in (reports / "measured").iterdir() if path.is_dir())
    return here | {
        path.name: (path / "STAGE", f"make paper DATASET={path.name}")
        for path in measured
        if path.name not in here
    }


def inside(folder: Path, stage: str) -> Path:
    return Path(*(stage if part == "STAGE" else part for part in folder.parts))


def read(folder: Path, stage: str) -> dict:
    return json.loads((inside(folder, stage) / "metrics.json").read_text())


def table(rows: list[list[str]]) -> str:
    heading, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *others])


def results(root: Path) -> str:
    """One row per data set, from the reports of the last run and of those that were measured once."""
    rows = [
        [
            "data set",
            "verdict",
            "t*",
            "paper's ratio",
            "worst class, accuracy",
            "AUC of flipped labels",
            "again",
        ]
    ]
    for name, (folder, command) in places(root).items():
        room, train = read(folder, "ceiling"), read(folder, "train")
        auc = read(folder, "influence").get("flipped_label_auc")
        worst = f"{train['worst_class']}, {train['worst_class_accuracy']:.3f}"
        figures = [f"{room['headroom']:.3f}", f"{room['first_component_ratio']:.3f}", worst]
        rows.append(
            [
                name,
                room.get("verdict", "-"),
                *figures,
                "-" if auc is None else f"{auc:.3f}",
                f"`{command}`",
            ]
        )
    return table(rows)


def reweighted(root: Path) -> str:
    """Table 1 net of its control: of each data set and case the methods that its figure shows."""
    found: list[list[str]] = []
    for name, (folder, _) in places(root).items():
        path = inside(folder, "reweight") / "table.csv"
        lines = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        for case, (heading, *rows) in digest(lines).items():
            found = found or [["data set, case", *heading]]
            methods = shown([row[0] for row in rows])
            found += [[f"{name}, {case}", *row] for row in rows if row[0] in methods]
    return table(found)


def removed(root: Path) -> str:
    """Spearman's rho of influence and the effect of removal, by data set and group."""
    return table(
        removals({name: read(folder, "removal") for name, (folder, _) in places(root).items()})
    )


def claimed(root: Path) -> str:
    """One row per claim of the paper: what it says, and of each data set the figures that say most, and the verdict."""
    rows = [["the paper says", "there", "here"]]
    found = json.loads((root / "reports/claims.json").read_text())["claims"]
    for key in dict.fromkeys(claim["key"] for claim in found):
        mine = [claim for claim in found if claim["key"] == key]
        says = f"{mine[0]['says']} ({mine[0]['place']})"
        rows.append([says, mine[0]["value"], "<br>".join(told(claim) for claim in mine)])
    return table(rows)


def told(claim: dict) -> str:
    name = f"{claim['dataset']}{', ' * bool(claim['case'])}{claim['case']}{' (reduced)' * claim['reduced']}"
    return f"{name}: {claim['head'] or claim['why']}: **{claim['verdict']}**"


def differences(root: Path) -> str:
    """Of docs/differences.csv, which the page shows too."""
    with (root / "docs/differences.csv").open(newline="") as file:
        rows = [[row["what"], row["paper"], row["here"]] for row in csv.DictReader(file)]
    return table([["", "paper", "here"], *rows])


def cost(root: Path) -> str:
    """Ours against kronfluence, from the last `make bench`."""
    bench = json.loads((root / "reports/benchmarks/influence.json").read_text())
    rows = [
        "| seconds per second of ours | training, query samples | pairwise and sum | a call per class | factor fit |",
        "|---|---|---|---|---|",
    ]
    for case, found in bench["cases"].items():
        scores, fits = found["scores"], found["fits"]
        ratios = [scores["pairwise"], scores["aggregated"], fits["kronfluence"]]
        shown = " | ".join(f"{value['seconds / ours']:.1f}" for value in ratios)
        rows.append(f"| {case} | {found['n']:,}, {found['m']:,} | {shown} |")
    machine = bench["machine"]
    return "\n".join(
        [
            *rows,
            "",
            f"({machine['device']}, {machine['threads']} threads, kronfluence {machine['kronfluence']})",
        ]
    )


def program(root: Path) -> str:
    """The fast linear program against scipy's, from the last `make bench`."""
    found = json.loads((root / "reports/benchmarks/linear_program.json").read_text())
    rows = [["n, K", "seconds a candidate", "linprog / ours", "same objective to", "worst gap"]]
    for row in found["rows"]:
        slow = (
            [f"{row['ratio']:.1f}", f"{row['same_objective']:.0e}"]
            if row["linprog_s"]
            else ["-", "-"]
        )
        rows.append(
            [f"{row['n']:,}, {row['k']}", f"{row['warm_s']:.4f}", *slow, f"{row['worst_gap']:.0e}"]
        )
    return table(rows)


def budget(root: Path) -> str:
    """Operations of each stage at the paper's size, and what they ask of a GPU, from `benchmarks.speed.budget`."""
    found = json.loads((root / "reports/benchmarks/budget.json").read_text())
    rows = [
        [
            "stage",
            "TFLOP",
            "wanted",
            f"share of {found['peak'] / 1e12:.0f} TFLOP/s that this asks for",
        ]
    ]
    for stage, cost in found["stages"].items():
        asked = "wanted seconds" in cost
        many = f" a {cost['per']}, {cost['parts']} of them" if cost["parts"] > 1 else ""
        words = (
            [f"{cost['wanted seconds']} s{many}", f"{100 * cost['share of peak']:.1f} %"]
            if asked
            else ["-", "-"]
        )
        rows.append([stage, f"{cost['TFLOP']:,.0f}", *words])
    return table(rows)


def main() -> None:
    path = ROOT / "README.md"
    text = renewed(
        path.read_text(), "stages", stage_map(yaml.safe_load((ROOT / "dvc.yaml").read_text()))
    )
    text = renewed(text, "results", results(ROOT))
    text = renewed(text, "reweighted", reweighted(ROOT))
    text = renewed(text, "removed", removed(ROOT))
    text = renewed(text, "claims", claimed(ROOT))
    text = renewed(text, "cost", cost(ROOT))
    text = renewed(text, "program", program(ROOT))
    text = renewed(text, "budget", budget(ROOT))
    text = renewed(text, "differences", differences(ROOT))
    path.write_text(text)
    for dataset, name in PICTURES.items():
        shutil.copy(ROOT / "reports/figures" / dataset / name, ROOT / "docs" / f"{dataset}_{name}")


if __name__ == "__main__":
    main()
