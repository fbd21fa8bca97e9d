"""The paper's configuration runs whole, at the smallest size, by the command that measures it."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.faults.workspace import resize
from catwise.commands import measure
from catwise.config.params import load
from catwise.data.catalogue import PUBLISHED
from catwise.pipeline.tables import TABLES, read_table
from stages import carried

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CIFAR10 = PUBLISHED["cifar10"]
HISTORY = TABLES["train/history"]
SMALLER = {  # than a person wants to see; enough for each stage to run
    "prepare.validation_a": 40,
    "prepare.validation_b": 40,
    "prepare.test": 50,
    "influence.bins": 4,
    "reweight.sizes": [0.5],
    "reweight.unrolled": {"orders": 2, "relinearise": 1, "at_once": 5},
    "reweight.directions": [
        {"anchor": "end", "filter": "horizon", "query": "loss"},
        {"anchor": "unrolled", "filter": "exact", "query": "loss"},
    ],
}
VARIANTS = 50  # different pictures of a class in each part; the copies of them are dropped


def same_but_for_sizes(whole, small):
    """Return whether keys and words are the same; numbers may differ, and stand for `all`."""
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
    assert same_but_for_sizes(sets["cifar10_narrow"], sets["cifar10_rehearsal"])
    assert sets["cifar10_rehearsal"]["prepare"]["train"] * 50 <= sum(CIFAR10.counts["train"])


def png(label: int, rng: np.random.Generator) -> bytes:
    """Return a picture of the class's colour with a patch of noise."""
    pixels = np.full((32, 32, 3), 25 * label, dtype=np.uint8)
    pixels[8:12, 8:12] = rng.integers(0, 256, (4, 4, 3))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def write_mirror(root: Path, rng: np.random.Generator) -> None:
    """Write a mirror that holds CIFAR-10 in all but its pictures."""
    folder = root / CIFAR10.hub
    folder.mkdir(parents=True)
    for part, counts in CIFAR10.counts.items():
        pictures = [[png(label, rng) for _ in range(VARIANTS)] for label in range(10)]
        y = np.repeat(np.arange(10), counts)
        images = [
            {"bytes": pictures[label][number % VARIANTS], "path": None}
            for number, label in enumerate(y.tolist())
        ]
        table = pa.table({"img": images, "label": y})
        pq.write_table(table, folder / f"{part}-00000-of-00001.parquet")


@pytest.mark.usefixtures("warm_python")
def test_the_papers_configuration_runs_from_data_to_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mirror(tmp_path / "mirror", np.random.default_rng(0))
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    sizes = {f"datasets.cifar10_rehearsal.{key}": size for key, size in SMALLER.items()}
    tree = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    cases = tree["datasets"]["cifar10_rehearsal"]["reweight"]["cases"]
    # both kinds, both rates, and targets that are named
    sizes["datasets.cifar10_rehearsal.reweight.cases"] = [cases[0], cases[2], cases[4]]
    resize(tmp_path / "params.yaml", sizes)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("CATWISE_MIRROR", "mirror")
    monkeypatch.setenv("CATWISE_WORKERS", "1")
    measure.main("cifar10_rehearsal")
    results = tmp_path / "reports/measured/cifar10_rehearsal"
    written = {path.name for path in results.iterdir()}
    assert written >= {*measure.stage_names()} - {"prepare", "curvature"}
    table = pd.read_csv(results / "reweight/table.csv", keep_default_na=False, na_values=[""])
    assert table["case"].nunique() == len(load().datasets["cifar10_rehearsal"].reweight.cases)
    history, raw = (
        read_table(results / f"train/{name}.csv", HISTORY) for name in ("history", "raw")
    )
    assert (history["epoch"].max(), raw["epoch"].min(), raw["epoch"].max()) == (3, 1, 3)
    held_out = history[(history["epoch"] > 0) & (history["split"] != "train")]
    assert len(raw) == len(held_out)
    assert (raw["loss"].to_numpy() != held_out["loss"].to_numpy()).any()
    assert np.isfinite(table["gain"]).all()
    assert "direction.loss.exact.unrolled" in set(table["method"])
    refresh = read_table(results / "reweight/refresh.csv", TABLES["reweight/refresh"])
    assert set(refresh["case"]) == set(table["case"])
    assert list(refresh["family"].unique()) == ["refresh", "all_ones", "lp_ga"]
    left = raw[(raw["split"] == "test") & (raw["epoch"] == 1)].set_index("class")["loss"]
    of_loss = refresh[(refresh["case"] == "direct_improvement") & (refresh["measure"] == "loss")]
    np.testing.assert_array_equal(of_loss.groupby("class")["before"].first()[left.index], left)
    carried.main()
    drawn = {path.name for path in (tmp_path / "reports/carried/cifar10_rehearsal").glob("*.png")}
    assert "reweight_refresh.png" in drawn
    assert {"removal.png", "reweight_table.png", "ceiling.png", "influence_plane.png"} <= drawn
