"""The map over retrainings: every backend gives the bytes of this process."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from catwise.config import params
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.experiments import along_training, retraining
from catwise.experiments.retraining import FIRST_SEED, Setting, retrain, retrained, train_anew
from catwise.pipeline.artifacts import new_model, read_splits, training_recipe
from catwise.pipeline.files import write_json, write_npz
from catwise.training import epochs
from catwise.training.evaluate import per_class

ROOT = Path(__file__).parents[2]
SECTION = (
    params.load(ROOT / "params.yaml")
    .datasets["digits"]
    .train.model_copy(update={"width": 2, "epochs": 2})
)
JOBS = [(np.random.default_rng(seed).permutation(60) < 40, seed) for seed in range(6)]
CARD = {
    "name": "mine",
    "classes": ["a", "b", "c"],
    "counts": {"train": 60, "test": 30},
    "sha256": "0",
}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch, rng):
    """A folder with data of two classes out of three, and this process as the only worker."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "CATWISE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CATWISE_WORKERS", "1")
    Path("data/mine").mkdir(parents=True)
    arrays = {}
    for split, count in CARD["counts"].items():
        y = np.arange(count) % 2
        arrays |= {
            f"{split}/y": y,
            f"{split}/x": rng.normal(y[:, None, None, None], size=(count, 1, 8, 8)),
        }
    write_npz(
        Path("data/mine/arrays.npz"),
        **{k: v.astype(np.float32 if "x" in k else int) for k, v in arrays.items()},
    )
    write_json(Path("data/mine/card.json"), CARD)
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """(rows, seed) of each training that is really done in this process."""
    seen = []

    def spy(train, dataset, batch, rows, seed=0):
        seen.append((rows, seed))
        return retrain(train, dataset, batch, rows, seed)

    monkeypatch.setattr(retraining, "retrain", spy)
    return seen


def results(jobs=JOBS):
    found = list(retrained("mine", "cpu", 1, SECTION, "test", jobs, "removal"))
    return [
        (accuracy_k.numpy().tobytes(), loss_k.numpy().tobytes()) for accuracy_k, loss_k in found
    ]


def files():
    return sorted(Path("scratch").rglob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_every_backend_gives_the_bytes_of_this_process_in_the_same_order(
    backend, monkeypatch, tmp_path
):
    if (
        importlib.util.find_spec({"loky": "joblib", "dask": "distributed"}.get(backend, backend))
        is None
    ):
        pytest.skip(f"requirements-cluster.txt is not installed: no {backend}")
    here = results()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("CATWISE_BACKEND", backend)
    monkeypatch.setenv("CATWISE_WORKERS", "2")
    assert results() == here
    assert len(list(tmp_path.glob("elsewhere/scratch/removal/mine/*.json"))) == len(JOBS)
    assert len(set(here)) == len(JOBS)  # so that an order can be told


def test_every_row_and_no_seed_is_the_training_of_the_pipeline_bit_for_bit():
    splits, _ = read_splits("mine", "cpu")
    baseline = new_model("mine", SECTION, splits["train"])
    for _ in epochs.train_epochs(baseline, splits["train"], training_recipe(SECTION)):
        pass
    again = retrain(SECTION, "mine", splits["train"], np.arange(60))
    assert fingerprint(again) == fingerprint(baseline)
    other = retrain(SECTION, "mine", splits["train"], np.arange(60), seed=1)
    assert fingerprint(other) != fingerprint(baseline)


def test_a_weighted_job_keeps_all_samples_and_so_all_steps():
    kept_n, seed = JOBS[0][0], 3
    splits, _ = read_splits("mine", "cpu")
    weights_n = kept_n / kept_n.mean()
    expected = train_anew(SECTION, "mine", splits["train"], FIRST_SEED + seed, weights_n)
    wanted = [values.numpy() for values in per_class(expected, splits["test"], 3)]
    jobs = [(kept_n, seed), (np.ones(60, dtype=bool), seed)]
    arguments = ("mine", "cpu", 1, SECTION, "test", jobs, "removal")
    weighted, all_of_them = retrained(*arguments, weighted=True)
    for values, want in zip(weighted, wanted, strict=True):
        np.testing.assert_array_equal(values.numpy(), want)
    rows, all_rows = retrained(*arguments)
    assert (rows[1] != weighted[1])[:2].all()
    for values, want in zip(all_of_them, all_rows, strict=True):
        np.testing.assert_array_equal(values.numpy(), want.numpy())


def test_a_class_without_samples_has_no_accuracy_and_no_loss(runs):
    for _ in range(2):  # as trained, and as kept
        ((accuracy_k, loss_k),) = retrained("mine", "cpu", 1, SECTION, "test", JOBS[:1], "removal")
        assert accuracy_k.dtype == loss_k.dtype == torch.float64
        assert accuracy_k.isnan().tolist() == loss_k.isnan().tolist() == [False, False, True]
    assert len(runs) == 1


def test_no_job_has_the_seed_of_the_network_that_influence_is_of(runs):
    results([(np.arange(60), 0)])
    assert runs[0][1] == FIRST_SEED != 0
    assert along_training.FIRST_SEED not in range(FIRST_SEED, FIRST_SEED + 1000)


def test_rows_may_be_read_only_as_some_backends_send_them():
    rows = np.arange(60)
    rows.flags.writeable = False
    retrain(SECTION, "mine", read_splits("mine", "cpu")[0]["train"], rows)


def test_a_mask_and_its_rows_are_one_job(runs):
    mask, seed = JOBS[0]
    assert results([(mask, seed)]) == results([(np.flatnonzero(mask), seed)])
    assert len(runs) == 1
    np.testing.assert_array_equal(runs[0][0], np.flatnonzero(mask))


def test_whatever_a_result_depends_on_is_in_its_key():
    def key(
        rows=JOBS[0][0], seed=0, section=SECTION, threads=1, measured_on="test", weighted=False
    ):
        setting = Setting("mine", "cpu", threads, section, measured_on, weighted)
        return retraining._key(setting, np.flatnonzero(rows), seed)

    keys = [
        key(),
        key(seed=1),
        key(rows=JOBS[1][0]),
        key(rows=JOBS[0][0][::-1]),
        key(section=SECTION.model_copy(update={"weight_decay": 0.0})),
        key(threads=2),
        key(measured_on="train"),
        key(weighted=True),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CATWISE_BACKEND", "spark", "CATWISE_BACKEND: expected loky, dask, ray; got 'spark'"),
        (
            "CATWISE_BACKEND",
            "ray",
            "CATWISE_BACKEND: expected requirements-cluster.txt to be installed; got no ray",
        ),
        (
            "CATWISE_WORKERS",
            "0",
            "CATWISE_WORKERS: expected a whole number of at least 1; got '0'",
        ),
        (
            "CATWISE_WORKERS",
            "-1",
            "CATWISE_WORKERS: expected a whole number of at least 1; got '-1'",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(name, value, said, monkeypatch):
    monkeypatch.setattr("catwise.pipeline.workers.find_spec", lambda _: None)
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        results()
    assert str(caught.value) == said
