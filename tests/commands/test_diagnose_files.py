"""One command for one's own data: from files to the verdict, or one line on what is wrong."""

import csv
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from catwise.commands import diagnose_files, results_folder, small_classifier
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.statistics import Estimate
from catwise.data.dataset import HELD_OUT
from catwise.diagnosis import diagnose
from catwise.improvement import own_training
from catwise.improvement.acceptance import Gain
from catwise.improvement.proposals import direction

CLASSES = ("lying", "None")  # a name that must not be taken for a missing value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_bars(
    path: Path, rng: np.random.Generator, each: int = 60, colour: bool = False
) -> set[str]:
    """Write noisy images of a lying and a standing bar; return those in the wrong folder."""
    wrong = set()
    for label, name in enumerate(CLASSES):
        (path / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 60, (8, 8, 3) if colour else (8, 8), dtype=np.uint8)
            start = rng.integers(1, 6)
            if (label == 0) == (number % 10 > 0):
                pixels[start : start + 2] += 180
            else:
                pixels[:, start : start + 2] += 180
            Image.fromarray(pixels).save(path / name / f"{number}.png")
            if number % 10 == 0:
                wrong.add(f"{name}/{number}.png")
    return wrong


def write_mails(path: Path, rng: np.random.Generator, each: int = 60) -> dict[int, tuple[str, str]]:
    """Write texts of words that belong to their label; return text and label by the line."""
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


def read_answer(output: str) -> tuple[str, list[str]]:
    """Return the verdict and the ten samples that harm most, the last list."""
    (verdict,) = re.findall(
        r"^verdict: (room: .*|at its ceiling: .*|cannot tell: .*)$",
        output,
        re.MULTILINE,
    )
    assert ("most in each other's way: " in output) == ("verdict: room" in output)
    _, _, harmful = output.partition("most detrimental of ")
    return verdict, re.findall(r"^ +-?[\d.e+-]+  given (.*)$", harmful, re.MULTILINE)


def read_weights(out: str, name: str = "weights") -> list[dict[str, str]]:
    with Path(out, f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    weights = np.array([float(row["weight"]) for row in rows])
    assert weights.min() >= 0
    assert weights.max() <= 2
    assert weights.mean() == pytest.approx(1, abs=1e-9)  # each class keeps its total weight
    return rows


def read_issues(out: str) -> list[dict[str, str]]:
    with Path(out, "label_issues.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("colour", [False, True])
def test_a_folder_of_images_gives_a_verdict_and_the_files_that_are_in_the_wrong_folder(
    rng, capsys, colour
):
    wrong = write_bars(Path("bars"), rng, colour=colour)
    diagnose_files.main("bars", "tidy")
    output = capsys.readouterr().out
    _, samples = read_answer(output)
    assert len(samples) == 10
    rows = read_weights("catwise_tidy")
    assert {row["sample"].split("/")[0] for row in rows} == set(CLASSES)
    assert all(row["sample"].startswith(row["label"] + "/") for row in rows)
    if not colour:  # six epochs of the other network are too few for 60 images
        trained_on = wrong & {row["sample"] for row in rows}
        first = {line.split("  ")[1] for line in samples[: len(trained_on)]}
        assert len(first & trained_on) > len(trained_on) / 2  # of all samples a tenth is wrong
        issues = read_issues("catwise_tidy")
        lowest = {row["sample"] for row in issues[: len(trained_on)]}
        assert len(lowest & trained_on) > len(trained_on) / 2
        margins = [float(row["running_margin"]) for row in issues]
        assert margins == sorted(margins)
        assert [row["is_label_issue"] == "True" for row in issues] == [m < 0 for m in margins]
        number = sum(row["is_label_issue"] == "True" for row in issues)
        summary, rest = output.split("\n", 1)
        assert summary.startswith(
            f"{number} of {len(rows)} training samples look mislabelled; most"
        )
        assert rest.startswith("verdict: ")
        assert rest.index(issues[0]["sample"]) < rest.index("most detrimental of ")
        text = Path("catwise_tidy/report.html").read_text()
        assert text.index(f"<strong>{summary}.") < text.index('class="lede"')
    drawn = {path.stem for path in Path("catwise_tidy/figures").glob("*.png")}
    assert drawn == {"influence_plane", "counts", "training_curves"}
    page = Path("catwise_tidy/report.html").read_text()
    assert page.count('<img src="data:image/png') == 2 + 24  # two figures, and the samples
    assert f"<h4>{samples[0].split('  ')[1]}</h4>" in page


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_csv_gives_a_verdict_and_every_sample_by_its_line(rng, capsys, monkeypatch):
    classifier = replace(diagnose_files.CLASSIFIERS["text"], width=32)
    monkeypatch.setitem(diagnose_files.CLASSIFIERS, "text", classifier)
    monkeypatch.setattr(diagnose_files, "MAX_LENGTH", 8)
    monkeypatch.setattr(diagnose_files, "VOCABULARY", 100)
    written = write_mails(Path("mails.csv"), rng)
    diagnose_files.main("mails.csv", out="elsewhere")
    _, samples = read_answer(capsys.readouterr().out)
    assert len(samples) == 10
    for sample in samples:
        label, line, text = re.fullmatch(r"(\w+)  line (\d+): (.*)", sample).groups()
        assert written[int(line)] == (text, label)
    page = Path("elsewhere/report.html").read_text()
    assert page.count('<p class="text">') == 24
    assert f'<p class="text">{text}</p>' in page
    for row in read_weights("elsewhere"):
        assert written[int(row["sample"].removeprefix("line "))][1] == row["label"]


def test_the_splits_and_the_batches_fit_whatever_the_sizes():
    for rarest in (20, 60, 3000):
        for largest in (rarest, 10 * rarest):
            number_k = {"a": largest, "b": largest, "rare": rarest}
            total = sum(number_k.values())
            sizes = diagnose_files.split_sizes(number_k)
            held_out = sum(size for name, size in sizes.items() if name != "train")
            assert held_out < 0.75 * total
            assert sizes["validation_a"] * rarest // total >= diagnose_files.bins(number_k) >= 3
            for classifier in diagnose_files.CLASSIFIERS.values():
                assert classifier.recipe(total - held_out).batch_size <= total - held_out


@pytest.mark.usefixtures("folder")
def test_copies_do_not_count_in_the_sizes_of_the_splits():
    rows = [f"text {number % 125},{'ab'[number % 2]}" for number in range(125)] * 4
    Path("copies.csv").write_text("\n".join(["text,label", *rows]))
    data, _, sizes = diagnose_files.read("copies.csv", ["a", "b"])
    assert sizes == {"a": 63, "b": 62}
    held_out = [text for split in HELD_OUT for text in data.texts[split]]
    assert len(held_out) == len(set(held_out)) == 32 + 2 * 3 + 25
    assert len(data.texts["train"]) == 4 * (125 - len(held_out))


def write_wrong_inputs(folder: Path) -> dict[str, str]:
    """Write what cannot be diagnosed; return the error that is due by path."""
    (folder / "one/only").mkdir(parents=True)
    (folder / "none").mkdir()
    write_bars(folder / "few", np.random.default_rng(0), each=7)
    write_bars(folder / "broken", np.random.default_rng(0), each=20)
    (folder / "broken/None/3.png").write_bytes(b"GIF89a")
    (folder / "columns.csv").write_text("words,label\na,b\n")
    (folder / "empty.csv").write_text("text,label\n")
    (folder / "one.csv").write_text("text,label\n" + "a,b\n" * 30)
    (folder / "blank.csv").write_text("text,label\n" + "a,b\n" * 30 + "a,\n" * 30)
    rows = [f"text {number % 19},{'ab'[number % 2]}\n" for number in range(400)]
    (folder / "copies.csv").write_text("text,label\n" + "".join(rows))
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
        "copies.csv": "copies.csv: expected 20 different samples or more of every class; got 9 of",
    }


def test_what_is_wrong_with_the_data_is_one_line_and_nothing_is_written(folder):
    for path, message in write_wrong_inputs(folder).items():
        with pytest.raises(InputError) as caught:
            diagnose_files.main(path, out="results")
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
    with pytest.raises(
        InputError, match=r"--allowed-loss: expected a finite number, 0 or more; got -1"
    ):
        diagnose_files.main("one.csv", improve=True, allowed_loss=-1)
    with pytest.raises(InputError, match=r"--halves: expected a whole number, 5 or more; got 4"):
        diagnose_files.main("one.csv", improve=True, halves=4)
    with pytest.raises(InputError, match=r"--name: expected letters, digits and _; got '../up'"):
        diagnose_files.main("few", "../up")
    for out in ("broken", "broken/../broken/results"):
        with pytest.raises(
            InputError, match=r"^--out: expected a folder outside DATA, broken; got"
        ):
            diagnose_files.main("broken", out=out)
    assert not Path("results").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_training(folder, monkeypatch):
    def never(*arguments):
        raise AssertionError

    monkeypatch.setattr(diagnose_files, "train", never)
    write_bars(folder / "bars", np.random.default_rng(0), each=20)
    (folder / "file").write_text("")
    for out in ("/proc/nope", "file", "file/inner"):
        with pytest.raises(InputError, match=rf"^--out: expected a folder; got '{out}': \w+"):
            diagnose_files.main("bars", out=out)
    monkeypatch.setattr(results_folder.os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"^--out: expected a folder to write to; got 'here'"):
        diagnose_files.main("bars", out="here")


@pytest.mark.usefixtures("folder")
def test_a_run_that_fails_leaves_what_was_there_and_no_folder_of_its_own(monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(diagnose_files, "train", fail)
    write_bars(Path("bars"), np.random.default_rng(0), each=20)
    Path("kept").mkdir()
    Path("kept/improved_weights.csv").write_text("mine")
    for out in ("kept", "new/inner"):
        with pytest.raises(KeyboardInterrupt):
            diagnose_files.main("bars", "2024", out)
    assert [path.read_text() for path in Path("kept").iterdir()] == ["mine"]
    assert not Path("new").exists()


@pytest.mark.usefixtures("folder")
def test_results_of_different_runs_do_not_mix():
    for run in ("first", "second"):
        with results_folder.new_results("out", "improved_weights.csv") as results:
            (results / "figures").mkdir()
            (results / "figures/counts.png").write_text(run)
            if run == "first":
                (results / "improved_weights.csv").write_text(run)
        (Path("out") / "notes.txt").write_text("the user's own")
    left = {path.as_posix(): path.read_text() for path in Path("out").rglob("*.*")}
    assert left == {"out/figures/counts.png": "second", "out/notes.txt": "the user's own"}


def test_a_summary_counts_the_wrong_labels_and_names_what_they_look_like():
    issues = pd.DataFrame(
        {
            "is_label_issue": [True, True, True, True, False],
            "given_label": ["8", "8", "3", "3", "3"],
            "predicted_label": ["3", "3", "8", "3", "8"],
        }
    )
    data = SimpleNamespace(y={"train": np.array([0, 0, 0, 1, 1])}, classes=("3", "8"))
    learnt_n, unlearnt_n = np.array([2.0, 2, 2, 1, 3]), np.array([2.0, 2, 2, -1, -3])
    (line,) = diagnose_files.summarise(issues, learnt_n, data)
    assert line == "4 of 5 training samples look mislabelled; most often 8 that look like 3 (2)"
    clean = issues.assign(is_label_issue=False)
    assert diagnose_files.summarise(clean, unlearnt_n, data) == [
        "none of 5 training samples look mislabelled",
        "not learnt, so that its labels cannot be judged: 8",
    ]


def test_a_rare_class_that_is_learnt_late_has_no_wrong_labels():
    """As the margins of a rare class run while the frequent ones are the answer to everything."""
    labels_n, epochs_e1 = np.repeat([0, 1], [30, 10]), np.arange(12)[:, None]
    margin_en = np.where(labels_n == 1, epochs_e1 - 9.5, 3.0)
    assert (margin_en.mean(axis=0)[labels_n == 1] < 0).all()
    margin_en[:, -1] -= 4  # but one is wrong
    margin_n = small_classifier.margins_once_learnt(margin_en, labels_n)
    np.testing.assert_array_equal(np.flatnonzero(margin_n < 0), [39])
    np.testing.assert_array_equal(margin_n[labels_n == 0], 3)


SMALL = replace(diagnose_files.CLASSIFIERS["grey"], width=2, epochs=2)
FEW = {"runs": 1, "seeds": 2, "rounds": 1, "proposals": {"direction": direction(0.5)}}


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_improve_checks_the_verdict_and_says_what_other_weights_gain(rng, capsys, monkeypatch):
    monkeypatch.setitem(diagnose_files.CLASSIFIERS, "grey", SMALL)
    monkeypatch.setattr(own_training, "improve", partial(own_training.improve, **FEW))
    write_bars(Path("bars"), rng, each=40)
    asked = []

    def noted(*arguments, **options):
        asked.append(options["halves"])
        return diagnose(*arguments, **options)

    monkeypatch.setattr(diagnose_files, "diagnose", noted)
    diagnose_files.main("bars", "better", improve=True, halves=6)
    assert asked == [6]
    output = capsys.readouterr().out
    page = Path("catwise_better/report.html").read_text()
    assert "Train with <code>improved_weights.csv</code> only if" in page
    assert "not checked by retraining" not in output
    weights = {float(row["weight"]) for row in read_weights("catwise_better", "improved_weights")}
    none = "no other weights were"
    assert (weights == {1.0}) == (none in output)
    assert (weights == {1.0}) != ("a new training with these weights gains" in output)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("gained", [False, True])
def test_the_table_of_better_weights_names_every_sample_and_the_sentence_its_gain(
    rng, monkeypatch, gained
):
    write_bars(Path("bars"), rng, each=20)
    data, *_ = diagnose_files.read("bars", list(CLASSES))
    n = len(data.y["train"])
    weights_n = 2.0 * (np.arange(n) < n // 2) if gained else np.ones(n)
    estimate = Estimate(0.02, 0.01, 0.03)
    net = Gain(estimate, estimate, np.zeros(2), np.zeros(2), np.zeros(2)) if gained else None

    def improve(retrain, train, validation, test, classes, **options):
        assert np.bincount(validation[-1]).min() >= 6  # what catwise.improve asks for
        return own_training.Improvement(weights_n, SimpleNamespace(rounds=(), end="end"), net)

    monkeypatch.setattr(own_training, "improve", improve)
    sentence = diagnose_files.improved(Path(), None, diagnose_files.tensors(data), data, {})
    assert ("gains +2 points in the mean (95 %: at least +1)" in sentence) == gained
    assert sentence.startswith("No other weights were") != gained
    rows = read_weights(".", "improved_weights")
    assert [row["sample"] for row in rows] == list(data.names["train"])
    assert [float(row["weight"]) for row in rows] == weights_n.tolist()


def test_plain_weights_train_the_same_classifier_and_others_another(rng, folder):
    write_bars(folder / "bars", rng, each=30)
    data, classifier, _ = diagnose_files.read("bars", list(CLASSES))
    batches, classifier = diagnose_files.tensors(data), replace(classifier, width=2, epochs=1)
    n = len(data.y["train"])
    plain, _, margin_n = small_classifier.train(classifier, batches, data)
    assert margin_n.shape == (n,)
    prints = [
        fingerprint(small_classifier.train_weighted(classifier, batches, data, weights_n, seed))
        for weights_n, seed in ((np.ones(n), 0), (np.ones(n), 1), (2.0 * (np.arange(n) % 2), 0))
    ]
    assert prints[0] == fingerprint(plain)
    assert len(set(prints)) == 3
