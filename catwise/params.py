"""The schema of ``params.yaml``: every key, its type and its range; no key has a default here.

The file is parsed as YAML 1.2, because ``dvc exp run -S`` writes 1e-05, which YAML 1.1 reads as a string.
"""

import reprlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from catwise.datasets import CLASSES
from catwise.errors import InputError

__all__ = ["DataSet", "Params", "Run", "load", "parse"]

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
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
            raise ValueError("validation_a + validation_b + test of at most 1697 of the 1797 images")
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
    """The recipe that ``catwise.training`` follows."""

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
    """The recipe of the extra epoch, at a constant learning rate and with the optimiser of the training."""

    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative


class Case(Section):
    kind: Literal["direct_improvement", "course_correction"]
    epoch: Count | Literal["auto"]
    targets: Annotated[list[str], Field(min_length=1)] | Literal["auto"]
    recipe: Steps | Literal["as_trained"]

    @model_validator(mode="after")
    def an_epoch_to_improve_is_given(self) -> "Case":
        if self.epoch == "auto" and self.kind == "direct_improvement":
            raise ValueError("a number as epoch of direct_improvement")
        return self


class Search(Section):
    """How Algorithm 1 finds weights: where P is taken, the right-hand side of line 4, and its objective."""

    anchor: Literal["start", "end"]
    rule: Literal["printed", "beta"]
    program: Literal["linear", "quadratic"]


class Direction(Section):
    """How P is measured of which every column is raised at once."""

    anchor: Literal["start", "end"]
    filter: Literal["damped", "horizon"]
    measure: Literal["loss", "probability", "margin"]


class Reweight(Section):
    cases: Annotated[list[Case], Field(min_length=1)]
    generations: Count
    population: Annotated[int, Field(ge=8, multiple_of=4)]
    seeds: Annotated[int, Field(ge=2)]
    w_max: Annotated[float, Field(ge=1)]
    slack: Positive
    trust: Positive
    searches: Annotated[list[Search], Field(min_length=1)]
    directions: Annotated[list[Direction], Field(min_length=1)]
    sizes: Annotated[list[Positive], Field(min_length=1)]
    tradeoff: Annotated[int, Field(ge=2)]


class Ceiling(Section):
    permutations: Annotated[int, Field(ge=20)]
    seed: Seed


class Figures(Section):
    classes: Annotated[list[str], Field(min_length=2, max_length=2)]


class DataSet(Section):
    """The sections of one data set: one for each stage that has parameters."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Count
    prepare: Annotated[Synthetic | Digits | Images | Texts | ImageFolder | Csv, Field(discriminator="source")]
    train: Annotated[Logistic | Convolutional | Transformer | Pretrained, Field(discriminator="model")]
    curvature: Annotated[Exact | Factored, Field(discriminator="kind")]
    influence: Influence
    fidelity: Fidelity
    removal: Annotated[Trimming | TopShare, Field(discriminator="method")]
    reweight: Reweight | None
    ceiling: Ceiling
    figures: Figures


class Params(Section):
    run: Run
    datasets: dict[str, DataSet]


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks the whole file, so that a mistake anywhere stops the first stage that runs."""
    try:
        return parse(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: expected the parameters file, found none here") from None
    except OSError as error:
        raise InputError(f"{path}: expected the parameters file; came: {error.strerror}") from None


def parse(text: bytes, path: Path) -> Params:
    """``text`` checked. Raises InputError with one line: the key in ``path``, what was expected and what came."""
    raw = _parsed(text, path)
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise InputError(_one_line(path, raw, error)) from None
    _check_names(path, params)
    return params


def _parsed(content: bytes, path: Path) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    try:
        return yaml.load(content.decode())
    except RecursionError:
        raise InputError(f"{path}: expected YAML, came sections within sections without end") from None
    except (ReaderError, UnicodeDecodeError) as error:  # these know the position alone
        bad = error.start if isinstance(error, UnicodeDecodeError) else len(content.decode()[: error.position].encode())
        line = content[:bad].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: expected UTF-8 text, came byte {content[bad]:#04x}") from None
    except YAMLError as error:
        raise InputError(f"{path}: expected YAML, came: {' '.join(str(error).split())}") from None


class Constructor(SafeConstructor):
    """Says the line of a value that it cannot make, such as ``!!int ten`` or a date in a thirteenth month."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError) as error:
            raise ConstructorError(problem=str(error), problem_mark=node.start_mark) from None


def _check_names(path: Path, params: Params) -> None:
    """What the types cannot say: names that must exist elsewhere."""
    for position, name in enumerate(params.run.datasets):
        if name not in params.datasets:
            known = ", ".join(params.datasets)
            raise InputError(f"{path}: run.datasets.{position}: expected one of {known}; came {name!r}")
        if name in params.run.datasets[:position]:
            raise InputError(f"{path}: run.datasets.{position}: expected each data set once; came {name!r} again")
    for name, dataset in params.datasets.items():
        if not name.isidentifier():
            raise InputError(f"{path}: datasets: expected names of letters, digits and _; came {name!r}")
        classes = getattr(dataset.prepare, "classes", None) or CLASSES[dataset.prepare.source]
        for position, chosen in enumerate(dataset.figures.classes):
            if chosen not in classes:
                key = f"datasets.{name}.figures.classes.{position}"
                raise InputError(f"{path}: {key}: expected one of {', '.join(classes)}; came {chosen!r}")
        _check_model(path, name, dataset)
        _check_cases(path, name, dataset, classes)
        _check_epochs(path, name, dataset)
        if dataset.train.model != "logistic" and dataset.curvature.kind == "exact":
            key = f"datasets.{name}.curvature.kind"
            raise InputError(f"{path}: {key}: expected a factored kind for a {dataset.train.model}; came 'exact'")
        if dataset.train.model != "logistic" and "exact" in dataset.fidelity.kinds:
            key = f"datasets.{name}.fidelity.kinds"
            raise InputError(f"{path}: {key}: expected factored kinds for a {dataset.train.model}; came 'exact'")


def _check_model(path: Path, name: str, dataset: DataSet) -> None:
    """A model takes what ``prepare`` makes: points, grey or coloured images, texts with or without weights to start."""
    match dataset.prepare:
        case Synthetic():
            fitting = ["logistic"]
        case Tokens(weights=weights):
            fitting = ["bert", "bert-base-cased"] if weights != "none" else ["bert"]
        case Digits() | ImageFolder(colour="grey"):
            fitting = ["cnn"]
        case _:
            fitting = ["resnet9"]
    if (model := dataset.train.model) not in fitting:
        key = f"datasets.{name}.train.model"
        raise InputError(f"{path}: {key}: expected {' or '.join(fitting)} for these data; came {model!r}")


def _check_cases(path: Path, name: str, dataset: DataSet, classes: Sequence[str]) -> None:
    """A case starts from a checkpoint that the training keeps, and names classes that there are, but not all."""
    if dataset.reweight and isinstance(dataset.train, Logistic):
        key = f"datasets.{name}.reweight"
        raise InputError(f"{path}: {key}: expected null, as logistic regression has no epochs; came cases")
    for position, case in enumerate(dataset.reweight.cases if dataset.reweight else []):
        key = f"datasets.{name}.reweight.cases.{position}"
        needed = case.kind == "course_correction" or case.recipe == "as_trained"  # the epoch after it
        last = dataset.train.epochs - needed  # type: ignore[union-attr]
        if case.epoch != "auto" and case.epoch > last:
            raise InputError(f"{path}: {key}.epoch: expected at most {last}; came {case.epoch}")
        targets = [] if case.targets == "auto" else case.targets
        if not set(targets) <= set(classes) or len(set(targets)) == len(classes):
            raise InputError(f"{path}: {key}.targets: expected some of {', '.join(classes)}; came {', '.join(targets)}")


def _check_epochs(path: Path, name: str, dataset: DataSet) -> None:
    """Earlier checkpoints rise and come before the last; logistic regression has no other."""
    last = getattr(dataset.train, "epochs", 1)
    earlier = getattr(dataset.curvature, "earlier", [])
    if earlier != sorted({epoch for epoch in earlier if epoch < last}):
        key = f"datasets.{name}.curvature.earlier"
        raise InputError(f"{path}: {key}: expected rising epochs before the last, {last}; came {earlier}")


def _one_line(path: Path, raw: Any, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(_real_keys(raw, first["loc"])) or "(top level)"
    what = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "missing":
            return f"{path}: {key}: expected this key, it is missing"
        case "extra_forbidden":
            return f"{path}: {key}: expected no such key; came {_short(first['input'])}"
        case _:
            what = what[0].lower() + what[1:]
            what = what.removeprefix("input should be ").removeprefix("expected ")
            return f"{path}: {key}: expected {what}; came {_short(first['input'])}"


def _real_keys(raw: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys of the file in ``location``, without the tags that a union adds to it (``curvature.ekfac.damping``)."""
    keys = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        is_here = part in raw if isinstance(raw, dict) else isinstance(raw, list) and isinstance(part, int)
        if not is_here and not (isinstance(raw, dict) and is_last):
            continue
        keys.append(" ".join(str(part).split()))
        raw = raw[part] if is_here else None
    return keys


def _short(value: Any) -> str:
    """Its beginning; aliases of aliases may stand for more than fits into memory."""
    shown = reprlib.Repr()
    shown.maxlevel, shown.maxstring, shown.maxlong, shown.maxother = 3, 200, 200, 200
    text = " ".join(shown.repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


if __name__ == "__main__":
    try:
        load()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
