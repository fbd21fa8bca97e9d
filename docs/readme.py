"""Renews what README.md takes from elsewhere: the stage map (dvc.yaml), the results and figures (reports/)."""

import json
import re
import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PICTURES = {"linear": "trimming.png"}


def renewed(text: str, name: str, content: str) -> str:
    """``text`` with the block between the markers of ``name`` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    found = re.subn(pattern, lambda match: match[1] + content + "\n" + match[2], text, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError(f"README.md: expected one block of markers {name}, came {found[1]}")
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


def results(root: Path) -> str:
    """One row per data set, from the reports of the last run."""
    rows = [
        "| data set | headroom t* | paper's ratio | worst class, accuracy | AUC of flipped labels | again |",
        "|---|---|---|---|---|---|",
    ]
    for folder in sorted((root / "reports/ceiling").iterdir()):
        name = folder.name

        def read(stage: str, name: str = name) -> dict:
            return json.loads((root / "reports" / stage / name / "metrics.json").read_text())

        room, train, auc = read("ceiling"), read("train"), read("influence").get("flipped_label_auc")
        rows.append(
            f"| {name} | {room['headroom']:.3f} | {room['first_component_ratio']:.3f} "
            f"| {train['worst_class']}, {train['worst_class_accuracy']:.3f} "
            f"| {'-' if auc is None else f'{auc:.3f}'} | `dvc repro ceiling@{name}` |"
        )
    return "\n".join(rows)


def cost(root: Path) -> str:
    """Ours against kronfluence, from the last `make bench`."""
    bench = json.loads((root / "reports/bench.json").read_text())
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
        [*rows, "", f"({machine['device']}, {machine['threads']} threads, kronfluence {machine['kronfluence']})"]
    )


def main() -> None:
    path = ROOT / "README.md"
    text = renewed(path.read_text(), "stages", stage_map(yaml.safe_load((ROOT / "dvc.yaml").read_text())))
    text = renewed(text, "results", results(ROOT))
    text = renewed(text, "cost", cost(ROOT))
    path.write_text(text)
    for dataset, name in PICTURES.items():
        shutil.copy(ROOT / "reports/figures" / dataset / name, ROOT / "docs" / f"{dataset}_{name}")


if __name__ == "__main__":
    main()
