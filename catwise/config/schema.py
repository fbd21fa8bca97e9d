"""What may stand in ``params.yaml``: every key, its type and its range; no key has a default here."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Curvature", "DataSet", "Params", "Prepare", "Removal", "Run", "Train"]

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Population = Annotated[int, Field(ge=8, multiple_of=4)]
Seeds = Annotated[int, Field(ge=2)]  # of a result that has an interval
Precision = Literal["float32", "tf32", "bfloat16"]
Kind = Literal["exact", "ekfac", "ekfac_linear", "kfac", "diagonal", "identity"]


class Section(BaseModel):
    """A mapping in which every key is known, present, of the right type, finite and in range."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Run(Section):
    datasets: Annotated[list[str], Field(min_length=1)]


class Synthetic(Section):
    source: Literal["linear", "nonlinear"]
    seed: Seed
    train: Count
    flips: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]
    validation_a: Count
    validation_b: Count
    test: Count

    @model_validator(mode="after")
    def flips_fit(self) -> "Synthetic":
        if max(self.flips) > self.train:
            raise ValueError(f"flips at most train = {self.train} per class")
        return self


class Digits(Section):
    source: Literal["digits"]
    seed: Seed
    flip_share: Share
    validation_a: Count
    validation_b: Count
    test: Count

    @model_validator(mode="after")
    def something_is_left_to_train_on(self) -> "Digits":
        if self.validation_a + self.validation_b + self.test > 1697:
            raise ValueError(
                "validation_a + validation_b + test of at most 1697 of the 1797 images"
            )
        return self


class Subset(Section):
    """Which samples of a data set that comes as files: ``all`` is what is left."""

    seed: Seed
    train: Count | Literal["all"]
    flip_share: Share
    validation_a: Count
    validation_b: Count
    test: Count | Literal["all"]


class Images(Subset):
    source: Literal["cifar10", "stl10"]


class Tokens(Subset):
    max_length: Annotated[int, Field(ge=4)]
    vocabulary: Literal["learned", "bert-base-cased"]
    vocabulary_size: Count
    weights: Literal["none", "bert-base-cased"]  # which pretrained ones are kept beside the data

    @model_validator(mode="after")
    def a_pretrained_vocabulary_has_its_size(self) -> "Tokens":
        if self.vocabulary == "bert-base-cased" and self.vocabulary_size != 28996:
            raise ValueError("vocabulary_size of 28996 for bert-base-cased")
        if self.weights != "none" and self.vocabulary != self.weights:
            raise ValueError(f"vocabulary {self.weights} with weights {self.weights}")
        return self


class Texts(Tokens):
    source: Literal["emotion", "ag_news"]


class Own(Subset):
    """The user's own files: the names of the classes are the folders, or the labels of the CSV."""

    path: str
    classes: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2)]
    test: Count  # a number here: what is left is trained on

    @model_validator(mode="after")
    def no_class_is_named_twice(self) -> "Own":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("each class once")
        return self


class ImageFolder(Own):
    source: Literal["imagefolder"]
    size: Count
    colour: Literal["grey", "rgb"]


class Csv(Own, Tokens):
    source: Literal["csv"]


class Logistic(Section):
    model: Literal["logistic"]
    l2: NonNegative


class Epochs(Section):
    """The recipe that ``catwise.training.epochs`` follows."""

    seed: Seed
    epochs: Count
    batch_size: Count
    optimizer: Literal["sgd", "adamw"]
    learning_rate: Positive
    weight_decay: NonNegative
    precision: Precision
    compile: bool


class Convolutional(Epochs):
    model: Literal["cnn", "resnet9"]
    width: Count
    augment: bool
    channels_last: bool


class Transformer(Epochs):
    model: Literal["bert"]
    width: Annotated[int, Field(ge=32, multiple_of=32)]
    layers: Count


class Pretrained(Epochs):
    model: Literal["bert-base-cased"]


class Exact(Section):
    kind: Literal["exact"]


class Factored(Section):
    kind: Literal["ekfac", "kfac", "diagonal", "identity", "kronfluence"]
    earlier: list[Count]  # epochs before the last
    damping: Positive
    draw: Literal["importance", "balanced", "every"]
    samples: Count | Literal["all"]
    embeddings: bool
    seed: Seed
    batch_size: Count
    precision: Precision


class Influence(Section):
    bins: Annotated[int, Field(ge=3)]
    seed: Seed
    batch_size: Count
    precision: Precision


class Fidelity(Section):
    kinds: Annotated[list[Kind], Field(min_length=1)]
    halves: Annotated[int, Field(ge=10)]
    seeds: Count
    draw: Literal["importance", "balanced", "every"]
    samples: list[Count]
    embeddings: bool
    repeats: Count
    damping: Positive
    seed: Seed
    batch_size: Count


class Trimming(Section):
    method: Literal["trimming"]
    max_rounds: Count
    seeds: Annotated[int, Field(ge=2)]


class TopShare(Section):
    method: Literal["top_share"]
    share: Annotated[float, Field(gt=0, lt=1)]
    seeds: Annotated[int, Field(ge=2)]
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

    def within(self, budget: Budget | Literal["full"]) -> "Reweight":
        """Return this section at the expense that a case gets."""
        if budget == "full":
            return self
        methods = {"searches": self.searches[:1], "directions": self.directions[:1]}
        return self.model_copy(update={**budget.model_dump(), **methods})


class Ceiling(Section):
    permutations: Annotated[int, Field(ge=20)]
    seed: Seed


class Figures(Section):
    classes: Annotated[list[str], Field(min_length=2, max_length=2)]


Prepare = Synthetic | Digits | Images | Texts | ImageFolder | Csv
Train = Logistic | Convolutional | Transformer | Pretrained
Curvature = Exact | Factored
Removal = Trimming | TopShare


class DataSet(Section):
    """The sections of one data set: one for each stage that has parameters."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Count
    prepare: Annotated[Prepare, Field(discriminator="source")]
    train: Annotated[Train, Field(discriminator="model")]
    curvature: Annotated[Curvature, Field(discriminator="kind")]
    influence: Influence
    fidelity: Fidelity
    removal: Annotated[Removal, Field(discriminator="method")]
    reweight: Reweight | None
    ceiling: Ceiling
    figures: Figures


class Params(Section):
    run: Run
    datasets: dict[str, DataSet]
