"""``params.yaml`` read and checked: a mistake is one line with its key, what was expected and what came.

The file is parsed as YAML 1.2, because ``dvc exp run -S`` writes 1e-05, which YAML 1.1 reads as a string.
"""

import reprlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from catwise.config.schema import DataSet, Digits, ImageFolder, Logistic, Params, Synthetic, Tokens
from catwise.core.errors import InputError
from catwise.data.catalogue import CLASSES

__all__ = ["Params", "load", "parse"]


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks the whole file, so that a mistake anywhere stops the first stage that runs."""
    try:
        return parse(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: expected the parameters file; got none here") from None
    except OSError as error:
        raise InputError(f"{path}: expected the parameters file; got: {error.strerror}") from None


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
        raise InputError(
            f"{path}: expected YAML; got sections within sections without end"
        ) from None
    except (ReaderError, UnicodeDecodeError) as error:  # these know the position alone
        bad = (
            error.start
            if isinstance(error, UnicodeDecodeError)
            else len(content.decode()[: error.position].encode())
        )
        line = content[:bad].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line}: expected UTF-8 text; got byte {content[bad]:#04x}"
        ) from None
    except YAMLError as error:
        raise InputError(f"{path}: expected YAML; got: {' '.join(str(error).split())}") from None


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
            raise InputError(
                f"{path}: run.datasets.{position}: expected one of {known}; got {name!r}"
            )
        if name in params.run.datasets[:position]:
            raise InputError(
                f"{path}: run.datasets.{position}: expected each data set once; got {name!r} again"
            )
    for name, dataset in params.datasets.items():
        if not name.isidentifier():
            raise InputError(
                f"{path}: datasets: expected names of letters, digits and _; got {name!r}"
            )
        classes = getattr(dataset.prepare, "classes", None) or CLASSES[dataset.prepare.source]
        for position, chosen in enumerate(dataset.figures.classes):
            if chosen not in classes:
                key = f"datasets.{name}.figures.classes.{position}"
                raise InputError(
                    f"{path}: {key}: expected one of {', '.join(classes)}; got {chosen!r}"
                )
        _check_model(path, name, dataset)
        _check_cases(path, name, dataset, classes)
        _check_epochs(path, name, dataset)
        if dataset.train.model != "logistic" and dataset.curvature.kind == "exact":
            key = f"datasets.{name}.curvature.kind"
            raise InputError(
                f"{path}: {key}: expected a factored kind for a {dataset.train.model}; got 'exact'"
            )
        if dataset.train.model != "logistic" and "exact" in dataset.fidelity.kinds:
            key = f"datasets.{name}.fidelity.kinds"
            raise InputError(
                f"{path}: {key}: expected factored kinds for a {dataset.train.model}; got 'exact'"
            )


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
        raise InputError(
            f"{path}: {key}: expected {' or '.join(fitting)} for these data; got {model!r}"
        )


def _check_cases(path: Path, name: str, dataset: DataSet, classes: Sequence[str]) -> None:
    """A case starts from a checkpoint that the training keeps, and names classes that there are, but not all."""
    if dataset.reweight and isinstance(dataset.train, Logistic):
        key = f"datasets.{name}.reweight"
        raise InputError(
            f"{path}: {key}: expected null, as logistic regression has no epochs; got cases"
        )
    for position, case in enumerate(dataset.reweight.cases if dataset.reweight else []):
        key = f"datasets.{name}.reweight.cases.{position}"
        needed = (
            case.kind == "course_correction" or case.recipe == "as_trained"
        )  # the epoch after it
        last = dataset.train.epochs - needed  # type: ignore[union-attr]
        if case.epoch != "auto" and case.epoch > last:
            raise InputError(f"{path}: {key}.epoch: expected at most {last}; got {case.epoch}")
        targets = [] if case.targets == "auto" else case.targets
        if not set(targets) <= set(classes) or len(set(targets)) == len(classes):
            raise InputError(
                f"{path}: {key}.targets: expected some of {', '.join(classes)}; got {', '.join(targets)}"
            )


def _check_epochs(path: Path, name: str, dataset: DataSet) -> None:
    """Earlier checkpoints rise and come before the last; logistic regression has no other."""
    last = getattr(dataset.train, "epochs", 1)
    earlier = getattr(dataset.curvature, "earlier", [])
    if earlier != sorted({epoch for epoch in earlier if epoch < last}):
        key = f"datasets.{name}.curvature.earlier"
        raise InputError(
            f"{path}: {key}: expected rising epochs before the last, {last}; got {earlier}"
        )


def _one_line(path: Path, raw: Any, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(_real_keys(raw, first["loc"])) or "(top level)"
    what = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "missing":
            return f"{path}: {key}: expected this key; got none"
        case "extra_forbidden":
            return f"{path}: {key}: expected no such key; got {_short(first['input'])}"
        case _:
            what = what[0].lower() + what[1:]
            what = what.removeprefix("input should be ").removeprefix("expected ")
            return f"{path}: {key}: expected {what}; got {_short(first['input'])}"


def _real_keys(raw: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys of the file in ``location``, without the tags that a union adds to it (``curvature.ekfac.damping``)."""
    keys = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        is_here = (
            part in raw
            if isinstance(raw, dict)
            else isinstance(raw, list) and isinstance(part, int)
        )
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
