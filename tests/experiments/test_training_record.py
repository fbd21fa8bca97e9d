"""A training that was stopped goes on to the bytes of one that was not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from catwise.config import params
from catwise.core.losses import per_sample_margin
from catwise.experiments import resume
from catwise.pipeline.artifacts import load_model, read_splits
from catwise.pipeline.files import read_npz, write_json, write_npz
from catwise.pipeline.tables import TABLES, read_table
from catwise.training import epochs
from stages import train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SETS = params.load(ROOT / "params.yaml").datasets
SECTION = SETS["cifar10_rehearsal"].train.model_copy(
    update={"epochs": 4, "batch_size": 10, "precision": "float32"}
)
CARD = {"name": "mine", "classes": ["a", "b"], "sha256": "0"}
COUNTS = {"train": 30, "validation_a": 20, "validation_b": 20, "test": 20}


@pytest.fixture
def workspace(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    Path("data/mine").mkdir(parents=True)
    arrays = {"flipped": np.arange(30) < 5}
    for split, count in COUNTS.items():
        y = np.arange(count) % 2
        x = rng.normal(y[:, None, None, None], size=(count, 3, 24, 24)).astype(np.float32)
        arrays |= {f"{split}/y": y, f"{split}/x": x}
    write_npz(Path("data/mine/arrays.npz"), **arrays)
    write_json(Path("data/mine/card.json"), {**CARD, "counts": COUNTS})
    return tmp_path


def run(monkeypatch, stop_after=None, **changes):
    """Run the stage, ended in the middle of an epoch; return the epochs that were trained."""
    seen = []

    def spy(model, optimizer, part, recipe, epoch, weights=None):
        if stop_after is not None and epoch > stop_after:
            raise KeyboardInterrupt
        seen.append(epoch)
        return train_epoch(model, optimizer, part, recipe, epoch, weights)

    train_epoch = epochs.train_epoch
    section = SECTION.model_copy(update=changes)
    settings = SETS["cifar10_rehearsal"].model_copy(update={"train": section})
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "train_epoch", spy)
        patch.setattr(train, "settings", lambda dataset: settings)
        if stop_after is None:
            train.main("mine")
        else:
            with pytest.raises(KeyboardInterrupt):
                train.main("mine")
    return seen


def outputs(folder: Path):
    files = sorted([*folder.glob("models/**/*"), *folder.glob("reports/**/*")])
    return {file.relative_to(folder): file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("refresh", [0, 2])
def test_a_stop_costs_one_epoch_and_no_bit(workspace, monkeypatch, optimizer, refresh):
    changes = {"optimizer": optimizer, "refresh": refresh}
    assert run(monkeypatch, **changes) == [1, 2, 3, 4]
    whole = outputs(workspace)
    assert not list(Path("scratch").rglob("*.json"))
    for path in whole:
        path.unlink()
    assert run(monkeypatch, stop_after=2, **changes) == [1, 2]
    ((kept, seconds),) = resume.kept_results("train", "mine")
    assert kept["history"][-1]["epoch"] == 2
    assert seconds > 0
    assert run(monkeypatch, stop_after=3, **changes) == [3]
    assert run(monkeypatch, **changes) == [4]
    assert outputs(workspace) == whole


def test_other_parameters_or_a_checkpoint_that_is_gone_begin_anew(workspace, monkeypatch):
    run(monkeypatch, stop_after=2)
    assert run(monkeypatch, stop_after=1, seed=1) == [1]
    assert run(monkeypatch, stop_after=2) == [1, 2]  # the checkpoints were those of the other seed
    Path("models/train/mine/statistics_002.safetensors").unlink()
    assert run(monkeypatch) == [1, 2, 3, 4]


def test_nothing_is_left_of_another_training_in_the_same_folder(workspace, monkeypatch):
    run(monkeypatch)
    alone = outputs(workspace)
    run(monkeypatch, optimizer="adamw", refresh=2)
    run(monkeypatch)
    assert outputs(workspace) == alone


def test_a_training_that_was_whole_is_not_trained_again(workspace, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(train, "write_csv", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(monkeypatch)
    assert run(monkeypatch) == []
    whole = outputs(workspace)
    for path in whole:
        path.unlink()
    run(monkeypatch)
    assert outputs(workspace) == whole


def test_what_is_recorded_is_what_the_checkpoints_say(workspace, monkeypatch):
    """The margin is the mean over the epochs; the files hold refreshed and raw accuracies."""
    run(monkeypatch)
    part = read_splits("mine", "cpu")[0]["train"]
    margins, losses = [], []
    for epoch in range(1, 5):
        model = load_model("mine", SECTION, part, epoch)
        with torch.no_grad():
            logits = model(part[0])
        margins.append(-per_sample_margin(torch.nn.Identity(), (logits, part[-1])))
        losses.append(torch.nn.functional.cross_entropy(logits, part[-1], reduction="none"))
    arrays = read_npz(Path("reports/train/mine/predicted.npz"))
    np.testing.assert_allclose(arrays["margin"], torch.stack(margins).mean(0), atol=1e-5)
    np.testing.assert_array_equal(arrays["label"], logits.argmax(1))
    history, raw = (
        read_table(Path(f"reports/train/mine/{name}.csv"), TABLES[f"train/{name}"])
        for name in ("history", "raw")
    )
    rows = history[(history["split"] == "train") & (history["class"] == "b")]
    expected = [float(loss[1::2].mean()) for loss in losses]
    np.testing.assert_allclose(rows["loss"].to_numpy()[1:], expected, atol=1e-5)
    assert set(raw["split"]) == {*COUNTS} - {"train"}
    assert sorted(set(raw["epoch"])) == [1, 2, 3, 4]
    both = history.merge(raw, on=["epoch", "split", "class"])
    assert (both["loss_x"] != both["loss_y"]).all()
