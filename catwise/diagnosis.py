"""Diagnose a trained classifier in one call: curvature, influence, ceiling and weights."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from catwise.ceiling.check import check_ceiling
from catwise.ceiling.decision import SIZE, SMALL_GAIN, uncalibrated_verdict
from catwise.ceiling.joint_direction import joint_weights
from catwise.core.errors import InputError, optional_packages
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import Logits, Loss, logits_of, per_sample_loss, with_logits
from catwise.core.numbers import require_number
from catwise.core.progress import Progress
from catwise.core.spread import Workers
from catwise.improvement import own_models, own_samples
from catwise.improvement.first_calls import require_loss
from catwise.influence.checks import checked_layers
from catwise.influence.curvature import Curvature
from catwise.influence.duration import Work
from catwise.influence.factors import Kind, fit_factors, require_options
from catwise.influence.fisher_passes import Mask
from catwise.influence.moving_statistics import Statistics
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data, Samples
from catwise.sharing import folder, frames, given
from catwise.sharing.calibrated import retrained_verdict
from catwise.sharing.findings import Findings
from catwise.sharing.questions import (
    Fitted,
    accuracy,
    limited,
    numbered_groups,
    predicted_labels,
    query_loss,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["Diagnosis", "diagnose", "load_diagnosis"]


class Diagnosis(Findings):
    """Hold whether there is room, which samples stand in the way, and which weights use the room.

    verdict     the ``answer``, room, ceiling or why none; ``sentence``, ``scope``, ``remedy``
    ceiling     the figures of the ceiling; ``ceiling.blocking`` are the two classes that stand in
                each other's way most
    p_nk        the influence vectors P, in nats of summed query loss; positive entries help a class
    weights_n   weights of the training samples, in [0, 2], of mean 1 in each class and about 0.25
                from 1, that raise every class at once to first order; at a ceiling they are noise
    coverage    the share of the model's trained parameters that P speaks of
    label_names the names of the labels; after ``ask`` with groups ``ceiling.classes`` names those
    labels_n    the labels of the training samples, as numbers of these names
    predicted_n the labels that the model gives to them
    measure     what P is about: loss, or what was asked for
    fitted      the model, its training samples and the fitted curvature, for further questions
    accuracy_k  the share of the query samples of each class that the model gets right
    detrimental the numbers of the training samples, those that most harm all classes together first

    ``print(diagnosis)`` writes the answer in words.
    """

    def ask(
        self,
        query: Data,
        groups: Sequence[object] | None = None,
        measure: str | Loss = "loss",
        *,
        bins: int = 8,
        seed: int = 0,
        workers: Workers | None = None,
        progress: Progress = iter,
    ) -> "Diagnosis":
        """Answer for other ``query`` samples, groups or measures, without fitting again.

        ``groups`` names the group of each query sample, (m,): a subpopulation, a source, a year; by
        default its class. ``measure`` is what P is about: ``loss`` in nats, ``probability`` (minus
        that of the label) or ``margin`` (that of the logits), as in ``catwise.core.losses``, or a
        function of (model, batch) to (m,), lower is better. The price is one pass over the query
        and one over the training samples, divided among ``workers`` as in ``diagnose``. The verdict
        of the answer is not calibrated.

        Raises InputError for a group of fewer than 3 query samples, for the training samples, for a
        model whose weights have changed since the fit, and for a diagnosis that was loaded without
        its model.
        """
        if self.fitted is None:
            raise InputError(
                "ask: expected a diagnosis with its model and training samples; got one without; "
                "give both to load_diagnosis"
            )
        fitted, names = self.fitted, self.label_names
        called = (fitted.model, fitted.logits)
        query = given.checked_samples("query", query, names, *called, fitted.train)
        loss = query_loss(measure, fitted.loss, fitted.logits)
        require_loss("measure", loss, fitted.model, query)
        if groups is None:
            groups_m = query.labels.cpu().numpy()
        else:
            groups_m, names = numbered_groups(groups, len(query))
        bins_m = given.dealt_bins(groups_m, names, bins, seed)
        about = (query, bins_m, names, self.label_names, self.labels_n, loss)
        with torch.enable_grad():
            answer, _ = _answer(fitted, *about, workers, progress)
        name = measure if isinstance(measure, str) else getattr(measure, "__name__", "a function")
        return replace(self, **answer, measure=name)

    def to_frame(self, running_margin: ArrayLike | None = None) -> "pd.DataFrame":
        """Return a row for each training sample, as a data frame of pandas.

        The columns are ``sample`` (its number), ``label``, ``predicted`` (the label that the model
        gives to it), ``influence on CLASS`` for each class (P, in nats of summed query loss;
        positive helps), ``weight``, and ``running_margin`` if it is given: see ``label_issues``.
        """
        return frames.to_frame(self, running_margin)

    def label_issues(self, running_margin: ArrayLike | None = None) -> "pd.DataFrame":
        """Return which labels look wrong, in cleanlab's format: a row for each training sample.

        The columns are ``is_label_issue``, ``label_quality`` (the share of the training samples
        that look worse, 0 for the worst), ``given_label`` and ``predicted_label``.

        Give the running margin where you can, for it finds wrong labels better than influence does:
        wrong labels show in the dynamics of the training, while influence says which *class* a
        sample harms. It is the mean over the epochs of the logit of the given label minus the
        largest other logit, (n,), best over those from which on the class of the sample is learnt;
        an issue is a sample with a negative one. Where the median of a class is not positive, its
        labels cannot be judged: none is an issue, and a warning says so. Without it the quality is
        ranked by the sum of the influences of a sample, and an issue is one with a negative sum
        whose label the model contradicts: a model that has learnt its labels by heart contradicts
        none.

        Differs from cleanlab, whose quality is made of out-of-sample probabilities.
        """
        return frames.label_issues(self, running_margin)

    def save(self, path: "str | Path") -> None:
        """Write the diagnosis into a folder; ``load_diagnosis`` reads it.

        The files are ``diagnosis.json`` (the verdict and the figures), ``samples.parquet`` as
        ``to_frame`` has it, or ``samples.csv`` where pyarrow is missing, and
        ``factors.safetensors``: the fitted curvature with the fingerprint of its model. The model
        and the samples themselves are not written. Nothing is left half-written.
        """
        folder.save(self, path)

    def report(
        self,
        path: "str | Path",
        *,
        inputs: Any = None,
        texts: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        title: str = "The classifier",
    ) -> None:
        """Write one self-contained page: the verdict and how far to trust it, what to do next.

        It also has the class-by-class matrix, the influence plane of the two classes that block
        each other most, and the most harmful and most helpful training samples. What these look
        like comes from ``texts``, or from ``inputs``: images as (n, c, h, w), (n, h, w), or a list
        of PIL images or paths; or features (n, d), as a data frame if the columns have names. By
        default they are the inputs of the model, if these are tensors of images or of features.
        ``names`` are those of the training samples, their numbers by default; ``notes`` are further
        sentences on how far to trust the verdict.

        Raises InputError for inputs of another number, and without matplotlib and its company.
        """
        with optional_packages("report"):
            from catwise.sharing import page
        folder.write_text(path, page.render(self, title, inputs, texts, names, notes))


def load_diagnosis(
    path: "str | Path",
    model: nn.Module | None = None,
    train: Data | None = None,
    *,
    loss: Loss = per_sample_loss,
    logits: Logits = logits_of,
    batch_size: int = 256,
) -> Diagnosis:
    """Read what ``Diagnosis.save`` wrote; with its model and training samples it can ``ask`` again.

    ``train``, ``loss``, ``logits`` and ``batch_size`` are as they were for ``diagnose``.

    Raises InputError for a file that is missing or damaged, and for another model, other labels or
    other first samples than those of the diagnosis.

    >>> import tempfile, torch
    >>> train, query = ((torch.randn(60, 2), torch.arange(60) % 2) for _ in range(2))
    >>> with tempfile.TemporaryDirectory() as path:
    ...     diagnose(nn.Linear(2, 2), train, query, ["red", "blue"]).save(path)
    ...     load_diagnosis(path).weights_n.shape
    (60,)
    """
    if (model is None) != (train is None):
        raise InputError("load_diagnosis: expected model and train, or neither; got one of them")
    if model is not None and train is not None:
        require_number("batch_size", batch_size, 1, whole=True)
        model = given.checked_model(model)
        train = as_samples(train, model, "train")
    return Diagnosis(**folder.load(path, model, train, loss, logits, batch_size))


def diagnose(
    model: nn.Module,
    train: Data,
    query: Data,
    classes: Sequence[str],
    *,
    kind: Kind = "ekfac",
    damping: float = 0.1,
    samples: int | None = None,
    embeddings: bool = False,
    norms: bool = True,
    statistics: Statistics = "moving",
    bins: int = 8,
    seed: int = 0,
    batch_size: int = 256,
    loss: Loss = per_sample_loss,
    logits: Logits = logits_of,
    mask: Mask | None = None,
    curvature: Curvature | None = None,
    memory: float | None = None,
    retrain: own_models.TrainFunction | None = None,
    halves: int = 8,
    small_gain: float = SMALL_GAIN,
    workers: Workers | None = None,
    progress: Progress = iter,
) -> Diagnosis:
    """Diagnose ``model`` as it is, trained on ``train``, from ``query`` samples that it never saw.

    ``train`` and ``query`` are tuples of tensors: what the model takes, then the labels 0 to k - 1,
    numbers of ``classes``. They may also be a Dataset or a DataLoader, which is read batch by batch
    on every pass, so that nothing grows with the samples but P: see ``as_samples``. They are moved
    to the device of the model, and floats to its dtype; it is left as it was, and of one in half
    precision a copy in float32 is diagnosed.

    ``bins`` of the query samples of each class are the unit of noise of the verdict; there are
    fewer where the smallest class has fewer samples, but at least 3. ``curvature`` is one that is
    fitted already, ``exact_hessian`` or ``last_layer_hessian``; all other options are those of
    ``fit_factors`` and ``influence_vectors``. What influence does not cover is left out with a
    warning, and ``coverage`` says what is left. Layers whose weight is frozen
    (``requires_grad=False``) were not trained and are left out, unless the whole model is frozen.
    ``statistics`` of batch norm are ``fixed`` where the training held them so, in evaluation mode.

    ``memory`` are the bytes that the work may take beside the model and its samples, by default
    half of what is free. A line on stderr says before the work how it is divided: the samples and
    the groups that are held at once, the passes over the training samples, and about how long it
    takes. ``workers`` are processes here or elsewhere, or one for each GPU, among which each pass
    is divided: ``with catwise.open_workers() as workers``.

    ``retrain(weights_n, seed)`` returns a new model, trained as ``model`` was, with these weights
    of the training samples, whose mean is 1. It is called for ``halves`` random halves, and what
    changes on the query samples calibrates the verdict: it then is about what a new training with
    the weights of the diagnosis would bring every class, in nats and in points of accuracy. It can
    be a ceiling only where the worst class surely gains less than ``small_gain`` points. Without
    ``retrain`` the verdict is about shares of the influence mass, and says that this is not
    checked.

    ``logits(model, batch)`` calls a model that returns something else than logits of the classes;
    ``loss``, by default the cross entropy, goes by it if it is one of ``catwise.core.losses``.

    Raises InputError for a label that is no class, for a class with fewer than 3 query samples, for
    inputs that the model does not take, outputs that are no logits and numbers that make no sense,
    and where ``retrain`` returns no model, the one before, trained on, or always the same.

    >>> import torch
    >>> train, query = ((torch.randn(60, 2), torch.arange(60) % 2) for _ in range(2))
    >>> diagnose(nn.Linear(2, 2), train, query, classes=["left", "right"]).weights_n.shape
    (60,)
    """
    given.require_numbers(memory, halves, small_gain, retrain)
    model, classes = given.checked_model(model), own_samples.checked_classes(classes)
    train = given.checked_samples("train", train, classes, model, logits)
    query = given.checked_samples("query", query, classes, model, logits, train)
    loss = with_logits(loss, logits)
    require_loss("loss", loss, model, train)
    require_options(kind, "importance", damping, samples, batch_size, len(train))
    labels_n = train.labels.cpu().numpy()
    bins_m = given.dealt_bins(query.labels.cpu().numpy(), classes, bins, seed)
    pairs = 0 if curvature is not None else samples or len(train)
    parts = len(workers.devices) if workers else 1
    passes: dict[str, Any] = {"workers": workers, "progress": progress}
    options = {"damping": damping, "seed": seed, "samples": samples, "mask": mask}
    trainings: dict[str, Any] = {"halves": halves, "seed": seed, "small_gain": small_gain}
    with torch.enable_grad():
        if curvature is not None:
            layers = given.checked_curvature(curvature, model, train)
        else:
            layers = checked_layers(model, logits, train, embeddings=embeddings, norms=norms)
        work = Work(model, layers, train, bins_m, logits, loss, kind, pairs, parts, statistics)
        fitted = _fitted(work, curvature, batch_size, memory, **options, **passes)
        answer, p_nkb = _answer(fitted, query, bins_m, classes, classes, labels_n, loss, **passes)
        if retrain is not None:
            about = (answer["ceiling"], p_nkb, fitted, query, classes, answer["accuracy_k"])
            verdict = retrained_verdict(*about, retrain, **trainings, progress=progress)
            answer["verdict"] = limited(verdict, fitted, classes, labels_n)
    return _diagnosis(answer, fitted, classes, labels_n)


def _fitted(
    work: Work, curvature: Curvature | None, batch_size: int, memory: float | None, **options: Any
) -> Fitted:
    """Announce the work, and fit the curvature unless it is given."""
    plan = given.announced_plan(work, batch_size, memory)
    model, size = work.model, plan.batch_size
    if curvature is None:
        about: dict[str, Any] = {"kind": work.kind, "batch_size": size, "logits": work.logits}
        layers = dict(work.layers)
        curvature = fit_factors(model, work.train, layers=layers, **about, **options)
    settings = (work.loss, size, plan.at_once, work.logits, work.statistics)
    return Fitted(model, work.train, curvature, fingerprint(model), *settings)


def _diagnosis(
    answer: dict[str, Any], fitted: Fitted, classes: tuple[str, ...], labels_n: np.ndarray
) -> Diagnosis:
    """Add to an answer what does not depend on the query samples."""
    return Diagnosis(
        **answer,
        coverage=answer["verdict"].coverage,
        label_names=classes,
        labels_n=labels_n,
        predicted_n=predicted_labels(fitted, fitted.train, len(classes)),
        fitted=fitted,
    )


def _answer(
    fitted: Fitted,
    query: Samples,
    bins_m: np.ndarray,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    labels_n: np.ndarray,
    measure: Loss,
    workers: Workers | None,
    progress: Progress,
) -> tuple[dict[str, Any], np.ndarray]:
    """Compute the fields of a diagnosis that depend on the query samples, and P by bins.

    ``names`` are those of the groups of query samples, which may be the classes.
    """
    columns = int(bins_m.max()) + 1  # every bin has a sample
    p_nkb = fitted.vectors(query, bins_m, columns, measure, workers, progress)
    p_nkb = p_nkb.reshape(len(labels_n), len(names), -1)
    p_nk, check = p_nkb.sum(axis=2), check_ceiling(p_nkb, names)
    fields = {
        "verdict": limited(uncalibrated_verdict(check), fitted, classes, labels_n),
        "ceiling": check,
        "p_nk": p_nk,
        "weights_n": joint_weights(p_nk, labels_n, size=SIZE),
        "accuracy_k": accuracy(fitted, query, bins_m // p_nkb.shape[2], len(classes)),
    }
    return fields, p_nkb
