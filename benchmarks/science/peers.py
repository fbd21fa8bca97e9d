"""Compute per-class influence with other libraries on digits, and score all of it by retraining.

    pip install -r requirements.txt -r benchmarks/science/requirements-peers.txt
    dvc repro fidelity@digits
    python -m benchmarks.science.peers      a few minutes on one core

Every method gets the network, the training samples and validation A of the pipeline, and gives P in
our sign: positive helps. The truth are the networks that the stage fidelity trained on random
halves. A method is a process of its own, so that its peak of memory is its own, and what a library
cannot do is told in its own words. Seconds are those of one core, and hold all that is needed of a
trained network with its checkpoints. The result is written to reports/benchmarks/peers.json, if not
told otherwise.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.machine import machine
from benchmarks.processes import apart, held, reset_peak
from catwise.config import params
from catwise.core.losses import Batch
from catwise.fidelity.scores import bootstrap_intervals
from catwise.fidelity.subsets import HALF
from catwise.influence import kronfluence_reference
from catwise.influence.factors import fit_factors
from catwise.influence.segments import Segment, influence_by_segments
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import load_model, read_splits, training_recipe
from catwise.pipeline.files import read_npz
from catwise.training.epochs import learning_rates, train_epochs

__all__ = ["METHODS", "SCORES", "measure"]

DATASET, BATCH, SEED = "digits", 300, 0
TRACED = (4, 8, 12, 16, 20)  # epochs whose checkpoints TracIn sums over
MIDDLES = {3: range(1, 7), 10: range(7, 14), 17: range(14, 21)}  # checkpoint and epochs of segments
LIMIT = 120  # seconds of one core after which a method is stopped
PROJECTED, RANK, DAMPING = 2048, 100, 0.1
FOLDS = 5


class Case:
    """Hold the trained network, its checkpoints, and the samples."""

    def __init__(self) -> None:
        section = params.load().datasets[DATASET]
        splits, classes = read_splits(DATASET, "cpu")
        self.train, self.query, self.k = splits["train"], splits["validation_a"], len(classes)
        self.section: Any = section.train
        self.recipe = training_recipe(self.section)
        self.model = self.at(self.recipe.epochs)

    def at(self, epoch: int) -> nn.Module:
        """Return the network after an epoch."""
        return load_model(DATASET, self.section, self.train, epoch)

    def rate(self, epoch: int) -> float:
        """Return the learning rate at the end of an epoch."""
        return learning_rates(self.recipe, epoch, len(self.train[-1]))[-1]

    def of_class(self, k: int) -> Batch:
        """Return the query samples of a class."""
        return tuple(part[self.query[-1] == k] for part in self.query)

    def summed(self, scores_nm: Tensor) -> Tensor:
        """Add up scores of single query samples by their class: (n, k)."""
        return scores_nm @ F.one_hot(self.query[-1], self.k).to(scores_nm)


def ours(case: Case) -> Tensor:
    """Fit EKFAC at the end, and take P there."""
    options: dict[str, Any] = {"kind": "ekfac", "damping": DAMPING, "seed": SEED}
    fitted = fit_factors(case.model, case.train, batch_size=BATCH, draw="every", **options)
    groups = case.query[-1]
    return influence_vectors(
        case.model, fitted, case.train, case.query, groups, case.k, batch_size=BATCH
    )


def ours_by_segments(case: Case) -> Tensor:
    """Take P along the training, by three segments."""
    segments = []
    for epoch, epochs in MIDDLES.items():
        model = case.at(epoch)
        fitted = fit_factors(
            model, case.train, kind="ekfac", damping=DAMPING, seed=SEED, batch_size=BATCH
        )
        rates = [r for e in epochs for r in learning_rates(case.recipe, e, len(case.train[-1]))]
        segments.append(Segment(model, fitted, rates, case.recipe.weight_decay))
    groups = case.query[-1]
    return influence_by_segments(
        case.model, segments, case.train, case.query, groups, case.k, batch_size=BATCH
    )


def kronfluence(case: Case) -> Tensor:
    """Fit EKFAC, and score the summed query samples of each class."""
    with kronfluence_reference.analysis(case.model, seed=SEED) as analyzer:
        kronfluence_reference.fit_all(analyzer, case.train, BATCH)
        return kronfluence_reference.aggregated_scores(
            analyzer, case.train, case.query, case.k, batch_size=BATCH, query_batch_size=BATCH
        )


def captum(case: Case) -> Tensor:
    """Sum products of gradients over checkpoints, weighted by their learning rates (TracInCP)."""
    from captum.influence import TracInCP

    def load(model: nn.Module, epoch: str) -> float:
        model.load_state_dict(case.at(int(epoch)).state_dict())
        model.eval()
        return case.rate(int(epoch))

    traced = TracInCP(
        case.at(TRACED[-1]),
        TensorDataset(*case.train),
        [str(epoch) for epoch in TRACED if case.rate(epoch)] or [str(TRACED[-1])],
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=BATCH,
        sample_wise_grads_per_batch=True,
    )
    columns = [traced.influence(case.of_class(k), aggregate=True)[0] for k in range(case.k)]
    return torch.stack(columns, dim=1)


def trak(case: Case) -> Tensor:
    """Project the gradients of margins at the end (TRAK of one training)."""
    from trak import TRAKer
    from trak.projectors import BasicProjector, ProjectionType

    with tempfile.TemporaryDirectory() as folder:
        size = sum(part.numel() for part in case.model.parameters())
        projector = BasicProjector(
            grad_dim=size,
            proj_dim=PROJECTED,
            seed=SEED,
            proj_type=ProjectionType.rademacher,
            device="cpu",
            dtype=torch.float32,
            block_size=256,
        )
        traker = TRAKer(
            model=case.model,
            task="image_classification",
            train_set_size=len(case.train[-1]),
            save_dir=folder,
            device="cpu",
            projector=projector,
            proj_dim=PROJECTED,
            use_half_precision=False,
            logging_level=40,
        )
        traker.load_checkpoint(case.model.state_dict(), model_id=0)
        traker.featurize(batch=case.train, num_samples=len(case.train[-1]))
        traker.finalize_features()
        traker.start_scoring_checkpoint(
            exp_name="query",
            checkpoint=case.model.state_dict(),
            model_id=0,
            num_targets=len(case.query[-1]),
        )
        traker.score(batch=case.query, num_samples=len(case.query[-1]))
        return case.summed(torch.as_tensor(np.array(traker.finalize_scores("query"))).float())


def _loaders(case: Case) -> list[DataLoader]:
    return [DataLoader(TensorDataset(*part), batch_size=BATCH) for part in (case.train, case.query)]


def _dattri_task(case: Case) -> Any:
    from dattri.task import AttributionTask

    def loss(parameters: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch if batch[1].dim() else (batch[0][None], batch[1][None])
        return F.cross_entropy(torch.func.functional_call(case.model, parameters, (x,)), y)

    return AttributionTask(loss, case.model, case.model.state_dict())


def dattri_ekfac(case: Case) -> Tensor:
    """Fit EKFAC of the linear layers, the default: the convolutions are left out."""
    from dattri.algorithm.influence_function import IFAttributorEKFAC

    train, query = _loaders(case)
    attributor = IFAttributorEKFAC(_dattri_task(case), damping=DAMPING)
    attributor.cache(train)
    return case.summed(attributor.attribute(train, query).detach())


def dattri_ekfac_everywhere(case: Case) -> Tensor:
    """Ask for EKFAC of the convolutions too."""
    from dattri.algorithm.influence_function import IFAttributorEKFAC

    train, query = _loaders(case)
    names = [
        name
        for name, module in case.model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    attributor = IFAttributorEKFAC(_dattri_task(case), module_name=names, damping=DAMPING)
    attributor.cache(train)
    return case.summed(attributor.attribute(train, query).detach())


def dattri_arnoldi(case: Case) -> Tensor:
    """Take the leading eigenvectors of the Hessian, by Arnoldi's iteration."""
    from dattri.algorithm.influence_function import IFAttributorArnoldi

    train, query = _loaders(case)
    attributor = IFAttributorArnoldi(
        _dattri_task(case), proj_dim=RANK, max_iter=RANK, regularization=DAMPING, seed=SEED
    )
    attributor.cache(train)
    return case.summed(attributor.attribute(train, query).detach())


def pydvl_ekfac(case: Case) -> Tensor:
    """Ask for EKFAC of the whole network."""
    from pydvl.influence.torch import EkfacInfluence

    return _pydvl(
        case, EkfacInfluence(case.model, update_diagonal=True, hessian_regularization=DAMPING)
    )


def pydvl_nystroem(case: Case) -> Tensor:
    """Sketch the Hessian with as many random columns as the rank."""
    from pydvl.influence.torch import NystroemSketchInfluence

    return _pydvl(case, NystroemSketchInfluence(case.model, F.cross_entropy, DAMPING, rank=RANK))


def _pydvl(case: Case, influence: Any) -> Tensor:
    train, _ = _loaders(case)
    influence.fit(train)
    columns = []
    for k in range(case.k):
        scores_mn = influence.influences(*case.of_class(k), *case.train)
        columns.append(scores_mn.sum(0).detach())
    return torch.stack(columns, dim=1)


def margin(case: Case) -> np.ndarray:
    """Average over the epochs the logit of the label less the largest other one."""
    margins = []
    for epoch in range(1, case.recipe.epochs + 1):
        logits_nk = _logits(case.at(epoch), case.train[0])
        own = F.one_hot(case.train[-1], case.k).bool()
        margins.append(logits_nk[own] - logits_nk.masked_fill(own, -torch.inf).amax(1))
    return torch.stack(margins).mean(0).numpy()


def el2n(case: Case) -> np.ndarray:
    """Average the length of the error of the probabilities over the epochs, the sign turned."""
    errors = []
    for epoch in range(1, case.recipe.epochs + 1):
        p_nk = _logits(case.at(epoch), case.train[0]).softmax(1)
        errors.append((p_nk - F.one_hot(case.train[-1], case.k)).norm(dim=1))
    return -torch.stack(errors).mean(0).numpy()


def cleanlab(case: Case) -> np.ndarray:
    """Score each label by its own probability, of a network that has not seen the sample."""
    from cleanlab.rank import get_label_quality_scores

    x, y = case.train
    p_nk = np.zeros((len(y), case.k))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    for kept, left in folds.split(np.zeros(len(y)), y.numpy()):
        model = case.at(0)
        for _ in train_epochs(model, (x[kept], y[kept]), case.recipe):
            pass
        p_nk[left] = _logits(model.eval(), x[left]).softmax(1).numpy()
    return get_label_quality_scores(y.numpy(), p_nk, method="self_confidence")


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)


METHODS: dict[str, tuple[str, Callable[[Case], Tensor]]] = {  # name: package, how P is computed
    "catwise, EKFAC": ("catwise", ours),
    "catwise, 3 segments": ("catwise", ours_by_segments),
    "kronfluence, EKFAC": ("kronfluence", kronfluence),
    "captum, TracInCP of 5 checkpoints": ("captum", captum),
    "TRAK, one training": ("traker", trak),
    "dattri, EKFAC of linear layers": ("dattri", dattri_ekfac),
    "dattri, EKFAC of all layers": ("dattri", dattri_ekfac_everywhere),
    "dattri, Arnoldi": ("dattri", dattri_arnoldi),
    "pyDVL, EKFAC": ("pyDVL", pydvl_ekfac),
    "pyDVL, Nystroem": ("pyDVL", pydvl_nystroem),
}
SCORES: dict[str, tuple[str, Callable[[Case], np.ndarray]]] = {  # of labels alone: low is wrong
    "margin, mean over the epochs": ("catwise", margin),
    "EL2N, mean over the epochs": ("catwise", el2n),
    "cleanlab, self-confidence in 5 folds": ("cleanlab", cleanlab),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?", type=Path, default=Path("reports/benchmarks/peers.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict[str, Any]] = {}
    vectors: dict[str, np.ndarray] = {}
    for name, (package, _) in (METHODS | SCORES).items():
        measured = apart(measure, name, limit=LIMIT)
        rows[name] = {"version": _version(package)}
        if isinstance(measured, str):
            rows[name]["reason"] = measured
        else:
            scores, price = measured
            rows[name] |= price
            if name in METHODS:
                vectors[name] = scores
        print(f"{name:36} {rows[name]}", file=sys.stderr, flush=True)
    truth = read_npz(Path("reports", "fidelity", DATASET, "subsets.npz"))
    halves_h = truth["design_h"] == HALF
    kept_hn, loss_hk = truth["kept_hn"][halves_h], truth["loss_hsk"][halves_h].mean(axis=1)
    lds = bootstrap_intervals(vectors, kept_hn, loss_hk, np.random.default_rng(SEED))
    for name in vectors:
        rows[name]["LDS"] = lds[name]
    result = {
        "machine": machine("cpu"),
        "halves": int(halves_h.sum()),
        "seeds": int(truth["loss_hsk"].shape[1]),
        "methods": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "this repository" if package == "catwise" else "not installed"


def measure(name: str) -> tuple[np.ndarray, dict[str, float]]:
    """Compute the scores of one method, and their price; a sample's is the sum over the classes."""
    case = Case()
    flipped_n = read_npz(Path("data", DATASET, "arrays.npz"))["flipped"]
    _, compute = (METHODS | SCORES)[name]
    warnings.simplefilter("ignore")
    reset_peak()
    before, start = held("VmRSS"), time.process_time()
    with redirect_stderr(StringIO()):
        scores = np.asarray(compute(case), dtype=np.float64)
    price = {"seconds": time.process_time() - start, "peak bytes": held("VmHWM") - before}
    if not np.isfinite(scores).all():
        raise ValueError("its scores are not finite")
    totals_n = scores.sum(axis=1) if scores.ndim == 2 else scores
    return scores, {**price, "flipped label AUC": float(roc_auc_score(flipped_n, -totals_n))}


if __name__ == "__main__":
    main()
