"""A disk that is full while a stage works: a file system in memory, filled up to the room that is left to the stage."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.workspace import Forks, Workspace, files, pipeline

SPARE = 2**26  # bytes beside what lies there, of which the ballast takes all but the room
PAGE = 4096  # what the smallest file takes


def starved(
    forks: Forks, space: Workspace, dataset: str, parent: Path
) -> Iterator[tuple[str, str | None]]:
    """The name of each stage, and what was wrong, with no room at all and with half of what its outputs take.

    Right: one line that names a file, no output that is not whole, and with room again the bytes of ``space``.
    """
    for stage, (deps, outs) in pipeline(dataset).items():
        reference = {
            name: (space.folder / name).read_bytes()
            for out in outs
            for name in files(space.folder, out)
        }
        half = sum(-(-len(content) // PAGE) * PAGE for content in reference.values()) // 2
        for room in (0, half):
            given = [name for dep in deps for name in files(space.folder, dep)]
            size = SPARE + sum((space.folder / name).stat().st_size for name in given)
            with mounted(parent / "full", size) as folder:
                for name in ["params.yaml", *given]:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(space.folder / name, folder / name)
                wrong = _starved(forks, folder, stage, dataset, reference, room)
            yield stage, wrong and f"{stage} with {room} bytes: {wrong}"


def _starved(
    forks: Forks, folder: Path, stage: str, dataset: str, reference: dict[str, bytes], room: int
) -> str | None:
    ballast = folder / "ballast"
    state = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - room)
    ended = forks(folder, f"stages.{stage}", dataset)
    there = {name: folder / name for name in reference if (folder / name).exists()}
    partial = [name for name, path in there.items() if path.read_bytes() != reference[name]]
    left = [path.name for path in folder.rglob("*.part")]
    if not ended.one_line("/", "mlflow.db"):
        return f"exit {ended.code}: {(ended.said.splitlines() or ['nothing said'])[-1][:160]}"
    if partial or left:
        return f"not whole: {', '.join([*partial, *left])}"
    ballast.unlink()
    again = forks(folder, f"stages.{stage}", dataset)
    if again.code:
        return f"with room again: {again.said[-160:]}"
    other = [name for name in reference if (folder / name).read_bytes() != reference[name]]
    return f"other bytes with room again: {', '.join(other)}" if other else None


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes in memory; only root may make one."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
