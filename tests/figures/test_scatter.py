"""The laws of the pictures: same data same bytes, and nothing that the data do not hold."""

import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_hex
from matplotlib.lines import AxLine

from catwise.ceiling.calibration import calibrate_from
from catwise.core.errors import InputError
from catwise.figures import (
    calibration,
    ceiling,
    cost,
    counts,
    fidelity,
    influence_plane,
    scatter,
    synthetic,
    training_curves,
    trimming,
)
from catwise.figures.style import HARM, png
from catwise.pipeline.records import TrimmingState
from catwise.report.benchmarks import costs
from stages import figures

PAIR = ("blue", "orange")


def points(n=40, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 2)) + 3 * y[:, None], y, rng.random(n) < 0.2, rng.normal(size=(n, 2))


def rounds_of_trimming(p_n2, rounds):
    """``rounds`` removals by the rule of the paper, then a state that removes nothing."""
    kept, states = np.arange(len(p_n2)), []
    for number in range(rounds + 1):
        harmful = kept[(p_n2[kept] < 0).all(axis=1)][:3] if number < rounds else kept[:0]
        accuracy = np.array([0.801, 0.902]) + number / 100
        states.append(
            TrimmingState(kept, p_n2[kept], harmful, np.array([1.0, 0.5 + number, -0.7]), accuracy)
        )
        kept = np.setdiff1d(kept, harmful)
    return states


def history(classes, epochs=3):
    rng = np.random.default_rng(4)
    index = pd.MultiIndex.from_product(
        [range(epochs + 1), ("train", "test"), classes], names=["epoch", "split", "class"]
    )
    return pd.DataFrame(
        {"accuracy": rng.random(len(index)), "loss": rng.random(len(index))}, index
    ).reset_index()


def control(seeds=4):
    rng = np.random.default_rng(5)
    arms = [("influence", 0), *(("random", seed) for seed in range(seeds))]
    return pd.DataFrame(
        {
            "arm": arm,
            "seed": seed,
            "round": number,
            "removed": 5 * number,
            "class": name,
            "accuracy": rng.random(),
        }
        for arm, seed in arms
        for number in range(3)
        for name in PAIR
    )


def every_picture(seed=0):
    x, y, flipped, p = points(seed=seed)
    states = rounds_of_trimming(p, 2)
    return {
        "influence_plane": influence_plane.influence_plane(p, y, flipped, PAIR, PAIR),
        "synthetic": synthetic.synthetic(x, y, flipped, p, states[0], PAIR, "Figure 2 A-C"),
        "trimming": trimming.trimming(x, y, flipped, states, PAIR),
        "trimming_control": trimming.trimming_control(control(4 + seed), PAIR),
        "counts": counts.counts(p, y, PAIR),
        "training_curves": training_curves.training_curves(history(PAIR, 3 + seed), PAIR),
    }


def legend_texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.slow
def test_same_data_same_bytes_other_data_other_bytes():
    settings = dict(mpl.rcParams)
    first, again, other = (
        {name: png(p.figure) for name, p in every_picture(s).items()} for s in (0, 0, 1)
    )
    assert first == again
    assert all(first[name] != other[name] for name in first)
    assert dict(mpl.rcParams) == settings


@pytest.mark.slow
def test_nothing_leaves_the_picture():
    for name, picture in every_picture().items():
        figure = picture.figure
        figure.dpi = 120  # as ``png`` does: the margins depend on it
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox(RendererAgg(120 * width, 120 * height, 120))
        slack = 1 / 120  # one pixel
        assert min(box.x0, box.y0) > -slack, name
        assert box.x1 < width + slack, name
        assert box.y1 < height + slack, name


def test_words_hold_numbers_and_no_nan():
    for name, picture in every_picture().items():
        assert any(character.isdigit() for character in picture.caption), name
        assert "nan" not in picture.caption, name
        assert all((picture.title, picture.alt)), name


def test_regions_partition_the_samples_and_the_figure_tells_their_sizes():
    p = np.random.default_rng(1).normal(size=(50, 2))
    p[:3] = [[0, 0], [0, 1], [1, 0]]
    found = scatter.regions(p, PAIR)
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    axes = influence_plane.influence_plane(
        p, np.arange(50) % 2, np.zeros(50, bool), PAIR, PAIR
    ).figure.axes[0]
    told = dict(text.get_text().split("\n") for text in axes.texts)
    assert told == {name: f"{mask.sum()} samples" for name, mask in found.items()}


def test_every_sample_is_drawn_once_in_the_influence_plane():
    p = np.random.default_rng(2).normal(size=(60, 3))
    y, flipped = np.arange(60) % 3, np.arange(60) % 7 == 0
    axes = influence_plane.influence_plane(p, y, flipped, ("a", "b", "c"), ("c", "a")).figure.axes[
        0
    ]
    drawn = np.concatenate([c.get_offsets() for c in axes.collections])
    np.testing.assert_array_equal(np.unique(drawn, axis=0), np.unique(p[:, [2, 0]], axis=0))
    crosses = [c for c in axes.collections if c.get_label().endswith("flipped")]
    assert sum(len(c.get_offsets()) for c in crosses) == flipped.sum()


def test_trimming_highlights_exactly_what_is_removed():
    x, y, flipped, p = points()
    states = rounds_of_trimming(p, 2)
    figure = trimming.trimming(x, y, flipped, states, PAIR).figure
    assert len(figure.axes) == 2 * 3  # the last state removes nothing and has no row
    for state, plane in zip(states, figure.axes[1::3], strict=False):
        (marks,) = [c for c in plane.collections if c.get_label() == "removed"]
        np.testing.assert_array_equal(marks.get_offsets(), p[state.removed])
        assert plane.get_title() == f"to be removed: {len(state.removed)}"


def test_trimming_tells_the_accuracies_before_and_after():
    x, y, flipped, p = points()
    figure = trimming.trimming(x, y, flipped, rounds_of_trimming(p, 2), PAIR).figure
    told = [legend_texts(axes) for axes in figure.axes if axes.get_legend()]
    first, second, third = (
        ["blue 80.1 %, orange 90.2 %"],
        ["blue 81.1 %, orange 91.2 %"],
        ["blue 82.1 %, orange 92.2 %"],
    )
    assert told == [first, second, second, third]


def test_trimming_that_removes_nothing_has_one_row_and_says_so():
    x, y, flipped, p = points()
    picture = trimming.trimming(x, y, flipped, rounds_of_trimming(p, 0), PAIR)
    assert len(picture.figure.axes) == 3
    assert "none removed" in picture.figure.get_suptitle()


def test_a_round_that_was_not_fitted_again_shows_no_boundary():
    x, y, flipped, p = points()
    figure = trimming.trimming(x, y, flipped, rounds_of_trimming(p, 2)[:1], PAIR).figure
    before, _, after = figure.axes
    assert any(isinstance(line, AxLine) for line in before.lines)
    assert not any(isinstance(line, AxLine) for line in after.lines)
    assert "not fitted" in after.get_title()


def test_the_boundary_is_where_the_logit_is_zero():
    x, y, flipped, p = points()
    state = rounds_of_trimming(p, 0)[0]
    axes = synthetic.synthetic(x, y, flipped, p, state, PAIR, "Figure 2 A-C").figure.axes[0]
    (line,) = [line for line in axes.lines if isinstance(line, AxLine)]
    ends = np.array([line.get_xy1(), line.get_xy2()])
    np.testing.assert_allclose(
        ends @ state.boundary[:2] + state.boundary[2], 0, atol=1e-12
    )  # rounding
    assert np.ptp(ends, axis=0).any()


def test_painted_influence_tells_its_sign_by_colour_and_marker():
    x, y, flipped, p = points()
    axes = synthetic.synthetic(
        x, y, flipped, p, rounds_of_trimming(p, 0)[0], PAIR, "Figure 2 A-C"
    ).figure.axes
    for k, panel in enumerate(axes[2:]):
        helps, _, harms, _ = panel.collections
        np.testing.assert_array_equal(helps.get_offsets(), x[p[:, k] > 0])
        np.testing.assert_array_equal(harms.get_offsets(), x[p[:, k] < 0])
        assert to_hex(helps.get_facecolors()[0]) == scatter.GROUPS[k][0]
        assert to_hex(harms.get_facecolors()[0]) == HARM
        assert not np.array_equal(helps.get_paths()[0].vertices, harms.get_paths()[0].vertices)


def test_training_curves_name_the_worst_class_of_the_last_epoch():
    table = history(("a", "b", "c"))
    last = table[(table["split"] == "test") & (table["epoch"] == 3)].set_index("class")
    accuracy, loss = training_curves.training_curves(table, ("a", "b", "c")).figure.axes
    assert accuracy.texts[0].get_text() == f"worst: {last['accuracy'].idxmin()}"
    assert loss.texts[0].get_text() == f"worst: {last['loss'].idxmax()}"


def test_control_bars_are_the_95_percent_interval_of_the_mean():
    table = control()
    figure = trimming.trimming_control(table, PAIR).figure
    for name, axes in zip(PAIR, figure.axes, strict=True):
        random = table[(table["arm"] == "random") & (table["class"] == name)].groupby("round")[
            "accuracy"
        ]
        # 3.1824463: the 97.5 % quantile of Student's t with 3 degrees of freedom, from a table
        (bars,) = axes.containers
        heights = [np.ptp(segment[:, 1]) for segment in bars.lines[2][0].get_segments()]
        np.testing.assert_allclose(
            heights, 2 * 100 * 3.1824463 * random.std() / np.sqrt(4), rtol=1e-6
        )


def test_bad_input_is_told_in_one_line():
    _, y, flipped, p = points()
    with pytest.raises(
        InputError, match=r"pair: expected two different ones of blue, orange; got blue, blue"
    ):
        influence_plane.influence_plane(p, y, flipped, PAIR, ("blue", "blue"))
    with pytest.raises(InputError, match=r"expected shape \(40, 2\); got \(39, 2\)"):
        counts.counts(p[1:], y, PAIR)
    with pytest.raises(InputError, match="expected finite values"):
        counts.counts(np.where(p > 1, np.nan, p), y, PAIR)


def test_stage_without_its_inputs_names_the_missing_file(tmp_path, monkeypatch):
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"vectors.npz: expected a file .* run `dvc repro`"):
        figures.main("linear")


def made_bench() -> dict:
    """A benchmark of one case in which every other method takes 7.3 times as long as ours."""
    values = {"seconds": 7.3, "peak bytes": 1e6, "seconds / ours": 7.3}
    ours = values | {"seconds": 1.0, "seconds / ours": 1.0}
    rows = {
        axis: [{axis: 10 * s, "train seconds": s, "query seconds": s} for s in (1, 2, 4)]
        for axis in "nmk"
    }
    return {
        "machine": {"device": "a processor", "threads": 2},
        "cases": {
            "net": {
                "n": 10,
                "m": 5,
                "fitted": 4,
                "scores": {"pairwise": values, "aggregated": values, "ours": ours},
                "fits": {"kronfluence": values, "ours, all": values, "ours": ours},
                "query gradients, bytes": {"pairwise": 5e6, "ours": 1e6},
            }
        },
        "growth": {axis: {"rows": rows[axis], "slope": {"train seconds": 1.0}} for axis in "nmk"},
    }


def test_the_benchmark_shows_the_ratios_that_were_measured():
    rows = [
        {"draw": d, "samples": s, "mean": 0.9, "worst class": 0.8}
        for d in ("importance", "balanced")
        for s in (1, 2)
    ]
    ranking = {"rows": rows, "n": 2, "images": "made", "accuracy": 0.5}
    figure = cost.benchmark(made_bench(), ranking).figure
    assert [text.get_text() for text in figure.axes[0].texts] == ["7.3"] * 4
    table = costs(made_bench())
    assert {len(row) for row in table} == {7}
    assert [row[4] for row in table[1:]] == ["7.3", "7.3", "1.0", "7.3", "7.3", "1.0"]


def fidelity_tables(ceiling: float) -> dict[str, pd.DataFrame]:
    """Scores of two kinds in two measures, on halves alone."""
    summary, scores, differences = [], [], []
    for measure in ("loss", "accuracy"):
        case = {"design": "half", "measure": measure}
        for kind, lds in (("label_counts", 0.5), ("ekfac", 0.7)):
            row = {**case, "kind": kind, "lds": lds, "low": lds - 0.1, "high": lds + 0.1}
            summary.append({**row, "ceiling": ceiling, "cost": lds})
            scores.append({**row, "class": "a", "ceiling": ceiling})
        ends = {"difference": 0.2, "low": 0.1, "high": 0.3}
        differences.append({**case, "first": "ekfac", "second": "label_counts", **ends})
    tables = {"summary": summary, "scores": scores, "differences": differences}
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


@pytest.mark.parametrize("ceiling", [0.9, float("nan")])
def test_the_fidelity_names_the_best_kind_how_far_it_is_ahead_and_the_ceiling(ceiling):
    picture = fidelity.fidelity(**fidelity_tables(ceiling), flipped_label_auc={"ekfac": 0.9})
    ahead = "ekfac 0.700, ahead of labels counted by 0.200 (95 % 0.100 to 0.300)"
    assert f"loss, random halves: {ahead}" in picture.caption
    assert "In accuracy the score of ekfac less that of counting labels is 0.200" in picture.caption
    assert "AUC of flipped labels: ekfac 0.900" in picture.caption
    assert len(picture.figure.axes) == 2
    for axes in picture.figure.axes:
        assert [bar.get_width() for bar in axes.patches] == [0.5, 0.7]
        assert any(line.get_linestyle() == "--" for line in axes.lines) == (ceiling == 0.9)


def test_the_cost_of_each_kind_of_influence_is_drawn_beside_its_score():
    figure = fidelity.fidelity_cost(fidelity_tables(0.9)["summary"]).figure
    drawn = [line for line in figure.axes[0].lines if line.get_marker() in ("o", "s")]
    assert [line.get_xydata().tolist() for line in drawn] == [[[0.5, 0.5]], [[0.7, 0.7]]] * 2
    assert [line.get_markerfacecolor() == "white" for line in drawn] == [False] * 2 + [True] * 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["labels counted", "ekfac"]


def test_the_agreement_of_drawn_pairs_is_said_in_words():
    samples = pd.DataFrame(
        [
            {"draw": draw, "samples": count, "seed": 0, "class": "a", "spearman": 0.9}
            for draw in ("importance", "balanced")
            for count in (5, 9)
        ]
    )
    assert "rho is 0.900 when pairs" in fidelity.fidelity_samples(samples).caption


@pytest.mark.parametrize("epochs", [(1,), (1, 2, 8)])
def test_the_ceiling_is_drawn_at_every_checkpoint_with_interval_null_and_the_verdict_in_words(
    epochs,
):
    names = ("first_component_ratio", "smallest_share", "headroom", "crossfitted")
    table = pd.DataFrame(
        {"epoch": epoch, "figure": name, "value": 0.2, "low": 0.1, "high": 0.4}
        | ({"null_middle": 0.0, "null_low": -0.1, "null_high": 0.1} if name in names[2:] else {})
        for epoch in epochs
        for name in names
    )
    picture = ceiling.ceiling(table, "at its ceiling within noise")
    assert "At the last checkpoint: at its ceiling within noise." in picture.caption
    left, right = picture.figure.axes
    for axes, factor in ((left, 100), (right, 1)):
        assert len(axes.containers) == 2
        for bars in axes.containers:
            np.testing.assert_allclose(bars.lines[0].get_ydata().astype(float), factor * 0.2)
            for segment in bars.lines[2][0].get_segments():
                np.testing.assert_allclose(segment[:, 1], [factor * 0.1, factor * 0.4])
            assert len(bars.lines[2][0].get_segments()) == len(epochs)


def test_the_gain_of_each_class_stands_beside_a_small_gain():
    epochs = pd.DataFrame(
        {"epoch": 1, "figure": name, "value": 0.2, "low": 0.1, "high": 0.4}
        | {"null_middle": 0.0, "null_low": -0.1, "null_high": 0.1}
        for name in ("first_component_ratio", "smallest_share", "headroom", "crossfitted")
    )
    gains = pd.DataFrame(
        {"class": name, "quantity": quantity, "value": value, "low": value - 1, "high": value + 2}
        for quantity in ("accuracy", "loss")
        for name, value in (("cat", 2.0), ("dog", 0.3))
    )
    axes = ceiling.ceiling(epochs, "room", gains, 0.5).figure.axes[2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dog", "cat"]
    (bars,) = axes.containers
    np.testing.assert_allclose(bars.lines[0].get_ydata().astype(float), [0.3, 2])
    ends = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[-0.7, 2.3], [1, 4]])
    assert 0.5 in [line.get_ydata()[0] for line in axes.lines]


def test_predicted_and_realised_gains_are_relative_to_the_mean_of_their_design(rng):
    p_nk, kept_hn = rng.normal(size=(20, 2)), rng.random((6, 20)) < 0.5
    labels_n, counts_k = np.arange(20) % 2, np.ones(2)
    loss_hsk = rng.normal(size=(6, 3, 2)) + 5 * (np.arange(6) % 2)[:, None, None]
    subsets = {
        "kept_hn": kept_hn,
        "design_h": np.arange(6) % 2,
        "loss_hsk": loss_hsk,
        "accuracy_hsk": 0.8 - loss_hsk / 100,
    }
    picture = calibration.retrained_gains(p_nk, labels_n, counts_k, subsets, PAIR)
    each, joint = picture.figure.axes
    assert (len(each.collections), len(joint.collections)) == (2, 1)
    for marks in (*each.collections, *joint.collections):
        for design in (0, 1):
            points_h2 = np.asarray(marks.get_offsets())[design::2]
            np.testing.assert_allclose(points_h2.mean(axis=0), 0, atol=1e-12)
    slope = calibrate_from(subsets, p_nk, labels_n, counts_k).mixture.interval(0)
    assert f"its slope is {slope.value:.2g} ({slope.low:.2g} to" in picture.caption
