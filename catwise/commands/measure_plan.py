"""Print what measuring a data set is made of, what of it is done, and the hours that are left."""

from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

from catwise.config.schema import DataSet
from catwise.core.device import torch_device
from catwise.core.errors import InputError
from catwise.experiments.plan import Pieces, Speed, hours_left, pieces, time_steps
from catwise.experiments.resume import kept_results
from catwise.pipeline.files import read_json
from catwise.pipeline.workers import worker_count

__all__ = ["show"]


def show(dataset: str, parameters: DataSet, work: Path, finished: Sequence[str]) -> None:
    """Print a line for each long stage; nothing is started but a few steps that are timed.

    ``work`` is the folder in which the data set is measured, and ``finished`` names the stages that
    are done there. Pieces that are kept count as done whatever parameters they are of.
    """
    path = work / "data" / dataset / "card.json"
    if not path.exists():
        raise InputError(
            f"{path}: expected the data, to count and time pieces; got none;"
            f" python -m catwise measure {dataset} --stop prepare"
        )
    card = read_json(path)
    counts = {split: sum(count_k) for split, count_k in card["counts"].items()}
    planned = pieces(parameters, counts, len(card["classes"]))
    with chdir(work):
        speed = time_steps(dataset, parameters)
    workers = worker_count(torch_device(parameters.device), parameters.threads)
    total = 0.0
    print(f"{'stage':<10}{'pieces':>24}{'done':>8}{'seconds each':>22}{'hours left':>12}")
    for piece in planned:
        hours, line = _line(dataset, piece, speed, workers, piece.stage in finished)
        total += hours
        print(line)
    print(
        f"{total:.1f} hours left with {workers} worker{'s' if workers > 1 else ''} on this machine,"
        " beside curvature, influence and the programs"
    )


def _line(
    dataset: str, piece: Pieces, speed: Speed, workers: int, finished: bool
) -> tuple[float, str]:
    """Return the hours left for a stage, and the line about it."""
    kept = kept_results(piece.stage, dataset)
    seconds = [each for _, each in kept]
    done = len(kept)
    if piece.stage == "train":  # one file, which is replaced after each epoch
        done = max((record["history"][-1]["epoch"] for record, _ in kept), default=0)
    done = piece.count if finished else min(done, piece.count)
    hours = 0.0 if finished else hours_left(piece, done, seconds, speed, workers)
    each = hours_left(piece, piece.count - 1, seconds, speed, 1) * 3600
    source = "measured" if seconds else "from a step"
    count = f"{'at most ' if piece.at_most else ''}{piece.count:,} {piece.unit}"
    each_text = "" if finished else f"{each:,.1f}, {source}"
    return hours, f"{piece.stage:<10}{count:>24}{done:>8,}{each_text:>22}{hours:>12.1f}"
