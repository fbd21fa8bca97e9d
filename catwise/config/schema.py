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
)
from catwise.config.prepare import Prepare

__all__ = ["Curvature", "DataSet", "Params", "Removal", "Train"]

Kind = Literal["exact", "ekfac", "ekfac_linear", "kfac", "diagonal", "identity"]
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
    refresh: Annotated[int, Field(ge=0)]  # batches; 0: none


class Transformer(Epochs):
    """Hold a small BERT from scratch."""

    model: Literal["bert"]
    width: Annotated[int, Field(ge=32, multiple_of=32)]
    layers: Count


class Pretrained(Epochs):
    """Hold BERT with its own weights."""

    model: Literal["bert-base-cased"]


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
    """Hold the bins of the validation samples, and how the passes over the data are made."""

    bins: Annotated[int, Field(ge=3)]
    seed: Seed
    batch_size: Count
    precision: Precision


class Fidelity(Section):
    """Hold which kinds of curvature are scored, and on how many retrainings."""

    kinds: Annotated[list[Kind], Field(min_length=1)]
    halves: Annotated[int, Field(ge=10)]
    removals: Annotated[int, Field(ge=0)]
    seeds: Count
    draw: Draw
    samples: list[Count]
    embeddings: bool
    repeats: Count
    damping: Positive
    seed: Seed
    batch_size: Count


class Trimming(Section):
    """Hold the rounds of iterated trimming (Figure 5)."""

    method: Literal["trimming"]
    max_rounds: Count
    seeds: Seeds


class TopShare(Section):
    """Hold how many samples are removed, and how often (Figures 3 and 4)."""

    method: Literal["top_share"]
    share: Annotated[float, Field(gt=0, lt=1)]
    seeds: Seeds
    controls: Count


class Steps(Section):
    """Hold the recipe of the extra epoch: a constant learning rate, the training's optimiser."""

    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative


class Budget(Section):
    """Hold what a case gets that is shown once: these, the first search and the first direction."""

    generations: Count
    population: Population
    seeds: Seeds


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

    anchor: Literal["start", "end"]
    rule: Literal["printed", "beta"]
    program: Literal["linear", "quadratic"]


class Direction(Section):
    """Hold how that P is measured of which every column is raised at once."""

    anchor: Literal["start", "end"]
    filter: Literal["damped", "horizon"]
    query: Literal["loss", "probability", "margin"]


class Reweight(Section):
    """Hold the cases of Table 1, and the methods that find weights for them."""

    cases: Annotated[list[Case], Field(min_length=1)]
    generations: Count
    population: Population
    seeds: Seeds
    w_max: Annotated[float, Field(ge=1)]
    slack: Positive
    trust: Positive
    searches: Annotated[list[Search], Field(min_length=1)]
    directions: Annotated[list[Direction], Field(min_length=1)]
    sizes: Annotated[list[Positive], Field(min_length=1)]
    tradeoff: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def no_method_is_named_twice(self) -> "Reweight":
        for methods in (self.searches, self.directions):
            if len(set(methods)) < len(methods):
                raise ValueError("each search and each direction once")
        return self


class Ceiling(Section):
    """Hold how the null of the ceiling's check is drawn."""

    permutations: Annotated[int, Field(ge=20)]
    seed: Seed


class Figures(Section):
    """Hold the two classes of the influence plane."""

    classes: Annotated[list[str], Field(min_length=2, max_length=2)]


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
    fidelity: Fidelity
    removal: Removal
    reweight: Reweight | None
    ceiling: Ceiling
    figures: Figures


class Params(Section):
    """Hold the whole file."""

    run: Run
    datasets: dict[str, DataSet]
