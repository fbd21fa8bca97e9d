"""Define what may stand in params.yaml: every key, its type and its range; no key has a default."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from catwise.config.fields import (
    Count,
    NonNegative,
    Population,
    Positive,
    Precision,
    Section,
    Seed,
    Seeds,
    Share,
    Whole,
)
from catwise.config.prepare import Prepare

__all__ = ["Curvature", "DataSet", "Params", "Removal", "Train", "Trained"]

Kind = Literal[
    "exact",
    "ekfac",
    "ekfac_linear",
    "ekfac_fixed",
    "ekfac_unaugmented",
    "kfac",
    "diagonal",
    "identity",
]
Runs = Literal["ekfac_runs", "segments_runs", "last_layer_runs", "exact_runs"]
Along = Literal[Runs, "segments", "last_layer", "tracin"]
Vectors = Literal["endpoint", "endpoint_runs", "segments", "last_layer", "exact"]
Averaged = Literal["endpoint", "endpoint_fixed", "middle", "segments", "last_layer", "exact"]
Draw = Literal["importance", "balanced", "every"]


class Run(Section):
    """Hold which data sets the pipeline runs."""

    datasets: Annotated[list[str], Field(min_length=1)]


class Logistic(Section):
    """Hold logistic regression, trained to its optimum."""

    model: Literal["logistic"]
    l2: NonNegative


class Epochs(Section):
    """Hold the recipe that ``catwise.training.epochs`` follows."""

    seed: Seed
    epochs: Count
    batch_size: Count
    optimizer: Literal["sgd", "adamw"]
    learning_rate: Positive
    weight_decay: NonNegative
    precision: Precision
    compile: bool


class Convolutional(Epochs):
    """Hold a classifier of images."""

    model: Literal["cnn", "resnet9"]
    width: Count
    augment: bool
    channels_last: bool
    refresh: Whole  # batches; 0: none


class Transformer(Epochs):
    """Hold a small BERT from scratch."""

    model: Literal["bert"]
    width: Annotated[int, Field(ge=32, multiple_of=32)]
    layers: Count


class Pretrained(Epochs):
    """Hold a BERT that starts from the weights of that name."""

    model: Literal["bert-base-cased", "minilm"]


class Exact(Section):
    """Hold the exact Hessian of logistic regression."""

    kind: Literal["exact"]


class Factored(Section):
    """Hold how factors per layer are fitted, at the last checkpoint and ``earlier`` ones."""

    kind: Literal["ekfac", "kfac", "diagonal", "identity", "kronfluence"]
    earlier: list[Count]
    damping: Positive
    draw: Draw
    samples: Count | Literal["all"]
    embeddings: bool
    seed: Seed
    batch_size: Count
    precision: Precision


class Influence(Section):
    """Hold the bins of the validation samples, and how the passes over the data are made.

    P is computed by ``segments`` of the training too, if there are any, and averaged over ``runs``.
    ``statistics`` says whether those of batch norm move with the weights, or are held fixed.
    ``augmentations`` are the draws of crops and flips over which the gradients of a training sample
    are averaged; with 0 they are those of the image as it is.
    """

    segments: Whole
    runs: Count
    statistics: Literal["moving", "fixed"]
    augmentations: Whole
    bins: Annotated[int, Field(ge=3)]
    seed: Seed
    batch_size: Count
    precision: Precision


class Subsets(Section):
    """Hold on how many random subsets the model is trained again.

    ``left_out`` says what becomes of the samples that are left out: they have weight 0, or are gone
    and with them a part of the steps.
    """

    left_out: Literal["weights", "rows"]
    halves: Annotated[int, Field(ge=10)]
    removals: Whole
    seeds: Count
    seed: Seed


class Fidelity(Section):
    """Hold which kinds of P are scored by the subsets, and ekfac of how many ``samples``."""

    kinds: Annotated[list[Kind | Along | Literal["label_counts"]], Field(min_length=1)]
    samples: list[Count]
    repeats: Count


class Trimming(Section):
    """Hold the rounds of iterated trimming (Figure 5)."""

    method: Literal["trimming"]
    max_rounds: Count
    seeds: Seeds


class TopShare(Section):
    """Hold how many samples are removed, how often, and by which P (Figures 3 and 4).

    The figures show the first of ``influence``.
    """

    method: Literal["top_share"]
    influence: Annotated[list[Vectors], Field(min_length=1)]
    share: Annotated[float, Field(gt=0, lt=1)]
    seeds: Seeds
    controls: Count


class Steps(Section):
    """Hold the recipe of the extra epoch: a constant learning rate, the training's optimiser."""

    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative


class Budget(Section):
    """Hold what a case gets: these, and how many of the section's searches and directions."""

    generations: Whole
    population: Population
    seeds: Seeds
    searches: Whole
    directions: Whole


class Case(Section):
    """Hold an epoch that is taken again, for which classes, how, and at what expense."""

    kind: Literal["direct_improvement", "course_correction"]
    epoch: Count | Literal["auto"]
    targets: Annotated[list[str], Field(min_length=1)] | Literal["auto"]
    recipe: Steps | Literal["as_trained"]
    budget: Budget | Literal["full"]  # full: that of the section

    @model_validator(mode="after")
    def an_epoch_to_improve_is_given(self) -> "Case":
        if self.epoch == "auto" and self.kind == "direct_improvement":
            raise ValueError("a number as epoch of direct_improvement")
        return self


class Search(Section):
    """Hold how Algorithm 1 finds weights: the anchor of P, the floors of line 4, its objective."""

    anchor: Literal["start", "end", "unrolled"]
    rule: Literal["printed", "beta"]
    program: Literal["linear", "quadratic"]


class Direction(Section):
    """Hold how that P is measured of which every column is raised at once."""

    anchor: Literal["start", "end", "unrolled"]
    filter: Literal["damped", "horizon", "exact"]
    query: Literal["loss", "probability", "margin"]

    @model_validator(mode="after")
    def an_unrolled_epoch_has_no_filter(self) -> "Direction":
        if (self.anchor == "unrolled") != (self.filter == "exact"):
            raise ValueError("filter exact with anchor unrolled, and with no other")
        return self


class Unrolled(Section):
    """Hold how P is taken through every step of the epoch: ``catwise.influence.unrolled``.

    orders          of the samples, over which P is averaged
    relinearise     how often a direction takes P again on its way, at the weights found so far
    at_once         the adjoints that go backwards together; fewer take less memory, and longer
    """

    orders: Count
    relinearise: Whole
    at_once: Count


class Reweight(Section):
    """Hold the cases of Table 1, and the methods that find weights for them."""

    cases: Annotated[list[Case], Field(min_length=1)]
    generations: Whole
    population: Population
    seeds: Seeds
    w_max: Annotated[float, Field(ge=1)]
    slack: Positive
    trust: Positive
    merge: Share
    searches: list[Search]
    directions: list[Direction]
    unrolled: Unrolled
    sizes: Annotated[list[Positive], Field(min_length=1)]
    tradeoff: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def no_method_is_named_twice(self) -> "Reweight":
        for methods in (self.searches, self.directions):
            if len(set(methods)) < len(methods):
                raise ValueError("each search and each direction once")
        return self

    @model_validator(mode="after")
    def no_case_asks_for_more_methods_than_there_are(self) -> "Reweight":
        for name in ("searches", "directions"):
            most = len(getattr(self, name))
            counts = [getattr(case.budget, name) for case in self.cases if case.budget != "full"]
            if max(counts, default=0) > most:
                raise ValueError(f"budgets of at most {most} {name}, as many as are listed")
        return self


class Ceiling(Section):
    """Hold how the null is drawn, and which gain of the worst class, in points, is a ceiling."""

    permutations: Annotated[int, Field(ge=20)]
    small_gain: Positive
    seed: Seed


Sized = Literal["direction", "direction_kept", "mean_direction", "class_weights", "within_classes"]
Unsized = Literal["drop_harmful", "inverse_frequency", "square_root", "lowest_margins", "cleanlab"]

Baseline = Literal[
    "inverse_frequency",
    "square_root",
    "effective_number",
    "logit_adjustment",
    "lowest_margins",
    "cleanlab",
    "program_at_random",
    "lp_ga",
    "class_search",
    "focal",
    "best_seed",
]


class Improve(Section):
    """Hold how the model is trained anew with better weights until it is at its ceiling.

    Proposals that are made of P are made of every one of ``influence``, averaged over ``runs``; the
    first is judged.
    """

    runs: Count
    influence: Annotated[list[Averaged], Field(min_length=1)]
    seeds: Seeds
    fresh: Seeds
    rounds: Count
    level: Annotated[float, Field(gt=0, lt=1)]
    allowed_loss: NonNegative
    w_max: Annotated[float, Field(ge=1)]
    trust: Positive
    proposals: Annotated[list[Sized | Unsized], Field(min_length=1)]
    sizes: Annotated[list[Positive], Field(min_length=1)]
    baselines: Literal["all"] | list[Baseline]
    folds: Annotated[int, Field(ge=2)]
    best_of: Annotated[int, Field(ge=2)]
    generations: Count
    population: Population

    @model_validator(mode="after")
    def no_influence_is_named_twice(self) -> "Improve":
        if len({*self.influence}) < len(self.influence):
            raise ValueError("each kind of influence once")
        return self


class Figures(Section):
    """Hold the two classes of the influence plane."""

    classes: Annotated[list[str], Field(min_length=2, max_length=2)]


Trained = Convolutional | Transformer | Pretrained  # by epochs
Train = Annotated[Logistic | Convolutional | Transformer | Pretrained, Field(discriminator="model")]
Curvature = Annotated[Exact | Factored, Field(discriminator="kind")]
Removal = Annotated[Trimming | TopShare, Field(discriminator="method")]


class DataSet(Section):
    """Hold the sections of one data set, one for each stage that has parameters."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Count
    prepare: Prepare
    train: Train
    curvature: Curvature
    influence: Influence
    subsets: Subsets | None  # null: none is trained on, so the verdict is not calibrated
    fidelity: Fidelity | None
    removal: Removal
    reweight: Reweight | None
    ceiling: Ceiling
    improve: Improve | None
    figures: Figures


class Params(Section):
    """Hold the whole file."""

    run: Run
    datasets: dict[str, DataSet]
