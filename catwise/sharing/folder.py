"""Write a diagnosis into a folder and read it back: a table, json, and safetensors."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import Tensor, nn

from catwise.core.errors import InputError, in_one_line, optional_packages
from catwise.core.fingerprint import checksum
from catwise.core.losses import Logits, Loss, with_logits
from catwise.improvement.first_calls import FEW, named_inputs
from catwise.influence.curvature import from_tensors
from catwise.influence.samples import Samples
from catwise.sharing.findings import Findings
from catwise.sharing.frames import INFLUENCE, to_frame
from catwise.sharing.questions import Fitted, require_model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load", "save", "write_text"]

RECORD, FACTORS = "diagnosis.json", "factors.safetensors"
TABLES = ("samples.parquet", "samples.csv")
IN_TABLE = ("p_nk", "weights_n", "labels_n", "predicted_n")  # fields that are columns
Write = Callable[[Path], object]


def save(diagnosis: Findings, path: str | Path) -> None:
    """Write the files that ``Diagnosis.save`` describes, all of them or none."""
    table = to_frame(diagnosis, None)
    name = TABLES[0] if find_spec("pyarrow") else TABLES[1]
    record = {
        field.name: plain(getattr(diagnosis, field.name))
        for field in fields(diagnosis)
        if field.name not in (*IN_TABLE, "fitted")
    }
    words = {"sentence": diagnosis.verdict.text, "samples": name, "fingerprint": None}
    record = words | {"inputs": None, "statistics": None} | record
    files: dict[str, Write] = {
        name: lambda file: (
            table.to_parquet(file, index=False)
            if name == TABLES[0]
            else table.to_csv(file, index=False)
        )
    }
    if fitted := diagnosis.fitted:
        with optional_packages("save"):
            from safetensors.torch import save as to_bytes
        tensors = {
            key: value.detach().cpu().contiguous()
            for key, value in fitted.curvature.tensors().items()
        }
        words = {"sha256": checksum(tensors), "model": fitted.fingerprint}
        content = to_bytes(tensors, words)  # save_file fails with no OSError on a full disk
        files[FACTORS] = lambda file: file.write_bytes(content)
        record["fingerprint"], record["inputs"] = fitted.fingerprint, _inputs_checksum(fitted.train)
        record["statistics"] = fitted.statistics
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    files[RECORD] = lambda file: file.write_text(text, encoding="utf-8")
    write_all(Path(path), files)


def write_text(path: str | Path, text: str) -> None:
    """Write one file whole or not at all."""
    path = Path(path)
    write_all(path.parent, {path.name: lambda file: file.write_text(text, encoding="utf-8")}, path)


def write_all(folder: Path, files: dict[str, Write], given: Path | None = None) -> None:
    """Write all files under other names, then move them; what fails leaves the old ones.

    ``given`` is the path that the user gave, by default the folder.
    """
    scratch = {name: folder / f".{os.getpid()}.{name}" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in files.items():
            write(scratch[name])
        for name in files:
            os.replace(scratch[name], folder / name)
    except OSError as error:
        problem = error.strerror or error
        raise InputError(f"{given or folder}: expected to write there; got: {problem}") from None
    finally:
        for file in scratch.values():
            if file.exists():
                file.unlink()


def load(
    path: str | Path,
    model: nn.Module | None,
    train: Samples | None,
    loss: Loss,
    logits: Logits,
    size: int,
) -> dict[str, Any]:
    """Read the fields of a diagnosis.

    Raises InputError for a file that is missing or damaged, and for a model or for training samples
    other than those of the diagnosis.
    """
    folder = Path(path)
    with _reading(folder / RECORD):
        record = {"accuracy_k": None} | json.loads((folder / RECORD).read_text(encoding="utf-8"))
        hints = get_type_hints(Findings)
        in_record = [name for name in hints if name not in (*IN_TABLE, "fitted")]
        known = {name: restored(hints[name], record[name]) for name in in_record}
        names = list(known["label_names"])
        fingerprint, file = record["fingerprint"], folder / record["samples"]
        inputs = record.get("inputs")  # older ones have none
        statistics = record.get("statistics") or "moving"
    with _reading(file):
        table = _read_table(file)
        known["p_nk"] = table[[f"{INFLUENCE}{name}" for name in known["ceiling"].classes]].to_numpy(
            np.float64
        )
        known["weights_n"] = table["weight"].to_numpy(np.float64)
        for field, column in (("labels_n", "label"), ("predicted_n", "predicted")):
            known[field] = np.array([names.index(name) for name in table[column]])
    if model is not None and train is not None:
        tensors, fitted_at = _read_factors(folder / FACTORS)
        if fitted_at != fingerprint:
            raise InputError(
                f"{folder / FACTORS}: expected the factors of {RECORD} beside it; got others"
            )
        require_model(model, fitted_at)
        if not np.array_equal(train.labels.cpu().numpy(), known["labels_n"]):
            raise InputError(
                f"train: expected the {len(known['labels_n'])} training samples of the diagnosis; "
                f"got {len(train)} with other labels"
            )
        if inputs not in (None, _inputs_checksum(train)):
            raise InputError(
                "train: expected the training samples of the diagnosis; got others of these labels"
            )
        device = next(model.parameters()).device
        curvature = from_tensors({name: value.to(device) for name, value in tensors.items()})
        loss = with_logits(loss, logits)
        how: dict[str, Any] = {"logits": logits, "statistics": statistics}
        known["fitted"] = Fitted(model, train, curvature, fitted_at, loss, size, **how)
    return known


def _inputs_checksum(samples: Samples) -> str:
    """Return the checksum of the inputs of the first samples."""
    inputs = enumerate(named_inputs(samples.rows(FEW)))
    return checksum({f"{number} {key}": part for number, (key, part) in inputs})


def _read_table(path: Path) -> "pd.DataFrame":
    """Read the table of the samples; no class name is taken for a missing value."""
    with optional_packages("load_diagnosis"):
        import pandas as pd
    if path.name == TABLES[0]:
        try:
            return pd.read_parquet(path)
        except ImportError:
            raise InputError(
                f"{path}: expected pyarrow, which reads it; got none; pip install pyarrow"
            ) from None
    return pd.read_csv(path, dtype=str, keep_default_na=False)  # numbers are read to the last bit


def _read_factors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read the tensors of a curvature, and the fingerprint of its model."""
    with optional_packages("load_diagnosis"):
        from safetensors import SafetensorError, safe_open
    with _reading(path, SafetensorError), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        words = file.metadata() or {}
        if words.get("sha256") != checksum(tensors):
            raise ValueError("its tensors do not fit its checksum")
        return tensors, words["model"]


@contextmanager
def _reading(path: Path, *damage: type[Exception]) -> Iterator[None]:
    kinds: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, AttributeError)
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: expected a file of a saved diagnosis; got none") from None
    except InputError:
        raise
    except (*kinds, *damage) as error:
        raise InputError(
            f"{path}: expected a saved diagnosis; got a damaged one: {in_one_line(error)}"
        ) from None


def plain(value: Any) -> Any:
    """Return a value in the types of json; a number that is not finite becomes its name."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def restored(kind: Any, value: Any) -> Any:
    """Undo ``plain``, for a value whose type was ``kind``.

    >>> restored(tuple[float, ...], ["inf", 1])
    (inf, 1.0)
    """
    if value is None:
        return None
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return restored(next(arm for arm in inner if arm is not type(None)), value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: restored(hints[name], value[name]) for name in hints if name in value})
    if kind is np.ndarray:
        return np.array(value, dtype=np.float64)
    if origin in (tuple, list):
        return origin(restored(inner[0], part) for part in value)
    if origin is dict:
        return {key: restored(inner[1], part) for key, part in value.items()}
    return float(value) if kind is float else value
