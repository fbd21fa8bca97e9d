"""The pipeline as its users run it: from a clone, again, with a changed parameter, in a queue; at a tiny size."""

import json
import re

import pytest
from markupsafe import escape

from benchmarks.faults.kills import finished_runs
from benchmarks.faults.workspace import ROOT, SMALL, Workspace, resized

TINY = SMALL | {
    "datasets.linear.fidelity.kinds": ["exact", "ekfac", "kfac", "diagonal", "identity"],
    "datasets.linear.fidelity.samples": [20],
    "datasets.digits.fidelity.kinds": ["ekfac", "kfac", "diagonal", "identity"],
    "datasets.digits.fidelity.samples": [50],
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    measured = tuple(
        path.name for path in (ROOT / "reports" / "measured").iterdir() if path.is_dir()
    )
    space = Workspace(tmp_path_factory.mktemp("clone"), TINY, measured, workers=0)
    first = space.repro()
    assert (
        len(first) == 2 * 10 + 3
    )  # ten stages per data set; what was measured elsewhere, the claims and the report
    space.commit()
    return space


def change(workspace, **values):
    resized(workspace.folder / "params.yaml", values)


def test_the_same_again_runs_nothing(workspace):
    assert workspace.repro() == []


def test_the_same_seed_gives_the_same_bytes_for_every_output(workspace):
    lock = (workspace.folder / "dvc.lock").read_text()
    assert len(workspace.repro("--force")) == 23
    assert (workspace.folder / "dvc.lock").read_text() == lock


def test_a_parameter_of_one_data_set_leaves_the_others_alone_and_comes_back_from_the_cache(
    workspace,
):
    before = finished_runs(workspace)
    change(workspace, **{"datasets.linear.removal.seeds": 3})
    changed = workspace.repro()
    assert sorted(changed) == [
        "claims",
        "figures@linear",
        "removal@linear",
        "report",
        "track@linear",
    ]
    assert len(finished_runs(workspace)) == len(before) + 1
    change(workspace, **{"datasets.linear.removal.seeds": 2})
    assert set(workspace.repro()) <= {
        "track@linear",
        "report",
    }  # without a run cache; they find nothing to do
    assert len(finished_runs(workspace)) == len(before) + 1


def test_queued_experiments_at_once_lose_no_run(workspace):
    before = finished_runs(workspace)
    for seed in (1, 2):
        workspace(
            "dvc",
            "exp",
            "run",
            "--queue",
            "-S",
            f"datasets.linear.prepare.seed={seed}",
            "track@linear",
        )
    workspace("dvc", "queue", "start", "-j", "2")
    workspace("dvc", "queue", "logs", "--follow", experiments(workspace)[0])
    workspace("dvc", "queue", "logs", "--follow", experiments(workspace)[1])
    after = finished_runs(workspace)
    assert len(after) == len(before) + 2
    assert len(set(after)) == len(after)


def experiments(workspace):
    return re.findall(r"^([0-9a-f]{7})", workspace("dvc", "queue", "status"), re.MULTILINE)


def test_the_page_needs_no_network_and_holds_every_figure(workspace):
    page = (workspace.folder / "reports/index.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    for dataset in TINY["run.datasets"]:
        captions = json.loads(
            (workspace.folder / f"reports/figures/{dataset}/captions.json").read_text()
        )
        for caption in captions.values():
            assert escape(caption["title"]) in page
    images = re.findall(r"<img [^>]*>", page)
    assert images
    assert all('src="data:image/png;base64,' in image and 'alt="' in image for image in images)
