"""The plan counts the pieces that the stages do, and the hours that they take."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from catwise.commands import measure
from catwise.config import params
from catwise.core.errors import InputError
from catwise.experiments import plan, resume, retrained_subsets
from catwise.experiments.plan import Pieces, Speed, hours_left, pieces
from catwise.pipeline.files import write_json, write_npz
from catwise.removal import top_share

ROOT = Path(__file__).parents[2]
SETS = params.load(ROOT / "params.yaml").datasets
COUNTS = {"train": 900, "validation_a": 300, "validation_b": 300, "test": 297}


def planned(name="digits", **changes):
    parameters = SETS[name].model_copy(update=changes)
    return {piece.stage: piece for piece in pieces(parameters, COUNTS, 10)}


def test_the_trainings_of_subsets_and_removal_are_those_that_the_stages_ask_for(monkeypatch):
    calls = []

    def spy(dataset, device, threads, section, split, jobs, stage, *, weighted):
        calls.extend((int(kept_n.sum()), weighted) for kept_n, _ in jobs)
        return iter([(np.zeros(10), np.zeros(10))] * len(jobs))

    monkeypatch.setattr(retrained_subsets, "retrained", spy)
    for left_out in ("weights", "rows"):
        section = SETS["digits"].subsets.model_copy(update={"left_out": left_out})
        calls.clear()
        retrained_subsets.retrained_subsets("digits", SETS["digits"], section, COUNTS["train"])
        stages = planned(subsets=section)
        assert stages["subsets"].count == len(calls)
        each = [COUNTS["train"] if weighted else kept for kept, weighted in calls]
        trained = sum(each) * SETS["digits"].train.epochs
        planned_now = stages["subsets"].count * stages["subsets"].trained
        assert planned_now == pytest.approx(trained, rel=1e-3)
    section = SETS["digits"].removal
    rng, jobs = np.random.default_rng(0), set()
    for _ in section.influence:  # each ranks the samples anew; what they share is trained once
        vectors = rng.normal(size=(900, 10))
        planned_now = top_share.plan(vectors, section.share, section.controls, section.seeds)
        jobs |= {(seed, removed.rows.tobytes()) for seed, removed in planned_now}
    assert stages["removal"].count == len(jobs)


def test_the_refresh_is_measured_too():
    """What batch norm sees again, and the held-out splits before that."""
    train = SETS["cifar10_rehearsal"].train.model_copy(update={"refresh": 3, "batch_size": 100})
    plain = train.model_copy(update={"refresh": 0})
    more, less = (planned("cifar10_rehearsal", train=each)["train"] for each in (train, plain))
    assert more.measured - less.measured == 300 + 300 + 300 + 297
    assert less.measured == sum(COUNTS.values())


def test_a_data_set_without_cases_has_no_epochs_to_reweight():
    assert set(planned(reweight=None)) == {"train", "subsets", "improve", "removal"}
    with pytest.raises(InputError, match="got logistic"):
        pieces(SETS["linear"], COUNTS, 2)


def test_hours_are_those_of_pieces_done_or_of_a_step():
    piece, speed = Pieces("removal", "trainings", 10, 3600, 1800), Speed(1.0, 2.0)
    assert hours_left(piece, 4, [], speed, 1) == pytest.approx(6 * 2)
    assert hours_left(piece, 4, [1800, 5400], speed, 1) == pytest.approx(6)
    assert hours_left(piece, 4, [1800, 5400], speed, 2) == pytest.approx(3)
    assert hours_left(piece, 4, [math.nan], speed, 2) == pytest.approx(6)  # kept untimed
    train = Pieces("train", "epochs", 10, 3600, 1800)
    assert hours_left(train, 4, [3600], speed, 2) == pytest.approx(6)  # one after the other


@pytest.mark.slow
def test_the_command_prints_what_is_done_and_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("CATWISE_WORKERS", "2")
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    with pytest.raises(
        InputError, match="got none; python -m catwise measure digits --stop prepare"
    ):
        measure.main("digits", plan=True)
    data = Path("scratch/measure/digits/data/digits")
    data.mkdir(parents=True)
    arrays = {}
    for split, count in COUNTS.items():
        arrays |= {f"{split}/y": np.arange(count) % 10}
        arrays |= {f"{split}/x": np.zeros((count, 1, 8, 8), dtype=np.float32)}
    write_npz(data / "arrays.npz", **arrays)
    card = {"classes": list("0123456789")}
    card["counts"] = {split: [count // 10] * 10 for split, count in COUNTS.items()}
    write_json(data / "card.json", card)
    log = {"finished": ["prepare", "train"], "runs": [], "parameters": {}}
    Path("scratch/measure/digits.json").write_text(json.dumps(log))
    for name in ("one", "two"):
        resume.keep(resume.kept_path("removal", "digits", name), [0], 7.5)
    before = sorted(tmp_path.rglob("*"))
    measure.main("digits", plan=True)
    assert sorted(tmp_path.rglob("*")) == before
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    epochs, count = SETS["digits"].train.epochs, planned()["removal"].count
    assert lines["train"].split()[1:4] == [str(epochs), "epochs", str(epochs)]
    assert lines["train"].split()[-1] == "0.0"
    assert lines["removal"].split()[1:6] == [str(count), "trainings", "2", "7.5,", "measured"]
    hours = (count - 2) * 7.5 / 2 / 3600
    assert lines["removal"].split()[-1] == f"{hours:.1f}"
    assert "from a step" in lines["subsets"]
    assert f"at most {plan.extra_epochs(SETS['digits'].reweight):,} epochs" in lines["reweight"]
