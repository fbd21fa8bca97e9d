"""What the tests share: seeded generators, and an interpreter that has imported the project."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.faults.workspace import Forks

torch.set_num_threads(1)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file that is slow as a whole where slow tests are left out."""
    if config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker waits for another in the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


def pytest_collection_finish() -> None:
    """Keep the imported modules out of garbage collections: kronfluence asks for many of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Runs ``python -m MODULE`` again and again without the seconds that its imports take."""
    with Forks() as forks:
        yield forks


@pytest.fixture
def warm_python(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the processes that a test starts by ``sys.executable -m MODULE`` forked, not started."""
    monkeypatch.setattr(sys, "executable", str(forks.python))
