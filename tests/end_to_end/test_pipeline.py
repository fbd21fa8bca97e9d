"""The pipeline, at a tiny size, does what its users rely on: in a clone, again, changed, queued."""

import json
import re

import pytest
from markupsafe import escape
from ruamel.yaml import YAML

from benchmarks.faults import concurrent_tracking
from benchmarks.faults.kills import finished_runs
from benchmarks.faults.workspace import SMALL, Forks, Workspace, hashes, pipeline, resize

pytestmark = pytest.mark.slow

TINY = SMALL | {
    "datasets.linear.fidelity.kinds": ["exact", "ekfac", "kfac", "diagonal", "identity"],
    "datasets.linear.fidelity.samples": [20],
    "datasets.digits.fidelity.kinds": ["ekfac", "kfac", "diagonal", "identity"],
    "datasets.digits.fidelity.samples": [50],
}
OVER_ALL = ("carried", "claims", "report")  # stages that do not belong to a data set


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, forks):
    space = Workspace(tmp_path_factory.mktemp("clone"), TINY, forks=forks)
    keep_datasets(space.folder / "params.yaml", TINY["run.datasets"])
    of_datasets = [f"{stage}@{name}" for name in TINY["run.datasets"] for stage in pipeline(name)]
    assert sorted(space.repro()) == sorted([*of_datasets, *OVER_ALL])
    space.commit()
    return space


def keep_datasets(path, names):
    """Drop all other data sets, because DVC reads the file anew for every parameter."""
    dialect = YAML()
    tree = dialect.load(path)
    for name in [name for name in tree["datasets"] if name not in names]:
        del tree["datasets"][name]
    dialect.dump(tree, path)


def test_the_same_again_runs_nothing(workspace):
    assert workspace.repro() == []


def test_the_same_seed_gives_the_same_bytes_for_every_output(workspace):
    before = hashes(workspace.folder)
    calls = [(stage, name) for name in TINY["run.datasets"] for stage in pipeline(name)]
    with Forks() as others:  # with hashes of their own, so that no set has the same order
        for stage, *dataset in [*calls, *((stage,) for stage in OVER_ALL)]:
            assert others(workspace.folder, f"stages.{stage}", *dataset).code == 0
    assert hashes(workspace.folder) == before


def test_a_parameter_of_one_data_set_leaves_the_others_alone_and_comes_back_from_the_cache(
    workspace,
):
    before = finished_runs(workspace)
    resize(workspace.folder / "params.yaml", {"datasets.linear.removal.seeds": 3})
    assert sorted(workspace.repro()) == [
        "claims",
        "figures@linear",
        "removal@linear",
        "report",
        "track@linear",
    ]
    assert len(finished_runs(workspace)) == len(before) + 1
    resize(workspace.folder / "params.yaml", {"datasets.linear.removal.seeds": 2})
    # both have no run cache; the tracked run is there already
    assert set(workspace.repro()) <= {"track@linear", "report"}
    assert len(finished_runs(workspace)) == len(before) + 1


def test_the_page_needs_no_network_and_holds_every_figure(workspace):
    page = (workspace.folder / "reports/index.html").read_text()
    # a link to follow is no need of the network
    elsewhere = r"""(?:https?:)?//"""
    assert not re.search(rf"""<(?!a )[^>]*\b(?:src|href)=["']?{elsewhere}""", page)
    assert not re.search(rf"""@import|\bfetch\(|\burl\(["']?{elsewhere}""", page)
    for dataset in TINY["run.datasets"]:
        captions = (workspace.folder / f"reports/figures/{dataset}/captions.json").read_text()
        for caption in json.loads(captions).values():
            assert escape(caption["title"]) in page
    images = re.findall(r"<img [^>]*>", page)
    assert images
    assert all('src="data:image/png;base64,' in image and 'alt="' in image for image in images)


def test_queued_experiments_at_once_lose_no_run(workspace):
    """This one comes last, because it begins with a new tracking database."""
    assert list(concurrent_tracking.failures(workspace, "linear", 2)) == [None, None]
