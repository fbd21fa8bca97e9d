"""No run is lost or doubled when processes log at once, or are killed while they do."""

import multiprocessing
import signal
import time
from pathlib import Path

import pytest

from catwise.tracking import mlflow_log

pytestmark = pytest.mark.slow
ONE = "State('toy', 'a' * 64, '5' * 64, {}, [], {}, [])"


@pytest.fixture(scope="module")
def context():
    """Fork processes from one that has imported mlflow already, and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "mlflow.entities"])
    return context


@pytest.fixture
def started(context, new_root):
    """Return a function that starts a process which runs lines; its output goes to two files."""
    processes = []

    def start(name, *lines):
        setup = [
            "import os, signal",
            f"os.chdir({str(new_root / 'elsewhere')!r})",
            f"os.environ['DVC_ROOT'] = {str(new_root)!r}",
            *(
                f"os.dup2(os.open({str(new_root.parent / name) + suffix!r}, 577, 0o600), {number})"
                for number, suffix in ((1, ".out"), (2, ".err"))
            ),
            "from catwise.tracking import mlflow_log",
            "from catwise.tracking.mlflow_log import State, log",
        ]
        process = context.Process(target=exec, args=("\n".join([*setup, *lines]), {}))
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()
        process.close()


def exit_code(process):
    process.join(120)
    return process.exitcode


def test_a_run_that_was_killed_is_replaced(started, runs, root):
    fill = "mlflow_log._fill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    assert exit_code(started("killed", fill, f"log({ONE})")) == -signal.SIGKILL
    (left,) = runs()
    assert left.info.status == "RUNNING"
    assert mlflow_log.log(mlflow_log.State("toy", "a" * 64, "5" * 64, {}, [], {}, [])) == (
        "mlflow: logged run aaaaaaaa"
    )
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.info.run_id != left.info.run_id


def test_four_processes_that_open_a_new_database_lose_no_run(started, runs, new_root):
    writers = [
        started(
            letter,
            "import pathlib, time",
            "ready = pathlib.Path('ready')",
            f"ready.with_suffix('.{letter}').touch()",
            "while not ready.exists(): time.sleep(0.01)",
            f"for key in ('{letter}' * 64, 'f' * 64):",
            "    line = log(State('toy', key, '5' * 64, {}, [], {'train': {'loss': 1}}, []))",
            "    print(line, flush=True)",
        )
        for letter in "abcd"
    ]
    while len(list(Path().glob("ready.*"))) < 4:  # all have imported mlflow: now
        assert all(writer.is_alive() for writer in writers)
        time.sleep(0.01)
    Path("ready").touch()
    assert [exit_code(writer) for writer in writers] == [0] * 4
    texts = {
        suffix: [(new_root.parent / f"{letter}{suffix}").read_text() for letter in "abcd"]
        for suffix in (".out", ".err")
    }
    assert texts[".err"] == [""] * 4  # no noise from mlflow or alembic
    lines = [line for output in texts[".out"] for line in output.splitlines()]
    assert sum(line.startswith("mlflow: logged run") for line in lines) == 5
    assert lines.count("mlflow: run ffffffff was logged already") == 3
    logged = runs()
    assert sorted(run.data.tags["dvc.key"][0] for run in logged) == list("abcdf")
    for run in logged:
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {"train/loss": 1}


def test_a_process_that_was_killed_while_it_made_the_database_leaves_none(started, runs, new_root):
    process = started(
        "killed",
        "from sqlalchemy import Engine, event",
        "@event.listens_for(Engine, 'after_cursor_execute')",
        "def kill(connection, cursor, statement, *_):",
        "    if '_alembic_tmp_experiments' in statement:  # amid the migrations",
        "        os.kill(os.getpid(), signal.SIGKILL)",
        f"log({ONE})",
    )
    assert exit_code(process) == -signal.SIGKILL
    assert not (new_root / "mlflow.db").exists()
    mlflow_log.log(mlflow_log.State("toy", "a" * 64, "5" * 64, {}, [], {}, []))
    assert [run.info.status for run in runs()] == ["FINISHED"]
    names = {path.name for path in new_root.iterdir()}
    assert names - {"mlartifacts"} == {"elsewhere", "mlflow.db", "mlflow.db.lock"}
