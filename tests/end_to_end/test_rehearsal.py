"""The paper's configuration at a fiftieth of its size, by the command that runs it whole: nothing in it is a typo."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from catwise.commands import measure
from catwise.data.catalogue import PUBLISHED
from stages.carried import main

ROOT = Path(__file__).parents[2]


def same_but_for_sizes(whole, small):
    """The same keys and words; numbers may differ, and `all` may be a number."""
    if isinstance(whole, dict):
        return whole.keys() == small.keys() and all(
            same_but_for_sizes(whole[key], small[key]) for key in whole
        )
    if isinstance(whole, list) and whole and not isinstance(whole[0], int | float):
        return len(whole) == len(small) and all(map(same_but_for_sizes, whole, small))
    if isinstance(whole, bool) or (isinstance(whole, str) and whole != "all"):
        return whole == small
    return True


def test_the_rehearsal_differs_from_the_whole_in_sizes_alone():
    sets = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())["datasets"]
    assert same_but_for_sizes(sets["cifar10"], sets["cifar10_rehearsal"])
    assert sets["cifar10_rehearsal"]["prepare"]["train"] * 50 == sum(
        PUBLISHED["cifar10"].counts["train"]
    )


def write_mirror(root: Path, rng: np.random.Generator) -> None:
    """CIFAR-10 in all but its pictures: a colour for each class, and a patch of noise that makes each another."""
    folder = root / PUBLISHED["cifar10"].hub
    folder.mkdir(parents=True)
    for part, counts in PUBLISHED["cifar10"].counts.items():
        y = np.repeat(np.arange(10), counts)
        rows = []
        for label in y.tolist():
            pixels = np.full((32, 32, 3), 25 * label, dtype=np.uint8)
            pixels[8:12, 8:12] = rng.integers(0, 256, (4, 4, 3))
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            rows.append({"bytes": file.getvalue(), "path": None})
        pq.write_table(
            pa.table({"img": rows, "label": y}), folder / f"{part}-00000-of-00001.parquet"
        )


@pytest.mark.filterwarnings("ignore:.*bfloat16:UserWarning")
def test_the_papers_configuration_runs_from_data_to_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mirror(tmp_path / "mirror", np.random.default_rng(0))
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    env = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    env |= {
        "CATWISE_MIRROR": "mirror",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CATWISE_WORKERS": "1",
    }
    command = [sys.executable, "-m", "catwise", "measure", "cifar10_rehearsal"]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    carried = tmp_path / "reports/measured/cifar10_rehearsal"
    assert {path.name for path in carried.iterdir()} >= {*measure.stage_names()} - {
        "prepare",
        "curvature",
    }
    table = pd.read_csv(carried / "reweight/table.csv")
    assert table["case"].nunique() == 3
    assert np.isfinite(table["gain"]).all()
    main()
    drawn = {path.name for path in (tmp_path / "reports/carried/cifar10_rehearsal").glob("*.png")}
    assert {"removal.png", "reweight_table.png", "ceiling.png", "influence_plane.png"} <= drawn
