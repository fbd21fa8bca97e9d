"""Files of a finished pipeline damaged one at a time: what the next stage says when run by hand, and what DVC says."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.faults.workspace import Forks, Workspace, alone, files, hashes, pipeline

CHECKED = (".npz", ".safetensors")  # formats in which a checksum tells of a single bit


class Read(NamedTuple):
    """A file that one stage writes as a part of ``out``, and the first stage that reads it."""

    path: str
    out: str
    stage: str


def read_by_stages(space: Workspace, dataset: str) -> list[Read]:
    """Pictures are not among them: ``track`` logs them as they are."""
    stages, found = pipeline(dataset), []
    for _, outs in stages.values():
        for out in outs:
            readers = [name for name, (deps, _) in stages.items() if out in deps]
            if readers and "figures" not in out:
                found += [Read(file, out, readers[0]) for file in files(space.folder, out)]
    return found


def truncated(content: bytes, rng: random.Random) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes, rng: random.Random) -> bytes:
    return b""


def flipped(content: bytes, rng: random.Random) -> bytes:
    """One bit of it the other way round."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


Damage = Callable[[bytes, random.Random], bytes]
KINDS: tuple[Damage, ...] = (truncated, emptied, flipped)


def by_hand(
    forks: Forks, space: Workspace, dataset: str, flips: int, apart: int
) -> Iterator[tuple[str, str, str | None]]:
    """(damage, format, what was wrong) of each file and damage; the first ``apart`` as ``python -m``.

    Right is one line that names the file, or to go on to the same bytes as before: a bit of a date, say, is no matter.
    """
    rng, cases = random.Random(0), [truncated, emptied, *[flipped] * flips]
    whole = contents(space)
    for number, (read, damage) in enumerate(
        (read, damage) for read in read_by_stages(space, dataset) for damage in cases
    ):
        path = space.folder / read.path
        path.write_bytes(damage(whole[read.path], rng))
        ended = (alone if number < apart else forks)(space.folder, f"stages.{read.stage}", dataset)
        path.write_bytes(whole[read.path])
        same = restored(space, whole)
        wrong = None
        if not ended.one_line(read.path) and not (ended.code == 0 and same):
            last = (ended.said.splitlines() or ["nothing said"])[-1][:160]
            came = "other results, unnoticed" if ended.code == 0 else f"exit {ended.code}: {last}"
            wrong = f"{damage.__name__} {read.path}, {read.stage}: {came}"
        yield damage.__name__, "text" if path.suffix not in CHECKED else "arrays", wrong


def contents(space: Workspace) -> dict[str, bytes]:
    return {name: (space.folder / name).read_bytes() for name in hashes(space.folder)}


def restored(space: Workspace, whole: dict[str, bytes]) -> bool:
    """Whether everything was as in ``whole``; it is afterwards."""
    differ = {name for name, content in contents(space).items() if whole.get(name) != content} | {
        name for name in whole if not (space.folder / name).exists()
    }
    for name in differ:
        if name in whole:
            (space.folder / name).write_bytes(whole[name])
        else:
            (space.folder / name).unlink()
    return not differ


def by_dvc(space: Workspace, dataset: str) -> Iterator[tuple[str, str, str | None]]:
    """As above: ``dvc status`` has to tell of each file, and ``dvc repro`` to restore its bytes."""
    whole, rng, known = contents(space), random.Random(0), read_by_stages(space, dataset)
    for damage in KINDS:
        unseen = set()
        place: Counter[str] = Counter()
        for read in known:  # the first file of every output, then the second of those that have one
            place[read.out] += 1
        for turn in range(max(place.values())):
            hit = [
                read
                for out in place
                for read in [read for read in known if read.out == out][turn : turn + 1]
            ]
            for read in hit:
                (space.folder / read.path).write_bytes(damage(whole[read.path], rng))
            modified = changed_outs(space)
            unseen |= {read.path for read in hit if read.out not in modified}
            for read in hit:
                (space.folder / read.path).write_bytes(whole[read.path])
        for read in known:
            (space.folder / read.path).write_bytes(damage(whole[read.path], rng))
        space.repro()
        lost = {
            read.path
            for read in known
            if (space.folder / read.path).read_bytes() != whole[read.path]
        }
        restored(space, whole)
        for read in known:
            wrong = (
                "not seen by dvc status"
                if read.path in unseen
                else "not restored"
                if read.path in lost
                else None
            )
            yield damage.__name__, "dvc", wrong and f"{damage.__name__} {read.path}: {wrong}"


def changed_outs(space: Workspace) -> set[str]:
    said = json.loads(space("dvc", "status", "--json") or "{}")
    changes = [change for stage in said.values() for change in stage if isinstance(change, dict)]
    return {out for change in changes for out in change.get("changed outs", {})}
