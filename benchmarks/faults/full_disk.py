"""Fill the disk while a stage works: a file system in memory, full but for a given room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.workspace import Forks, Workspace, files, pipeline

__all__ = ["failures", "mounted"]

SPARE = 2**26  # bytes beside what lies there, of which the ballast takes all but the room
PAGE = 4096  # bytes that the smallest file takes


def failures(
    forks: Forks, space: Workspace, dataset: str, parent: Path
) -> Iterator[tuple[str, str | None]]:
    """Give each stage, and what was wrong with no room, and with half of what its outputs take.

    Right is one line that names a file, no output that is not whole, and with room again the bytes
    of ``space``. The file system is mounted below ``parent``.
    """
    for stage, (deps, outs) in pipeline(dataset).items():
        names = [name for out in outs for name in files(space.folder, out)]
        reference = {name: (space.folder / name).read_bytes() for name in names}
        half = sum(-(-len(content) // PAGE) * PAGE for content in reference.values()) // 2
        given = [name for dep in deps for name in files(space.folder, dep)]
        size = SPARE + sum((space.folder / name).stat().st_size for name in given)
        for room in (0, half):
            with mounted(parent / "full", size) as folder:
                for name in {"params.yaml", *given}:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(space.folder / name, folder / name)
                failure = _failure(forks, folder, stage, dataset, reference, room)
            yield stage, failure and f"{stage} with {room} bytes: {failure}"


def _failure(
    forks: Forks, folder: Path, stage: str, dataset: str, reference: dict[str, bytes], room: int
) -> str | None:
    ballast = folder / "ballast"
    state = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - room)
    ended = forks(folder, f"stages.{stage}", dataset)
    written = {name: folder / name for name in reference if (folder / name).exists()}
    partial = [name for name, path in written.items() if path.read_bytes() != reference[name]]
    left = [path.name for path in folder.rglob("*.part")]
    if not ended.one_line("/", "mlflow.db"):
        return f"exit {ended.code}: {ended.last_line()}"
    if partial or left:
        return f"not whole: {', '.join([*partial, *left])}"
    ballast.unlink()
    again = forks(folder, f"stages.{stage}", dataset)
    if again.code:
        return f"with room again: {again.last_line()}"
    other = [name for name in reference if (folder / name).read_bytes() != reference[name]]
    return f"other bytes with room again: {', '.join(other)}" if other else None


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of ``size`` bytes in memory, which only root may do, for a while."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
