"""One command for one's own data: from files to the verdict, or one line that says what is wrong with them."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from catwise.commands import diagnose_files
from catwise.config import params
from catwise.core.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def bars(path: Path, rng: np.random.Generator, each: int = 60, colour: bool = False) -> set[str]:
    """Noisy images of a lying and a standing bar; every tenth is in the wrong folder. Returns the names of those."""
    wrong = set()
    for label, name in enumerate(
        ("lying", "None")
    ):  # a name that must not be taken for a missing value
        (path / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 60, (8, 8, 3) if colour else (8, 8), dtype=np.uint8)
            place = rng.integers(1, 6)
            if (label == 0) == (number % 10 > 0):
                pixels[place : place + 2] += 180
            else:
                pixels[:, place : place + 2] += 180
            Image.fromarray(pixels).save(path / name / f"{number}.png")
            wrong |= {f"{name}/{number}.png"} if number % 10 == 0 else set()
    return wrong


def mails(path: Path, rng: np.random.Generator, each: int = 60) -> dict[int, tuple[str, str]]:
    """Texts of words that belong to their label. Returns text and label by the line."""
    words = (
        ("offer", "prize", "cheap", "winner", "click"),
        ("meeting", "report", "monday", "budget", "agenda"),
    )
    rows = {}
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for line in range(2, 2 * each + 2):
            rows[line] = (" ".join(rng.choice(words[line % 2], 5)), ("spam", "ham")[line % 2])
            table.writerow(rows[line])
    return rows


def smaller(**changes: dict) -> None:
    """params.yaml with other values in some sections of the data sets that are followed."""
    tree = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    for name in diagnose_files.ALIKE.values():
        tree["datasets"][name]["ceiling"]["permutations"] = 20
        for section, values in changes.get(name, {}).items():
            tree["datasets"][name][section] |= values
    YAML(typ="safe", pure=True).dump(tree, Path("params.yaml"))


def answer(said: str) -> tuple[str, list[str]]:
    """The verdict and the ten samples."""
    verdict = re.search(
        r"^(room for a joint improvement .*|at its ceiling within noise; .*)$", said, re.MULTILINE
    )
    assert verdict, said
    assert "most in each other's way: " in said
    return verdict[1], re.findall(r"^ +-?[\d.e+-]+  given (.*)$", said, re.MULTILINE)


def weights(name: str) -> list[dict[str, str]]:
    with Path("scratch/mine", name, "weights.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = np.array([float(row["weight"]) for row in rows])
    assert found.min() >= 0
    assert found.max() <= 2
    assert found.mean() == pytest.approx(1, abs=1e-9)  # each class keeps its total weight
    return rows


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("colour", [False, True])
def test_a_folder_of_images_gives_a_verdict_and_the_files_that_are_in_the_wrong_folder(
    rng, capsys, colour
):
    smaller()
    wrong = bars(Path("bars"), rng, colour=colour)
    diagnose_files.main("bars", "tidy")
    _, samples = answer(capsys.readouterr().out)
    assert len(samples) == 10
    rows = weights("tidy")
    assert {row["sample"].split("/")[0] for row in rows} == {"lying", "None"}
    assert all(row["sample"].startswith(row["label"] + "/") for row in rows)
    if not colour:  # six epochs of the other network are too few for 60 images
        trained_on = wrong & {row["sample"] for row in rows}
        first = {line.split("  ")[1] for line in samples[: len(trained_on)]}
        assert len(first & trained_on) > len(trained_on) / 2  # of all samples a tenth is wrong
    drawn = {"influence_plane", "counts", "ceiling", "training_curves"}
    assert {path.stem for path in Path("scratch/mine/tidy/figures").glob("*.png")} == drawn


@pytest.mark.usefixtures("folder")
def test_a_csv_gives_a_verdict_and_every_sample_by_its_line(rng, capsys):
    smaller(
        emotion_small={"train": {"width": 32}, "prepare": {"max_length": 8, "vocabulary_size": 100}}
    )
    written = mails(Path("mails.csv"), rng)
    diagnose_files.main("mails.csv", "mine")
    _, samples = answer(capsys.readouterr().out)
    assert len(samples) == 10
    for sample in samples:
        label, line, text = re.fullmatch(r"(\w+)  line (\d+): (.*)", sample).groups()
        assert written[int(line)] == (text, label)
    for row in weights("mine"):
        assert written[int(row["sample"].removeprefix("line "))][1] == row["label"]


@pytest.mark.usefixtures("folder")
def test_the_parameters_are_valid_and_fit_whatever_the_sizes():
    for each in (20, 60, 3000):
        rows = [f"text {number},{'abc'[number % 3]}" for number in range(3 * each)] + [
            "rare,d"
        ] * 20
        Path("mine.csv").write_text("\n".join(["text,label", *rows]))
        found = params.DataSet.model_validate(diagnose_files.section("mine.csv"))
        held_out = found.prepare.validation_a + found.prepare.validation_b + found.prepare.test
        assert held_out < 0.75 * len(rows)
        assert found.prepare.validation_a * 20 // len(rows) >= found.influence.bins >= 3
        assert found.train.batch_size <= len(rows) - held_out


def wrong_inputs(folder: Path) -> dict[str, str]:
    """A path, and what is said about it."""
    (folder / "one/only").mkdir(parents=True)
    (folder / "none").mkdir()
    bars(folder / "few", np.random.default_rng(0), each=7)
    bars(folder / "broken", np.random.default_rng(0), each=20)
    (folder / "broken/None/3.png").write_bytes(b"GIF89a")
    (folder / "columns.csv").write_text("words,label\na,b\n")
    (folder / "empty.csv").write_text("text,label\n")
    (folder / "one.csv").write_text("text,label\n" + "a,b\n" * 30)
    (folder / "blank.csv").write_text("text,label\n" + "a,b\n" * 30 + "a,\n" * 30)
    return {
        "nowhere": "DATA: expected a folder with a folder of images per class, or a csv",
        "": "DATA: expected a folder with a folder of images per class, or a csv",
        "one": "one: expected two classes or more; got only",
        "none": "none: expected two classes or more; got none",
        "few": "few: expected 20 samples or more of every class; got 7 of 'None'",
        "broken": "broken/None/3.png: expected an image; got UnidentifiedImageError",
        "columns.csv": "columns.csv: line 1: expected columns text and label; got no text",
        "empty.csv": "empty.csv: expected two classes or more; got none",
        "one.csv": "one.csv: expected two classes or more; got b",
        "blank.csv": "blank.csv: line 32: expected a label; got none",
    }


def test_what_is_wrong_with_the_data_is_one_line_and_nothing_is_written(folder):
    for path, said in wrong_inputs(folder).items():
        with pytest.raises(InputError) as caught:
            diagnose_files.main(path, "mine")
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"NAME: expected letters, digits and _; got '../up'"):
        diagnose_files.main("few", "../up")
    assert not Path("scratch").exists()


def test_bad_input_ends_with_exit_code_2(tmp_path):
    names = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "catwise.commands.diagnose_files", "nowhere"]
    done = subprocess.run(
        call, cwd=tmp_path, env=names, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: DATA: .*\n", done.stderr)
