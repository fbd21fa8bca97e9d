"""What is measured once is made by the stages alone, carried whole or not at all, and checked.

The stages run in the process of the tests, but where a process of their own is what is tested.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import chdir
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from benchmarks.faults.workspace import SMALL
from catwise.commands import measure, publish
from catwise.core.errors import InputError
from catwise.figures.style import png
from catwise.pipeline import pictures
from catwise.pipeline.results import hashes
from stages import figures
from stages.carried import main as check_and_draw

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FEW = {
    "prepare": {"validation_a": 500, "validation_b": 500, "test": 500},
    "train": {"epochs": 2, "width": 2},
    "curvature": {"earlier": [1]},
    "subsets": {"halves": 10, "removals": 0, "seeds": 1},
    "fidelity": {"kinds": ["identity"], "samples": [], "repeats": 1},
    "removal": {"seeds": 2, "controls": 2},
    "reweight": SMALL["datasets.digits.reweight"],
    "ceiling": {"permutations": 20},
}
REAL_RUN = measure._run


def run_here(command: list[str], work: Path, top: Path) -> int:
    """Run a stage in this process, in place of ``python -m stages.NAME DATASET``."""
    name, dataset = command[-2:]
    with chdir(work):
        import_module(name).main(dataset)
    return 0


@pytest.fixture(autouse=True)
def stages_run_here(monkeypatch):
    monkeypatch.setattr(measure, "_run", run_here)
    monkeypatch.setenv("CATWISE_WORKERS", "1")


def record(folder: Path) -> dict:
    return json.loads((folder / "reports/measured/digits/provenance.json").read_text())


def seconds(about: dict) -> dict[str, float]:
    """By stage; in more than one run if the code was edited while the test ran."""
    return {stage: spent for entry in about["runs"] for stage, spent in entry["seconds"].items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder without git or DVC in which digits has been measured at a tiny size."""
    folder = tmp_path_factory.mktemp("elsewhere")
    tree = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    tree["run"]["datasets"] = ["digits"]
    for section, values in FEW.items():
        tree["datasets"]["digits"][section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    shutil.copy(ROOT / "dvc.yaml", folder)
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.setattr(measure, "_run", run_here)
        patch.setenv("CATWISE_WORKERS", "1")
        patch.delenv("DVC_ROOT", raising=False)
        measure.main("digits")
    return folder


@pytest.fixture
def place(whole, tmp_path, monkeypatch):
    """A copy that a test may spoil, and works in."""
    shutil.copytree(whole, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path / "copy"


def test_every_stage_but_those_that_show_is_measured():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert measure.stage_names() == [
        name for name in pipeline if name not in ("figures", "track", "carried", "claims", "report")
    ]


def test_no_output_of_the_pipeline_is_touched(whole):
    assert {path.name for path in whole.iterdir()} == {
        "dvc.yaml",
        "params.yaml",
        "scratch",
        "reports",
    }
    assert {path.name for path in (whole / "reports").iterdir()} == {"measured"}
    assert {path.name for path in (whole / "reports/measured").iterdir()} == {"digits"}


def test_the_record_says_where_when_and_with_what_and_nothing_about_whom(whole):
    about = record(whole)
    entry = about["runs"][-1]
    assert list(seconds(about)) == measure.stage_names()
    assert about["seconds"] == pytest.approx(sum(seconds(about).values()))
    assert about["parameters"]["train"]["epochs"] == FEW["train"]["epochs"]
    assert entry["processor"]
    assert entry["cores"] >= 1
    assert entry["gpu"] is None or isinstance(entry["gpu"], str)
    assert {"python", "torch", "numpy"} <= set(entry["versions"])
    assert len(entry["code_sha256"]) == 64
    text = json.dumps(about)
    assert str(whole) not in text
    assert os.uname().nodename not in text
    assert about["sha256"] == hashes(whole / "reports/measured/digits")


def test_of_the_data_only_labels_and_flips_are_carried(whole):
    carried = whole / "reports/measured/digits"
    with np.load(carried / "data/arrays.npz") as arrays:
        assert set(arrays) == {"train/y", "flipped"}
    assert {path.name for path in (carried / "data").iterdir()} == {"arrays.npz", "card.json"}
    assert not [
        path for path in carried.rglob("*") if path.suffix == ".safetensors" or path.name == "bins"
    ]


def png_without_layout(figure: Figure) -> bytes:
    """Leave out the layout, which takes most of the time and follows from what is drawn."""
    figure.set_layout_engine("none")
    return png(figure)


def test_measured_and_live_figures_of_the_same_results_are_the_same_bytes(place, monkeypatch):
    monkeypatch.setattr(pictures, "png", png_without_layout)
    for part in ("data", "reports"):
        shutil.copytree(place / "scratch/measure/digits" / part, place / part, dirs_exist_ok=True)
    figures.main("digits")
    check_and_draw()
    drawn = hashes(place / "reports/figures/digits")
    assert {"influence_plane.png", "ceiling.png"} <= set(drawn)
    assert drawn == hashes(place / "reports/carried/digits")


@pytest.mark.parametrize(
    "name", ["influence/vectors.npz", "train/history.csv", "removal/metrics.json"]
)
def test_a_changed_byte_is_refused_by_the_name_of_its_file(place, name):
    path = place / "reports/measured/digits" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"measured/digits/{name}: expected sha256 .* as measured; got"
    ):
        check_and_draw()


def test_a_file_too_few_or_too_many_is_refused_by_name(place):
    (place / "reports/measured/digits/data/more.csv").write_text("")
    with pytest.raises(
        InputError, match=r"data/more.csv: expected sha256 no such file as measured"
    ):
        check_and_draw()
    (place / "reports/measured/digits/data/more.csv").rename(place / "more.csv")
    (place / "reports/measured/digits/ceiling/ceiling.json").unlink()
    with pytest.raises(
        InputError, match=r"ceiling/ceiling.json: expected sha256 .* got no such file"
    ):
        check_and_draw()


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n{}", None])
def test_a_record_that_cannot_be_read_is_named(place, text):
    path = place / "reports/measured/digits/provenance.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match=r"digits/provenance.json: expected"):
        check_and_draw()


def test_nothing_measured_is_nothing_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports/measured").mkdir(parents=True)
    (tmp_path / "reports/measured/README.md").write_text("")
    check_and_draw()
    assert [path.name for path in (tmp_path / "reports/carried").iterdir()] == ["checked.json"]


def test_a_run_that_is_ended_ends_its_stage_and_leaves_the_old_results_whole(place):
    before = hashes(place / "reports/measured/digits")
    command = [sys.executable, "-m", "catwise", "measure", "digits", "--start", "prepare"]
    env = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=place, env=env, stderr=subprocess.PIPE, text=True)
    while not working_in(place / "scratch"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors
    assert not working_in(place / "scratch")
    assert hashes(place / "reports/measured/digits") == before == record(place)["sha256"]


def working_in(folder: Path) -> list[str]:
    """Processes whose current folder is there or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cwd = os.readlink(process / "cwd")
        except OSError:
            continue
        found += [process.name] if Path(cwd).is_relative_to(folder) else []
    return found


def test_results_that_cannot_be_replaced_stay_as_they_were(place, monkeypatch):
    out, work = place / "reports/measured/digits", place / "scratch/measure/digits"
    before, log = record(place), json.loads(work.with_suffix(".json").read_text())
    rename = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == ".digits.part":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(KeyboardInterrupt):
        publish.publish("digits", work, log, measure.stage_names())
    assert record(place) == before
    assert hashes(out) == before["sha256"]


def test_from_a_later_stage_on_the_earlier_times_and_results_stay(place, capsys):
    before = record(place)
    measure.main("digits", start="removal")
    assert "prepare," not in capsys.readouterr().out
    after = record(place)
    assert after["sha256"] == before["sha256"]
    assert {**seconds(after), "removal": 0} == {**seconds(before), "removal": 0}


def test_what_is_measured_is_not_measured_again(place, capsys):
    path, stages = place / "scratch/measure/digits.json", measure.stage_names()
    parameters = json.loads(path.read_text())["parameters"]
    assert measure.first_missing(path, parameters) == len(stages)
    assert measure.first_missing(path.with_name("none.json"), parameters) == 0
    assert measure.first_missing(path, parameters | {"threads": 7}) == 0
    changed = parameters | {"removal": None, "figures": None}
    assert measure.first_missing(path, changed) == stages.index("removal")
    before = record(place)
    measure.main("digits")
    assert record(place) == before
    assert capsys.readouterr().out.startswith("measure digits: all is measured up to removal\n")


def test_stages_that_are_no_stages_or_in_the_wrong_order_are_refused(place):
    with pytest.raises(InputError, match=r"--start: expected one of prepare, .*; got 'report'"):
        measure.main("digits", start="report")
    with pytest.raises(InputError, match=r"--stop: expected removal or a later stage; got 'train'"):
        measure.main("digits", start="removal", stop="train")


def test_a_later_stage_needs_the_earlier_ones_with_the_same_parameters(place):
    path = place / "scratch/measure/digits.json"
    parameters, stages = json.loads(path.read_text())["parameters"], measure.stage_names()
    later = parameters | {"subsets": {"halves": 20}}
    first = stages.index("subsets")
    assert measure.start_log(path, later, stages, first)["finished"] == stages[:first]
    with pytest.raises(
        InputError, match="subsets: expected the parameters that improve was measured with"
    ):
        measure.start_log(path, later, stages, stages.index("removal"))
    path.unlink()
    with pytest.raises(
        InputError, match="--start: expected prepare, which is not measured yet; got 'removal'"
    ):
        measure.start_log(path, parameters, stages, stages.index("removal"))


def test_time_of_an_attempt_that_did_not_finish_is_counted(tmp_path):
    path, log = tmp_path / "log.json", {"parameters": {}, "finished": ["prepare"], "runs": []}
    measure.add_time(log, {"processor": "a"}, "prepare", 1)
    measure.add_time(log, {"processor": "a"}, "train", 20)
    path.write_text(json.dumps(log))
    again = measure.start_log(path, {}, ["prepare", "train"], 1)
    measure.add_time(again, {"processor": "b"}, "train", 300)
    assert [(run["processor"], run["seconds"]) for run in again["runs"]] == [
        ("a", {"prepare": 1, "train": 20}),
        ("b", {"train": 300}),
    ]


def test_a_stage_that_fails_ends_the_run_with_its_code_and_its_own_words(place, monkeypatch, capfd):
    monkeypatch.setattr(measure, "_run", REAL_RUN)
    (place / "scratch/measure/digits/models/train/digits/epoch_002.safetensors").unlink()
    before = hashes(place / "reports/measured/digits")
    with pytest.raises(SystemExit) as end:
        measure.main("digits", "curvature", "curvature")
    assert end.value.code == 2
    assert "epoch_002.safetensors" in capfd.readouterr().err
    assert hashes(place / "reports/measured/digits") == before
    log = json.loads((place / "scratch/measure/digits.json").read_text())
    assert log["finished"] == ["prepare", "train"]


def test_git_takes_what_is_measured_byte_for_byte_and_nothing_else_of_the_reports(tmp_path):
    (tmp_path / "reports/measured").mkdir(parents=True)
    for name in ("reports/.gitignore", "reports/measured/.gitattributes"):
        shutil.copy(ROOT / name, tmp_path / name)
    carried = [
        "reports/measured/digits/provenance.json",
        "reports/measured/digits/removal/experiment/changes.csv",
    ]
    others = [
        "reports/measured/.digits.part/provenance.json",
        "reports/index.html",
        "reports/carried/a.png",
    ]
    for name in carried + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\r\n")

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    git("init", "-q")
    git("-c", "core.autocrlf=true", "add", ".")
    listed = set(git("ls-files").split())
    assert listed - {"reports/.gitignore", "reports/measured/.gitattributes"} == set(carried)
    assert (
        git("hash-object", "--no-filters", *carried).split()
        == git("rev-parse", *[f":{n}" for n in carried]).split()
    )


def test_what_is_finished_can_be_carried_before_the_rest(place):
    """Nothing of a stage that was measured earlier, on other results, is carried with it."""
    measure.main("digits", start="ceiling", stop="ceiling", carry=True)
    about = record(place)
    kept = {name.partition("/")[0] for name in about["sha256"]}
    assert kept == {"data", "train", "influence", "subsets", "fidelity", "ceiling"}
    assert "removal" not in seconds(about)
    check_and_draw()
    assert (place / "reports/carried/digits/ceiling.png").exists()
    assert not (place / "reports/carried/digits/removal.png").exists()


def test_a_damaged_record_says_what_to_do(place):
    path = place / "scratch/measure/digits.json"
    path.write_text(path.read_text()[:100])
    for options in ({}, {"plan": True}, {"start": "removal"}):
        with pytest.raises(InputError, match=r"digits.json: expected JSON; .*; remove it, to mea"):
            measure.main("digits", **options)
