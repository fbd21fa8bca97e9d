"""Damage files of a finished pipeline one at a time: what does the next stage say, and what DVC?"""

import json
import random
from collections.abc import Callable, Iterator
from itertools import product, zip_longest
from typing import NamedTuple

from benchmarks.faults.workspace import Forks, Workspace, files, hashes, pipeline, run_apart

__all__ = ["Read", "by_dvc", "by_hand", "contents", "flipped", "read_by_stages", "restore"]

CHECKED = (".npz", ".safetensors")  # formats in which a checksum tells of a single bit


class Read(NamedTuple):
    """Hold a file, the output that it is a part of, and the first stage that reads it."""

    path: str
    out: str
    stage: str


def read_by_stages(space: Workspace, dataset: str) -> list[Read]:
    """Return every file that one stage reads of another, without pictures, which none decodes."""
    stages, read = pipeline(dataset), []
    for _, outs in stages.values():
        for out in outs:
            readers = [name for name, (deps, _) in stages.items() if out in deps]
            if readers and "figures" not in out:
                read += [Read(file, out, readers[0]) for file in files(space.folder, out)]
    return read


def truncated(content: bytes, rng: random.Random) -> bytes:
    """Return the first half."""
    return content[: len(content) // 2]


def emptied(content: bytes, rng: random.Random) -> bytes:
    """Return nothing."""
    return b""


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one random bit the other way round."""
    number, bit = rng.randrange(len(content)), rng.randrange(8)
    return content[:number] + bytes([content[number] ^ 1 << bit]) + content[number + 1 :]


Damage = Callable[[bytes, random.Random], bytes]
DAMAGES: tuple[Damage, ...] = (truncated, emptied, flipped)


def by_hand(
    forks: Forks, space: Workspace, dataset: str, flips: int, apart: int
) -> Iterator[tuple[str, str, str | None]]:
    """Give (damage, format, what was wrong) of each file and damage.

    A bit of each file is flipped ``flips`` times. Right is one line that names the file, or the
    same results as before: a bit of a date, say, changes none. The first ``apart`` stages run as
    ``python -m``, the others are forked.
    """
    rng, damages = random.Random(0), [truncated, emptied, *[flipped] * flips]
    whole = contents(space)
    cases = product(read_by_stages(space, dataset), damages)
    for number, (read, damage) in enumerate(cases):
        path = space.folder / read.path
        path.write_bytes(damage(whole[read.path], rng))
        run = run_apart if number < apart else forks
        ended = run(space.folder, f"stages.{read.stage}", dataset)
        path.write_bytes(whole[read.path])
        same = restore(space, whole)
        failure = None
        if not ended.one_line(read.path) and not (ended.code == 0 and same):
            unnoticed = "other results, unnoticed"
            outcome = f"exit {ended.code}: {ended.last_line()}" if ended.code else unnoticed
            failure = f"{damage.__name__} {read.path}, {read.stage}: {outcome}"
        yield damage.__name__, "arrays" if path.suffix in CHECKED else "text", failure


def contents(space: Workspace) -> dict[str, bytes]:
    """Return the bytes of every output."""
    return {name: (space.folder / name).read_bytes() for name in hashes(space.folder)}


def restore(space: Workspace, whole: dict[str, bytes]) -> bool:
    """Make every output as in ``whole``; return whether it was already."""
    now = contents(space)
    differ = [name for name in {*whole, *now} if whole.get(name) != now.get(name)]
    for name in differ:
        if name in whole:
            (space.folder / name).write_bytes(whole[name])
        else:
            (space.folder / name).unlink()
    return not differ


def by_dvc(space: Workspace, dataset: str) -> Iterator[str | None]:
    """Give what was wrong for each damage and file.

    Right is that ``dvc status`` names the file's output, and that ``dvc repro`` brings back its
    bytes.
    """
    whole, rng, known = contents(space), random.Random(0), read_by_stages(space, dataset)
    for damage in DAMAGES:
        unseen: set[str] = set()
        for reads in _one_of_each_output(known):
            _write(space, {read.path: damage(whole[read.path], rng) for read in reads})
            changed = changed_outputs(space)
            unseen |= {read.path for read in reads if read.out not in changed}
            _write(space, {read.path: whole[read.path] for read in reads})
        _write(space, {read.path: damage(whole[read.path], rng) for read in known})
        space.repro()
        now = contents(space)
        restore(space, whole)
        for read in known:
            lost = now.get(read.path) != whole[read.path]
            outcome = "not seen by dvc status" if read.path in unseen else "not restored"
            failed = read.path in unseen or lost
            yield f"{damage.__name__} {read.path}: {outcome}" if failed else None


def _one_of_each_output(known: list[Read]) -> Iterator[list[Read]]:
    """Give lists that hold a file of each output at most: the first ones, the second ones, ..."""
    by_output: dict[str, list[Read]] = {}
    for read in known:
        by_output.setdefault(read.out, []).append(read)
    for reads in zip_longest(*by_output.values()):
        yield [read for read in reads if read]


def _write(space: Workspace, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (space.folder / name).write_bytes(content)


def changed_outputs(space: Workspace) -> set[str]:
    """Return the outputs that ``dvc status`` calls changed."""
    status = json.loads(space("dvc", "status", "--json") or "{}")
    changes = [change for stage in status.values() for change in stage if isinstance(change, dict)]
    return {out for change in changes for out in change.get("changed outs", {})}
