"""Compute per-class influence by the public calls of other libraries, in our sign.

Each gets the network, the training samples and validation A, and its own defaults but for the
damping, which is that of params.yaml where the library takes one. Positive helps. A library that
scores pairs of samples has its scores added up by class.
"""

import copy
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.case import Work
from catwise.influence import kronfluence_reference
from catwise.training.epochs import epoch_rates

__all__ = ["LIBRARIES"]

SEED, RANK = 0, 100
STOPS = 5  # checkpoints, evenly spaced, that TracInCP sums over
PROJECTED = 4  # training samples for each dimension that TRAK projects gradients to


def kronfluence_ekfac(work: Work) -> Tensor:
    """Fit EKFAC, and score the summed query samples of each class."""
    size = {"batch_size": work.batch, "query_batch_size": work.batch}
    with kronfluence_reference.analysis(work.model, seed=SEED) as analyzer:
        kronfluence_reference.fit_all(analyzer, work.train, work.batch)
        return kronfluence_reference.aggregated_scores(
            analyzer, work.train, work.query, work.k, **size
        )


def captum_tracin(work: Work) -> Tensor:
    """Sum products of gradients over checkpoints, weighted by their learning rates (TracInCP)."""
    from captum.influence import TracInCP

    last = work.recipe.epochs
    rates = epoch_rates(work.recipe, len(work.train[-1]))

    def load(model: nn.Module, epoch: str) -> float:
        model.load_state_dict(work.at(int(epoch)).state_dict())
        model.eval()
        return rates[int(epoch) - 1]

    traced = TracInCP(
        work.at(last),
        TensorDataset(*work.train),
        [str(last * stop // STOPS) for stop in range(1, STOPS + 1)],
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=work.batch,
        sample_wise_grads_per_batch=True,
    )
    columns = [traced.influence(work.of_class(k), aggregate=True)[0] for k in range(work.k)]
    return torch.stack(columns, dim=1)


def trak_one(work: Work) -> Tensor:
    """Project the gradients of margins of one training."""
    return _trak(work, 1)


def trak_runs(work: Work) -> Tensor:
    """Average over as many trainings as our own kinds do, which TRAK is made for."""
    return _trak(work, work.section.influence.runs)


def _trak(work: Work, runs: int) -> Tensor:
    from trak import TRAKer
    from trak.projectors import BasicProjector, ProjectionType

    n, m = len(work.train[-1]), len(work.query[-1])
    projected = n // PROJECTED
    states = [work.of_run(run).state_dict() for run in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        projector = BasicProjector(
            grad_dim=sum(part.numel() for part in work.model.parameters()),
            proj_dim=projected,
            seed=SEED,
            proj_type=ProjectionType.rademacher,
            device="cpu",
            dtype=torch.float32,
            block_size=min(RANK, projected // 2),  # a single block is not made anew when freed
        )
        traker = TRAKer(
            model=copy.deepcopy(work.model),  # which is given the weights of every run
            task="image_classification",
            train_set_size=n,
            save_dir=folder,
            device="cpu",
            projector=projector,
            proj_dim=projected,
            use_half_precision=False,
            logging_level=40,
        )
        for number, state in enumerate(states):
            traker.load_checkpoint(state, model_id=number)
            for batch in _loaders(work)[0]:
                traker.featurize(batch=batch, num_samples=len(batch[-1]))
        traker.finalize_features()
        for number, state in enumerate(states):
            traker.start_scoring_checkpoint(
                exp_name="query", checkpoint=state, model_id=number, num_targets=m
            )
            for batch in _loaders(work)[1]:
                traker.score(batch=batch, num_samples=len(batch[-1]))
        return work.summed(torch.as_tensor(np.array(traker.finalize_scores("query"))).float())


def _loaders(work: Work) -> list[DataLoader]:
    """Return the batches of the training samples, and of the query samples."""
    parts = (work.train, work.query)
    return [DataLoader(TensorDataset(*part), batch_size=work.batch) for part in parts]


def _dattri_task(work: Work) -> Any:
    from dattri.task import AttributionTask

    def loss(parameters: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch if batch[1].dim() else (batch[0][None], batch[1][None])
        return F.cross_entropy(torch.func.functional_call(work.model, parameters, (x,)), y)

    return AttributionTask(loss, work.model, work.model.state_dict())


def _dattri(work: Work, attributor: Any) -> Tensor:
    train, query = _loaders(work)
    attributor.cache(train)
    return work.summed(attributor.attribute(train, query).detach())


def dattri_ekfac(work: Work) -> Tensor:
    """Fit EKFAC of the linear layers, the default: the convolutions are left out."""
    from dattri.algorithm.influence_function import IFAttributorEKFAC

    damping = work.section.curvature.damping
    return _dattri(work, IFAttributorEKFAC(_dattri_task(work), damping=damping))


def dattri_ekfac_everywhere(work: Work) -> Tensor:
    """Ask for EKFAC of the convolutions too."""
    from dattri.algorithm.influence_function import IFAttributorEKFAC

    names = [
        name
        for name, module in work.model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    damping = work.section.curvature.damping
    task = _dattri_task(work)
    return _dattri(work, IFAttributorEKFAC(task, module_name=names, damping=damping))


def dattri_arnoldi(work: Work) -> Tensor:
    """Take the leading eigenvectors of the Hessian, by Arnoldi's iteration."""
    from dattri.algorithm.influence_function import IFAttributorArnoldi

    options = {"proj_dim": RANK // 5, "max_iter": RANK, "seed": SEED}  # those above 0
    damping = work.section.curvature.damping
    task = _dattri_task(work)
    return _dattri(work, IFAttributorArnoldi(task, regularization=damping, **options))


def pydvl_ekfac(work: Work) -> Tensor:
    """Ask for EKFAC of the whole network."""
    from pydvl.influence.torch import EkfacInfluence

    damping = work.section.curvature.damping
    influence = EkfacInfluence(work.model, update_diagonal=True, hessian_regularization=damping)
    return _pydvl(work, influence)


def pydvl_nystroem(work: Work) -> Tensor:
    """Sketch the Hessian with as many random columns as the rank."""
    from pydvl.influence.torch import NystroemSketchInfluence

    damping = work.section.curvature.damping
    influence = NystroemSketchInfluence(work.model, F.cross_entropy, damping, rank=RANK)
    return _pydvl(work, influence)


def _pydvl(work: Work, influence: Any) -> Tensor:
    influence.fit(_loaders(work)[0])
    columns = []
    for k in range(work.k):
        scores_mn = influence.influences(*work.of_class(k), *work.train)
        columns.append(scores_mn.sum(0).detach())
    return torch.stack(columns, dim=1)


# by name: the package, the module that is imported before the clock starts, how P is computed
LIBRARIES: dict[str, tuple[str, str, Callable[[Work], Tensor]]] = {
    "kronfluence, EKFAC": ("kronfluence", "kronfluence", kronfluence_ekfac),
    "captum, TracInCP": ("captum", "captum.influence", captum_tracin),
    "TRAK": ("traker", "trak", trak_one),
    "TRAK, runs": ("traker", "trak", trak_runs),
    "dattri, EKFAC, linear layers": ("dattri", "dattri.algorithm", dattri_ekfac),
    "dattri, EKFAC, all layers": ("dattri", "dattri.algorithm", dattri_ekfac_everywhere),
    "dattri, Arnoldi": ("dattri", "dattri.algorithm", dattri_arnoldi),
    "pyDVL, EKFAC": ("pyDVL", "pydvl.influence.torch", pydvl_ekfac),
    "pyDVL, Nystroem": ("pyDVL", "pydvl.influence.torch", pydvl_nystroem),
}
