"""What the tests of tracking share: a repository whose MLflow database is there already."""

import shutil
from pathlib import Path

import pytest

from catwise.tracking import mlflow_log


def pytest_collection_modifyitems(items):
    """Let SQLAlchemy 2.1 warn about a strategy that mlflow 3.17 still uses."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            warning = "ignore:The ``noload`` loader strategy is deprecated"
            item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def new_root(tmp_path, monkeypatch):
    """Give a repository that DVC calls its root, with a blank in its path and no database.

    Stages run in a folder within it.
    """
    root = tmp_path / "the root"
    (root / "elsewhere").mkdir(parents=True)
    monkeypatch.chdir(root / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    return root


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Make one empty database, which takes MLflow seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    mlflow_log._client(path)
    return path


@pytest.fixture
def root(new_root, database):
    """Give the same repository with a copy of the empty database."""
    shutil.copy(database, new_root / "mlflow.db")
    return new_root


@pytest.fixture
def client(new_root):
    """Return a function that opens the database of the repository."""
    return lambda: mlflow_log.MlflowClient(f"sqlite:///{new_root / 'mlflow.db'}")


@pytest.fixture
def runs(client):
    """Return a function that lists the runs of a data set."""

    def runs(dataset="toy"):
        experiment = client().get_experiment_by_name(dataset)
        return client().search_runs([experiment.experiment_id])

    return runs
