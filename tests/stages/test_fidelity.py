"""The stages keep what each retraining measured, and P along the training beside its end."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.faults.workspace import ROOT, SMALL, resize
from catwise.config import params
from catwise.core.device import torch_device
from catwise.core.errors import InputError
from catwise.experiments import resume
from catwise.experiments.along_training import Along, vectors_along
from catwise.experiments.retraining import FIRST_SEED, train_anew
from catwise.experiments.scored_kinds import curvature_section, vectors_by_kind
from catwise.fidelity.scores import linear_datamodeling_score
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.results import Results
from catwise.pipeline.stage import settings
from catwise.pipeline.workers import pool
from catwise.removal.top_share import plan
from catwise.training import evaluate
from stages import curvature, fidelity, influence, prepare, removal, subsets, train

pytestmark = pytest.mark.slow

KINDS = [
    *("ekfac", "ekfac_runs", "segments", "segments_runs", "last_layer", "last_layer_runs"),
    *("exact_runs", "tracin", "label_counts"),
]
VECTORS = ["endpoint", "endpoint_runs", "segments", "last_layer", "exact"]
SIZES = SMALL | {
    "datasets.digits.subsets.seeds": 2,
    "datasets.digits.fidelity.kinds": KINDS,
    "datasets.digits.removal.influence": VECTORS,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Digits at a small size, up to the stage."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    resize(folder / "params.yaml", SIZES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("DVC_ROOT", "CATWISE_BACKEND"):
            patch.delenv(name, raising=False)
        patch.setenv("CATWISE_WORKERS", "1")
        for stage in (prepare, train, curvature, influence, subsets, fidelity, removal):
            stage.main("digits")
        yield folder


@pytest.fixture
def truth(ran):
    with np.load(ran / "reports/subsets/digits/subsets.npz") as arrays:
        return dict(arrays)


def test_the_truth_is_that_of_each_subset_and_seed(ran, truth):
    section = settings("digits").subsets
    kept_hn, design_h = truth["kept_hn"], truth["design_h"]
    n = kept_hn.shape[1]
    assert np.bincount(design_h).tolist() == [section.halves, section.removals]
    assert set(kept_hn[design_h == 0].sum(axis=1)) == {n // 2}
    assert set(kept_hn[design_h == 1].sum(axis=1)) == {n - round(n / 10)}
    for measure in ("loss", "accuracy"):
        assert truth[f"{measure}_hsk"].shape == (len(kept_hn), 2, 10)
        assert truth[f"{measure}_sk"].shape == (2, 10)
        assert truth[f"{measure}_hsk"].dtype == np.float64
    splits, classes = read_splits("digits", "cpu")
    for kept_n, seed, loss_k, accuracy_k in (
        (kept_hn[-1], 1, truth["loss_hsk"][-1, 1], truth["accuracy_hsk"][-1, 1]),
        (np.ones(n, dtype=bool), 0, truth["loss_sk"][0], truth["accuracy_sk"][0]),
    ):
        weights_n = kept_n / kept_n.mean()
        section = settings("digits").train
        model = train_anew(section, "digits", splits["train"], FIRST_SEED + seed, weights_n)
        measured = evaluate.per_class(model, splits["validation_a"], len(classes))
        np.testing.assert_array_equal(np.stack(measured), [accuracy_k, loss_k])


def test_every_kind_is_scored_from_the_truth_that_is_kept(ran, truth):
    tables = Results.live("digits", {}).fidelity
    assert tables is not None
    assert list(tables.summary["kind"].unique()) == KINDS
    assert (tables.summary.groupby(["design", "measure"]).size() == len(KINDS)).all()
    labels_n = np.load(ran / "data/digits/arrays.npz")["train/y"]
    halves_h = truth["design_h"] == 0
    loss_hk = truth["loss_hsk"][halves_h].mean(axis=1)
    score_k = linear_datamodeling_score(np.eye(10)[labels_n], truth["kept_hn"][halves_h], loss_hk)
    found = tables.scores.query("kind == 'label_counts' and design == 'half' and measure == 'loss'")
    np.testing.assert_allclose(found["lds"], score_k)
    costs = tables.summary.groupby("kind")["cost"].first()
    assert costs["label_counts"] == 0
    assert costs["segments_runs"] == pytest.approx(2 * costs["segments"])
    assert costs["last_layer_runs"] == pytest.approx(2 * costs["last_layer"])


def test_what_influence_computed_is_scored_and_not_computed_again(ran):
    def no_fit(*_):
        raise AssertionError

    arrays = np.load(ran / "reports/influence/digits/vectors.npz")
    names = {"ekfac": "P", "ekfac_runs": "P_runs", "segments_runs": "P_segments"}
    names["last_layer_runs"] = "P_last_layer"
    labels_n = np.load(ran / "data/digits/arrays.npz")["train/y"]
    about = (no_fit, labels_n, 10)
    by_kind = vectors_by_kind("digits", settings("digits"), list(names), *about)
    for kind, name in names.items():
        np.testing.assert_array_equal(by_kind[kind], arrays[name])
    with pytest.raises(AssertionError):
        vectors_by_kind("digits", settings("digits"), ["kfac"], *about)


def test_a_kind_has_the_draws_and_the_damping_of_the_curvature():
    parameters = params.load(ROOT / "params.yaml").datasets
    digits = parameters["digits"]
    assert curvature_section(digits, "ekfac") == digits.curvature
    changed = digits.curvature.model_copy(update={"kind": "kfac"})
    assert curvature_section(digits, "kfac") == changed
    text = parameters["emotion_small"]
    assert text.curvature.embeddings
    assert curvature_section(text, "ekfac_linear").embeddings is False
    assert curvature_section(parameters["linear"], "kfac").draw == "every"


def test_influence_keeps_p_at_the_end_of_one_training_and_adds_what_goes_beyond(ran):
    folder = ran / "reports/influence/digits"
    arrays = np.load(folder / "vectors.npz")
    assert sorted(arrays) == ["P", "P_last_layer", "P_runs", "P_segments"]
    bins = {path.stem: np.load(path)["P"] for path in (folder / "bins").glob("*.npz")}
    assert sorted(bins) == ["endpoint_runs", "epoch_001", "epoch_002", "last_layer", "segments"]
    shape = (len(arrays["P"]), 10, settings("digits").influence.bins)
    for key, name in (
        *(("P", "epoch_002"), ("P_runs", "endpoint_runs")),
        *(("P_segments", "segments"), ("P_last_layer", "last_layer")),
    ):
        assert bins[name].shape == shape
        # sums of eight numbers in float32
        np.testing.assert_allclose(bins[name].sum(axis=2), arrays[key], rtol=1e-4, atol=1e-4)


def _along(parameters, train):
    return Along("digits", "cpu", 1, train, parameters.curvature, parameters.influence)


def test_run_0_is_the_training_of_the_stage_train(ran):
    """Its factors at the end are drawn as those of the stage ``curvature``."""
    parameters = settings("digits")
    along = _along(parameters, parameters.train)
    with pool(torch_device("cpu"), 1) as spread:
        one, other = vectors_along(along, ["endpoint"], [0, 1], "influence", spread)["endpoint"]
    resume.clear("influence", "digits")
    shipped = np.load(ran / "reports/influence/digits/bins/epoch_002.npz")["P"]
    np.testing.assert_array_equal(one, shipped.reshape(one.shape))
    mean = np.load(ran / "reports/influence/digits/bins/endpoint_runs.npz")["P"]
    np.testing.assert_allclose((one + other) / 2, mean.reshape(one.shape), rtol=1e-5, atol=1e-6)
    assert not np.allclose(one, other)


def test_other_learning_rates_than_those_trained_with_are_refused_in_one_line(ran):
    parameters = settings("digits")
    faster = parameters.train.model_copy(update={"learning_rate": 0.5})
    along = _along(parameters, faster)
    with pool(torch_device("cpu"), 1) as spread, pytest.raises(InputError) as error:
        vectors_along(along, ["segments"], [0], "influence", spread)
    assert "rates.json: expected the learning rates of params.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_checkpoint_is_named_in_one_line(ran):
    path = ran / "models/train/digits/epoch_001.safetensors"
    moved = path.rename(path.with_suffix(".away"))
    parameters = settings("digits")
    along = _along(parameters, parameters.train)
    try:
        with pool(torch_device("cpu"), 1) as spread, pytest.raises(InputError) as error:
            vectors_along(along, ["segments"], [0], "influence", spread)
    finally:
        moved.rename(path)
    assert "epoch_001.safetensors: expected a file that an earlier stage writes" in str(error.value)


def test_removal_ranks_by_every_p_and_shows_the_first(ran):
    tables = Results.live("digits", {"removal": {"method": "top_share"}}).top_share
    assert list(tables.rankings["vectors"].unique()) == VECTORS
    first = tables.rankings[tables.rankings["vectors"] == "endpoint"].drop(columns="vectors")
    pd.testing.assert_frame_equal(first.reset_index(drop=True), tables.correlations)
    p_nk = np.load(ran / "reports/influence/digits/vectors.npz")["P"].astype(float)
    planned = plan(p_nk, 0.1, 1, 2)
    own = tables.changes.query("group == 'beneficial' and target == `class` and seed == 0")
    aimed = [removed for seed, removed in planned if removed.group == "beneficial" and seed == 0]
    expected = [p_nk[removed.rows, removed.target].sum() for removed in aimed]
    np.testing.assert_allclose(own["influence"], expected)
