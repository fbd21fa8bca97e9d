"""The tables of the page say what the results hold, and what the paper has beside it."""

from dataclasses import replace

import pytest

from catwise.claims import paper
from catwise.figures.labels import kind_label
from catwise.pipeline.results import Results, names
from catwise.report import fidelity_tables, provenance, removal_tables, table1, table2
from catwise.reweighting import genetic_search
from tests.helpers.reports import CASE, PROVENANCE, write_results

RUN = PROVENANCE["runs"][0]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("reports"))


def test_each_method_has_a_row_with_its_gains_and_counts(results):
    heading, *rows = table1.method_rows(results.reweight, CASE["case"])
    assert {len(row) for row in rows} == {len(heading)} == {9}
    names = [row[0] for row in rows]
    assert names[:2] == ["all ones", "LP-GA printed linear, start"]
    assert rows[1][1:5] == ["-9.95", "-9.95", "-9.95", "0, 2"]  # points of accuracy
    assert rows[1][5:] == ["-0.0995", "-0.0995", "-0.0995", "0, 2"]  # nats of loss


def test_what_every_method_gains_over_the_epoch_before_is_shown_with_the_controls(results):
    table = results.reweight.table.assign(before=0.5, after=0.4)
    changed = replace(results.reweight, table=table)
    heading, first, *_ = table1.before_rows(changed, CASE["case"])
    assert len(heading) == len(first)
    assert first == ["all ones", "-10.00", "-10.00", "+0.1000", "+0.1000"]  # a lower loss is better


def test_without_a_search_there_is_no_table_as_printed(results):
    none = results.reweight.printed.iloc[:0]
    without = replace(results.reweight, printed=none)
    assert table1.printed_rows(without, CASE["case"]) == []


def test_the_papers_layout_has_the_control_beside_it(results):
    heading, first, second = table1.printed_rows(results.reweight, CASE["case"])
    controls = ["all ones", "change, %", "refreshed", "change, %"]
    assert heading == ["class", "before", "after", "change, %", *controls]
    assert first[:-2] == ["a (target)", "0.500", "0.600", "+20.00", "0.550", "+10.00"]
    assert first[-2:] == ["0.601", "+20.10"]  # 0.6005, the mean over the seeds
    assert second[0] == "b"
    without = replace(results.reweight, refresh=results.reweight.refresh[:0])
    assert table1.printed_rows(without, CASE["case"])[1] == first[:-2]


def test_a_course_correction_is_compared_with_the_original_epoch(results):
    printed = results.reweight.printed.assign(original=0.4, change=50.0)
    course = replace(results.reweight, printed=printed)
    heading, first, _ = table1.printed_rows(course, CASE["case"])
    assert heading[1:4] == ["before", "original", "after"]
    assert first[4:-2] == ["+50.00", "0.550", "+37.50"]


def test_the_room_is_read_from_its_interval(results):
    heading, start, end = table1.room_rows(results.reweight, CASE["case"])
    assert len(heading) == len(start) == len(end)
    assert start[1:] == ["damped", "30.00", "10.00 (5.00 to 20.00)", "0.100", "room"]
    closed = results.reweight.room.assign(room=False)
    without = replace(results.reweight, room=closed)
    assert table1.room_rows(without, CASE["case"])[1][-1] == "ceiling, within noise"


def test_the_diagonal_is_shown_class_by_class_and_counted_by_the_stage(results):
    heading, first, second = removal_tables.diagonal(results.top_share.diagonal)
    assert heading == ["class", "without beneficial", "without detrimental", "without random"]
    assert first[:2] == ["a", "-10.00 (-12.48 to -7.52)"]
    assert second[0] == "b"
    _, plain, net = removal_tables.agreement(results.metrics("removal"), 2)
    assert plain == ["plain", *["2 of 2 classes, 1 significantly"] * 2]
    assert net == ["beyond random removal", *["2 of 2 classes, 1 significantly"] * 2]


def test_every_group_of_a_removal_is_a_row_with_its_interval_and_its_baseline():
    metrics = {
        f"{way}_{measure}_{group}{end}": 0.1 + number / 10
        for measure in ("accuracy", "loss")
        for number, group in enumerate(("beneficial", "detrimental", "random"))
        for way, ends in {"spearman": ("", "_low", "_high"), "spearman_mean": ("",)}.items()
        for end in ends
    }
    metrics |= {
        name.replace("spearman_mean", way): rho
        for name, rho in metrics.items()
        for way in ("counted", "ceiling")
        if "mean" in name
    }
    metrics["counted_loss_random"] = None  # all counts are alike
    metrics["ceiling_loss_beneficial"] = None  # a single seed
    _, *rows = removal_tables.removals({"digits": metrics, "linear": {"rounds": 3}})
    assert [row[:3] for row in rows] == [
        ["digits", "beneficial", "0.10 (0.10 to 0.10)"],
        ["digits", "detrimental", "0.20 (0.20 to 0.20)"],
        ["digits", "random", "0.30 (0.30 to 0.30)"],
    ]
    assert [row[-2:] for row in rows] == [["0.10", "-"], ["0.20", "0.20"], ["-", "0.30"]]


def test_hyper_parameters_stand_beside_the_papers_where_they_differ(tmp_path):
    train = {"model": "resnet9", "width": 8, "epochs": 6, "learning_rate": 0.4}
    recipe = {"learning_rate": 0.1, "batch_size": 5, "weight_decay": 0.0}
    small = {"generations": 1, "population": 8, "seeds": 2}
    cases = [
        {"recipe": "as_trained", "budget": "full"},
        {"recipe": recipe, "budget": small},
    ]
    search = {"generations": 3, "population": 24, "cases": cases}
    data = write_results(tmp_path).folder_of
    first, second = (
        Results(name, data, {"train": train, "reweight": section})
        for name, section in (("x", search), ("y", None))
    )
    object.__setattr__(first.card, "source", "cifar10")
    rows = {row[0]: row[1:] for row in table2.training_rows([first, second])}
    assert rows["epochs"] == ["6 (paper: 25)", "6"]
    assert rows["learning rate"] == ["0.4", "0.4"]
    rows = {row[0]: row[1:] for row in table2.search_rows([first, second])}
    assert rows["generations"] == ["20", "3, 1"]
    assert rows["learning rate"] == ["0.0001", "as trained, 0.1"]
    assert table2.search_rows([second]) == []


def test_the_search_is_as_table_two_prints_it():
    printed = [paper.GENETIC[key] for key in ("mutation_rate", "mutation_strength")]
    assert printed == [genetic_search.MUTATION_RATE, genetic_search.MUTATION_STRENGTH]


def test_times_add_up_over_runs_on_several_machines():
    other = RUN | {"processor": "another", "gpu": "a GPU"}
    other |= {"seconds": {"train": 30.0, "removal": 50.0}}
    about = PROVENANCE | {"runs": [RUN, other], "seconds": 680.0}
    assert provenance.times({"there": about}) == [
        ["data set", "prepare", "train", "removal", "all"],
        ["there", "30 s", "10 minutes", "50 s", "11 minutes"],
    ]
    first, second = "a processor, 2 cores, 2025-01-31", "a GPU and another, 2 cores, 2025-01-31"
    assert provenance.machines(about) == f"{first}, then {second}; 11 minutes"
    rounded = PROVENANCE | {"runs": [RUN | {"auto": "bfloat16"}], "seconds": 680.0}
    said = "a processor with bfloat16, 2 cores, 2025-01-31; 11 minutes"
    assert provenance.machines(rounded) == said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "commit abc1234"),
        ({"clean": False}, "commit abc1234 with changes"),
        ({"commit": None, "clean": None}, "code 555555555555 (no git there)"),
    ],
)
def test_the_code_that_measured_is_named(change, words):
    assert provenance.revision(PROVENANCE | {"runs": [RUN | change]}) == words


@pytest.mark.slow
def test_scores_are_those_of_the_stage_and_what_it_has_not_scored_is_scored_here(monkeypatch):
    carried = [Results.carried(name) for name in names()]
    heading, *rows = fidelity_tables.score_rows(carried)
    assert {len(row) for row in rows} == {len(heading)}
    cells = {tuple(row[:3]): dict(zip(heading, row, strict=True)) for row in rows}
    assert len(cells) == len(rows)
    of_stage = next(one for one in carried if one.dataset == "digits_noisy10")
    summary = of_stage.fidelity.summary.set_index(["design", "measure", "kind"])
    own = cells["digits_noisy10", "100 halves", "loss"]
    lds, low, high = summary.loc[("half", "loss", "exact_runs"), ["lds", "low", "high"]]
    assert own["exact, mean of runs"] == f"{lds:.2f} ({low:.2f} to {high:.2f})"
    assert own["ceiling"] != "-"

    def nothing(*args):
        return {}

    scored_here = fidelity_tables._of_vectors(of_stage, "half", "loss")
    for kind in ("ekfac", "ekfac_runs", "segments_runs", "label_counts"):
        expected = summary.loc[("half", "loss", kind), "lds"]
        assert scored_here[kind].value == pytest.approx(expected, abs=0.02), kind
    monkeypatch.setattr(fidelity_tables, "_of_vectors", nothing)
    alone = {tuple(row[:3]): row for row in fidelity_tables.score_rows(carried)[1:]}
    assert alone["digits_noisy10", "100 halves", "loss"][3] == own["identity"]
    assert alone["emotion", "10 halves", "loss"][heading.index("ekfac")] == "-"
    assert cells["emotion", "10 halves", "loss"]["ekfac"] != "-"


def test_the_best_kind_is_compared_with_counting_on_the_same_subsets():
    carried = [Results.carried("digits_noisy10")]
    heading, *rows = fidelity_tables.lead_rows(carried)
    assert {len(row) for row in rows} == {len(heading)}
    cells = {tuple(row[1:3]): row[3:] for row in rows}
    assert len(cells) == len(rows) == 4
    differences = carried[0].fidelity.differences
    for (design, measure), (name, words) in cells.items():
        key = {"halves": "half", "without a tenth": "removal"}[design]
        own = differences[(differences["design"] == key) & (differences["measure"] == measure)]
        own = own[own["second"] == "label_counts"]
        best = own.loc[own["difference"].idxmax()]  # the kind of the largest score leads by most
        assert name == kind_label(best["first"])
        assert words == f"{best['difference']:+.2f} ({best['low']:+.2f} to {best['high']:+.2f})"


def test_where_counting_is_ahead_the_difference_is_negative():
    carried = [Results.carried(name) for name in ("emotion_small", "digits_longtail")]
    ahead = {tuple(row[:3]): row[4] for row in fidelity_tables.lead_rows(carried)}
    assert ahead["emotion_small", "halves", "loss"].startswith("-")
    assert ahead["digits_longtail", "halves", "loss"].startswith("+")


def test_rankings_by_several_p_have_a_row_each_and_those_by_one_have_none():
    carried = [Results.carried(name) for name in ("digits_noisy10", "emotion_small")]
    heading, *rows = removal_tables.ranked(carried)
    assert {len(row) for row in rows} == {len(heading)}
    assert {row[0] for row in rows} == {"digits_noisy10"}
    rankings = carried[0].top_share.rankings
    assert len(rows) == 2 * rankings["vectors"].nunique()
    endpoint = rows[0]
    assert endpoint[1:3] == ["beneficial", "at the end of training"]
    rho = carried[0].metrics("removal")["spearman_mean_accuracy_beneficial"]
    assert endpoint[3].startswith(f"{rho:.2f} (")
    within = carried[0].metrics("removal")["spearman_within_accuracy_beneficial"]
    assert endpoint[4].startswith(f"{within:.2f} (")


def test_besides_counts_the_score_is_that_of_the_verdict():
    one = Results.carried("digits_noisy10")
    (row,) = fidelity_tables.besides_rows([one])[1:]
    score = one.ceiling.verdict.rank_score
    assert row[:2] == ["digits_noisy10", "200"]
    assert row[2] == f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"
    assert "-" not in row
    assert row[2] < row[-1] < "1.00"  # the ceiling
    assert fidelity_tables.besides_rows([Results.carried("emotion")])[1][-2:] == ["-", "-"]


def test_the_slope_of_p_at_the_end_is_that_of_the_verdict():
    one = Results.carried("digits_noisy10")
    (row,) = fidelity_tables.slope_rows([one])[1:]
    assert row[:3] == ["digits_noisy10", "200", f"{one.ceiling.verdict.slope:.2g}"]
