"""Results are read as they were written, or an error names the file and the column to mend."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from catwise.claims.evidence import Evidence
from catwise.claims.judge import claims
from catwise.config import params
from catwise.core.errors import InputError
from catwise.figures import gallery
from catwise.pipeline.files import write_json
from catwise.pipeline.results import Results, check, names, record, run_and_carried
from catwise.pipeline.tables import TABLES, read_table
from tests.helpers.reports import changed, write_results, write_table

ODD = ("None", "NA", "True", "1", "nan")  # names of classes that readers like to take for others
WEIGHTED = sorted(name for name in TABLES if name.startswith(("reweight/", "improve/")))


@pytest.fixture
def results(tmp_path) -> Results:
    return complete(write_results(tmp_path, ODD))


def complete(results: Results) -> Results:
    """Write the fidelity of the results too."""
    folder = results.folder_of("fidelity")
    write_json(folder / "fidelity.json", {"flipped_label_auc": {"ekfac": 0.9}})
    case = {"design": "half", "measure": "loss"}
    score = {"lds": 0.5, "low": 0.4, "high": 0.6, "ceiling": None}
    scores = [{**case, "kind": "ekfac", "class": name, **score} for name in ODD]
    write_table(folder, "fidelity/scores", scores)
    write_table(folder, "fidelity/summary", [{**case, "kind": "ekfac", **score, "cost": 1.2}])
    ends = {"difference": 0.1, "low": 0.0, "high": 0.2}
    pair = {**case, "first": "ekfac", "second": "identity", **ends}
    write_table(folder, "fidelity/differences", [pair])
    samples = [
        {"draw": draw, "samples": count, "seed": 0, "class": name, "spearman": 0.9}
        for draw in ("importance", "balanced")
        for count in (10, 20)
        for name in ODD
    ]
    write_table(folder, "fidelity/samples", samples)
    return results


def raw(results: Results) -> pd.DataFrame | None:
    """Read the table that is written for whoever opens the file, and that no page shows."""
    path = path_of(results, "train/raw")
    return read_table(path, TABLES["train/raw"]) if path.exists() else None


READERS = {  # of the tables of each stage, by name
    "train": lambda results: {"history": results.history, "raw": raw(results)},
    "ceiling": lambda results: {"epochs": results.epochs, "gains": results.gains},
    "fidelity": lambda results: vars(results.fidelity or EMPTY),
    "removal": lambda results: vars(results.removal or EMPTY),
    "reweight": lambda results: vars(results.reweight or EMPTY),
    "improve": lambda results: vars(results.improve or EMPTY),
}
EMPTY = SimpleNamespace()  # of a stage that was not measured


def read(results: Results, *stages: str) -> dict[str, pd.DataFrame]:
    """Read every table that there is, of these stages or of all."""
    return {
        f"{stage}/{name}": value
        for stage in stages or READERS
        for name, value in READERS[stage](results).items()
        if isinstance(value, pd.DataFrame)
    }


def path_of(results: Results, table: str):
    stage, _, name = table.partition("/")
    folder = results.folder_of(stage)
    return (folder / "experiment" if stage == "removal" else folder) / f"{name}.csv"


def test_every_table_has_the_types_of_its_schema(results, tmp_path):
    trimmed = complete(write_results(tmp_path / "trimmed", ODD, trimmed=True))
    tables = read(results) | read(trimmed)
    assert tables.keys() == TABLES.keys()
    expected = {str: "str", int: "int64", float: "float64", bool: "bool", int | None: "Int64"}
    for name, table in tables.items():
        assert len(table), name
        types = {column: str(dtype) for column, dtype in table.dtypes.items()}
        assert types == {column: expected[kind] for column, kind in TABLES[name].items()}, name


def test_names_of_classes_survive_from_the_files_to_every_table(results):
    assert results.classes == ODD
    assert set(results.ceiling.blocking) <= set(ODD)
    for name, table in read(results).items():
        if "class" in table:
            assert set(table["class"]) == set(ODD), name
    changes = results.top_share.changes
    assert set(changes["target"]) == {*ODD, ""}
    assert set(results.top_share.diagonal["class"]) == set(ODD)


@pytest.mark.slow
def test_names_of_classes_survive_to_the_figures(results):
    pictures = gallery.draw(results)
    assert pictures["influence_plane.png"].title.endswith("on None and NA")
    for name in ("counts.png", "reweight_table.png"):
        ticks = [tick.get_text() for tick in pictures[name].figure.axes[0].get_xticklabels()]
        assert ticks == list(ODD), name
    first, second, *_ = pictures["removal.png"].figure.axes
    for axes in (first, second):
        assert [tick.get_text() for tick in axes.get_xticklabels()] == list(ODD)
        assert [tick.get_text() for tick in axes.get_yticklabels()] == list(ODD)
    _, labels = pictures["training_curves.png"].figure.axes[0].get_legend_handles_labels()
    assert labels == [*ODD, "mean"]


def test_names_of_classes_survive_to_the_claims(results):
    judged = claims([Evidence(results, "", True)], None)
    rows = {claim.key: claim.rows for claim in judged if claim.rows}
    assert [row["class"] for row in rows["direct.targets"]] == ["None"]
    assert [row["class"] for row in rows["direct.others"]] == list(ODD[1:])
    (claim,) = [
        claim for claim in judged if claim.key == "diagonal.beneficial" and claim.measurements
    ]
    assert claim.measurements[2].value == 5  # a sign of every class, whatever its name


def test_a_table_is_read_to_the_last_bit(results):
    changes = changed(ODD)
    pd.testing.assert_frame_equal(results.top_share.changes, changes, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_column_that_is_gone_is_named_with_its_file(tmp_path, table):
    results = complete(write_results(tmp_path, ODD, trimmed=table == "removal/rounds"))
    path = path_of(results, table)
    text = pd.read_csv(path, dtype=str, na_filter=False)
    for column in TABLES[table]:
        text.drop(columns=column).to_csv(path, index=False)
        again = Results(results.dataset, results.folder_of, results.parameters)
        with pytest.raises(InputError, match=rf"{path}: expected a column '{column}'; got "):
            read(again, table.partition("/")[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("data/card.json", "data/arrays.npz", "influence/vectors.npz", "train/history.csv"),
        *("ceiling/epochs.csv", "ceiling/ceiling.json", "fidelity/fidelity.json"),
        *("fidelity/scores.csv", "fidelity/summary.csv", "fidelity/samples.csv"),
        "removal/experiment/changes.csv",
        *("removal/experiment/correlations.csv", "removal/experiment/diagonal.csv"),
        *(f"{table}.csv" for table in WEIGHTED),
        *("reweight/weights.npz", "improve/weights.npz"),
    ],
)
def test_a_file_that_is_gone_from_a_stage_that_ran_is_named(results, name):
    stage, _, rest = name.partition("/")
    path = results.folder_of(stage) / rest
    path.unlink()
    with pytest.raises(InputError, match=rf"{path}: expected a file .* run `dvc repro`"):
        everything(results)


def everything(results: Results) -> None:
    read(results)
    _ = results.classes, results.labels_n, results.flipped_n, results.vectors, results.ceiling


def test_a_stage_that_did_not_run_has_no_results(tmp_path):
    results = Results("none", lambda part: tmp_path / part, {"removal": {"method": "top_share"}})
    assert (results.fidelity, results.removal, results.reweight) == (None, None, None)
    assert results.improve is None
    assert results.metrics("reweight") == {}
    assert not results.ran("removal")


@pytest.mark.parametrize(
    ("kind", "cell", "told"),
    [
        (int, "1.5", "expected int in column 'value'"),
        (int, "", "expected int in column 'value'"),
        (float, "None", "expected float in column 'value'"),
        (bool, "True", "expected 0 or 1 in column 'value'"),
        (int | None, "x", "expected int | None in column 'value'"),
    ],
)
def test_a_cell_of_another_type_is_told_with_its_file_and_column(tmp_path, kind, cell, told):
    path = tmp_path / "table.csv"
    path.write_text(f"name,value\na,{cell}\n")
    with pytest.raises(InputError) as error:
        read_table(path, {"name": str, "value": kind})
    assert str(error.value).startswith(f"{path}: {told}; got ")


def test_a_table_whose_last_line_does_not_end_is_damaged(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("value\n1\n2")
    with pytest.raises(InputError, match="its last line does not end"):
        read_table(path, {"value": int})


def test_results_of_this_run_come_first_and_in_place_of_the_carried_ones(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    loaded, (*others, again) = params.load(), names()
    run = loaded.run.model_copy(update={"datasets": ["linear", again]})
    first, *rest = run_and_carried(loaded.model_copy(update={"run": run}))
    assert [first.dataset, *(one.dataset for one in rest)] == ["linear", again, *others]
    assert first.parameters == loaded.datasets["linear"].model_dump()
    assert [one.provenance is None for one in rest] == [True] + [False] * len(others)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", names())
def test_what_the_repository_carries_is_whole(monkeypatch, request, dataset):
    monkeypatch.chdir(request.config.rootpath)
    results = Results.carried(dataset)
    check(dataset, record(dataset)["sha256"])
    everything(results)
    for table in read(results).values():
        if "class" in table and len(table):
            assert set(table["class"]) == set(results.classes)
    assert np.isfinite(results.vectors).all()
    if results.reweight is None:  # a set that is measured in part
        assert not results.ran("reweight")
        return
    cases = set(results.reweight.cases["case"])
    weights = results.reweight.weights
    assert {case for case, _ in weights} == cases
    assert {method for _, method in weights} == set(results.reweight.table["method"])
    assert all(len(weights_n) == len(results.labels_n) for weights_n in weights.values())
