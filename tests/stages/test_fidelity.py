"""The stage keeps what each retraining measured, from which every score can be made again."""

import numpy as np
import pytest

from benchmarks.faults.workspace import ROOT, SMALL, resize
from catwise.experiments.retraining import retrain
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.stage import settings
from catwise.training import evaluate
from stages import fidelity, prepare, train

pytestmark = pytest.mark.slow

SIZES = SMALL | {"datasets.digits.fidelity.seeds": 2}


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
        for stage in (prepare, train, fidelity):
            stage.main("digits")
        yield folder


@pytest.fixture
def truth(ran):
    with np.load(ran / "reports/fidelity/digits/subsets.npz") as arrays:
        return dict(arrays)


def test_the_truth_is_that_of_each_subset_and_seed(ran, truth):
    section = settings("digits").fidelity
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
        model = retrain(settings("digits").train, "digits", splits["train"], kept_n, seed)
        measured = evaluate.per_class(model, splits["validation_a"], len(classes))
        np.testing.assert_array_equal(np.stack(measured), [accuracy_k, loss_k])
