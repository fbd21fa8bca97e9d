"""Find what is wrong in the parameters and what the types of the schema cannot say.

Each problem is a key of params.yaml, what was expected of it, and what it is.
"""

from collections.abc import Iterator, Sequence
from typing import get_args

from catwise.config.prepare import Digits, ImageFolder, Synthetic, Tokens
from catwise.config.schema import (
    Along,
    Convolutional,
    DataSet,
    Epochs,
    Factored,
    Params,
    Trimming,
)
from catwise.data.catalogue import CLASSES

__all__ = ["problems"]

Problem = tuple[str, str, str]


def problems(params: Params) -> Iterator[Problem]:
    """Yield (key, expected, got) of every problem, in the order of the file."""
    for position, name in enumerate(params.run.datasets):
        key = f"run.datasets.{position}"
        if name not in params.datasets:
            yield key, f"one of {', '.join(params.datasets)}", repr(name)
        if name in params.run.datasets[:position]:
            yield key, "each data set once", f"{name!r} again"
    for name, dataset in params.datasets.items():
        if not name.isidentifier():
            yield "datasets", "names of letters, digits and _", repr(name)
        for check in CHECKS:
            for key, expected, got in check(dataset):
                yield f"datasets.{name}.{key}", expected, got


def _class_names(dataset: DataSet) -> Sequence[str]:
    """Return the classes of the user's own data, or those that a data set always has."""
    return getattr(dataset.prepare, "classes", None) or CLASSES[dataset.prepare.source]


def _classes(dataset: DataSet) -> Iterator[Problem]:
    """Check that figures show classes that there are, each once."""
    classes = _class_names(dataset)
    for position, name in enumerate(dataset.figures.classes):
        if name not in classes:
            yield f"figures.classes.{position}", f"one of {', '.join(classes)}", repr(name)
        if name in dataset.figures.classes[:position]:
            yield f"figures.classes.{position}", "each class once", f"{name!r} again"


def _model(dataset: DataSet) -> Iterator[Problem]:
    """Check that the model takes what ``prepare`` makes.

    That is points, grey or coloured images, or texts with or without weights to start from.
    """
    match dataset.prepare:
        case Synthetic():
            models = ["logistic"]
        case Tokens(weights="none"):
            models = ["bert"]
        case Tokens(weights=weights):
            models = ["bert", weights]
        case Digits() | ImageFolder(colour="grey"):
            models = ["cnn"]
        case _:
            models = ["resnet9"]
    if dataset.train.model not in models:
        expected = f"{' or '.join(models)} for these data"
        yield "train.model", expected, repr(dataset.train.model)


def _device(dataset: DataSet) -> Iterator[Problem]:
    """Check that logistic regression, which scipy fits, is on the CPU."""
    if dataset.train.model == "logistic" and dataset.device != "cpu":
        yield "device", "cpu for logistic regression", repr(dataset.device)


def _refresh(dataset: DataSet) -> Iterator[Problem]:
    """Check that there is batch norm to refresh."""
    train = dataset.train
    if isinstance(train, Convolutional) and train.model == "cnn" and train.refresh:
        yield "train.refresh", "0 for a cnn, which has no batch norm", str(train.refresh)


def _exact(dataset: DataSet) -> Iterator[Problem]:
    """Check that the exact Hessian is that of logistic regression."""
    model = dataset.train.model
    if model != "logistic" and dataset.curvature.kind == "exact":
        yield "curvature.kind", f"a factored kind for a {model}", "'exact'"
    if model != "logistic" and dataset.fidelity and "exact" in dataset.fidelity.kinds:
        yield "fidelity.kinds", f"factored kinds for a {model}", "'exact'"


def _sizes(dataset: DataSet) -> Iterator[Problem]:
    """Check that images and texts have a size that the model takes."""
    prepare = dataset.prepare
    if isinstance(prepare, ImageFolder) and prepare.colour == "rgb" and prepare.size < 12:
        yield "prepare.size", "12 or more for a resnet9, which halves it thrice", str(prepare.size)
    if isinstance(prepare, Tokens) and prepare.weights != "none" and prepare.max_length > 512:
        expected = f"at most 512, the positions of {prepare.weights}"
        yield "prepare.max_length", expected, str(prepare.max_length)


def _pairs(dataset: DataSet) -> Iterator[Problem]:
    """Check that pairs are counted only where they are drawn."""
    section = dataset.curvature
    if isinstance(section, Factored) and section.draw == "every" and section.samples != "all":
        yield "curvature.samples", "all with draw: every", str(section.samples)


def _removal(dataset: DataSet) -> Iterator[Problem]:
    """Check that it is logistic regression that is trimmed."""
    if isinstance(dataset.removal, Trimming) and isinstance(dataset.train, Epochs):
        yield "removal.method", f"top_share for a {dataset.train.model}", "'trimming'"


def _earlier(dataset: DataSet) -> Iterator[Problem]:
    """Check that earlier checkpoints rise and come before the last."""
    last = dataset.train.epochs if isinstance(dataset.train, Epochs) else 1
    earlier = getattr(dataset.curvature, "earlier", [])
    if earlier != sorted({epoch for epoch in earlier if epoch < last}):
        yield "curvature.earlier", f"rising epochs before the last, {last}", str(earlier)


def _calibrated(dataset: DataSet) -> Iterator[Problem]:
    """Check that what is scored or calibrated by training on subsets has them."""
    if dataset.subsets:
        return
    if dataset.improve:
        yield "subsets", "a section, as improve goes by a calibrated verdict", "null"
    if dataset.fidelity:
        yield "subsets", "a section, as fidelity scores P by them", "null"


def _along(dataset: DataSet) -> Iterator[Problem]:
    """Check that what goes along the training has a training by epochs, and is asked for."""
    train, section = dataset.train, dataset.influence
    kinds = dataset.fidelity.kinds if dataset.fidelity else []
    proposing = dataset.improve.influence if dataset.improve else []
    ranked = getattr(dataset.removal, "influence", [])
    if not isinstance(train, Epochs):
        for key, least in (("segments", 0), ("runs", 1), ("augmentations", 0)):
            if (value := getattr(section, key)) > least:
                expected = f"{least}, as logistic regression has one optimum and no epochs"
                yield f"influence.{key}", expected, str(value)
        if along := sorted({*kinds} & {*get_args(Along)}):
            yield "fidelity.kinds", "kinds of one optimum", ", ".join(along)
        for key, named in {"removal": ranked, "improve": proposing}.items():
            if {*named} - {"endpoint"}:
                yield f"{key}.influence", "endpoint, of one optimum", ", ".join(named)
        return
    if section.augmentations and not getattr(train, "augment", False):
        expected = "0 where training does not augment"
        yield "influence.augmentations", expected, str(section.augmentations)
    if section.segments > train.epochs:
        expected = f"at most {train.epochs}, the epochs of training"
        yield "influence.segments", expected, str(section.segments)
    if not section.segments and {*kinds} & {"segments", "segments_runs"}:
        yield "fidelity.kinds", "no segments where influence.segments is 0", ", ".join(kinds)
    if "segments" in ranked and not section.segments:
        yield "removal.influence", "no segments where influence.segments is 0", ", ".join(ranked)
    if "segments" in proposing and not section.segments:
        yield "improve.influence", "no segments where influence.segments is 0", ", ".join(proposing)
    if "ekfac_runs" in kinds and dataset.curvature.kind != "ekfac":
        expected = f"no ekfac_runs where curvature.kind is {dataset.curvature.kind}"
        yield "fidelity.kinds", expected, ", ".join(kinds)
    if "endpoint_runs" in ranked and section.runs == 1:
        yield "removal.influence", "no runs where influence.runs is 1", ", ".join(ranked)
    unrolls = isinstance(train, Convolutional) and train.model == "cnn" and not train.augment
    unrolls = unrolls and train.optimizer == "sgd"
    if "exact_runs" in kinds and not unrolls:
        yield "fidelity.kinds", "exact_runs of a cnn by sgd without crops alone", ", ".join(kinds)
    for key, named in {"removal.influence": ranked, "improve.influence": proposing}.items():
        if "exact" in named and not unrolls:
            yield key, "exact of a cnn by sgd without crops alone", ", ".join(named)


def _cases(dataset: DataSet) -> Iterator[Problem]:
    """Check that a case starts from a checkpoint that there is, and targets some of the classes.

    Where the original next epoch is needed too, the checkpoint is not the last one.
    """
    if dataset.reweight is None:
        return
    if not isinstance(dataset.train, Epochs):
        yield "reweight", "null, as logistic regression has no epochs", "cases"
        return
    classes = _class_names(dataset)
    for position, case in enumerate(dataset.reweight.cases):
        key = f"reweight.cases.{position}"
        needs_next = case.kind == "course_correction" or case.recipe == "as_trained"
        last = dataset.train.epochs - (1 if needs_next else 0)
        if case.epoch == "auto" and dataset.train.epochs < 3:
            expected = "a number where fewer than 3 epochs are trained"
            yield f"{key}.epoch", expected, "'auto'"
        if case.epoch != "auto" and case.epoch > last:
            yield f"{key}.epoch", f"at most {last}", str(case.epoch)
        targets = {*case.targets} if case.targets != "auto" else set()
        if not targets <= {*classes} or len(targets) == len(classes):
            yield f"{key}.targets", f"some of {', '.join(classes)}", ", ".join(case.targets)


def _unrolled(dataset: DataSet) -> Iterator[Problem]:
    """Check that an epoch that is unrolled is one of plain SGD."""
    if dataset.reweight is None or not isinstance(dataset.train, Epochs):
        return
    if dataset.train.optimizer == "sgd":
        return
    for name in ("searches", "directions"):
        for position, method in enumerate(getattr(dataset.reweight, name)):
            if method.anchor == "unrolled":
                expected = f"start or end with optimizer {dataset.train.optimizer}"
                yield f"reweight.{name}.{position}.anchor", expected, "'unrolled'"


CHECKS = (
    _classes,
    _model,
    _device,
    _refresh,
    _sizes,
    _pairs,
    _removal,
    _exact,
    _earlier,
    _cases,
    _unrolled,
    _along,
    _calibrated,
)
