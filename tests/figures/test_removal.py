"""The laws of the removal pictures: they hold what the tables hold, and nothing leaves its cell."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import RendererAgg

from catwise.figures import removal
from catwise.figures.style import png
from catwise.removal.effects import correlations, diagonal, summary

pytestmark = pytest.mark.slow

ABC = ("a", "b", "c")
LONG = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "Sci/Tech")


def changes(predict, classes=ABC, seeds=2, controls=2, scale=1.0):
    """Make a removal experiment in which ``predict`` gives the change of accuracy.

    The loss does the opposite.
    """
    rng = np.random.default_rng(3)
    rows = []
    aims = [(group, name, None) for group in ("beneficial", "detrimental") for name in classes]
    aims += [("random", "", draw + 1) for draw in range(controls)]
    for group, target, draw in aims:
        for name in classes:
            influence = rng.normal()
            change, labelled = predict(influence), rng.integers(50)
            row = {
                "group": group,
                "target": target,
                "draw": draw,
                "class": name,
                "influence": scale * influence,
                "labelled": labelled,
                "accuracy_change": change,
                "loss_change": -change,
            }
            rows += [{**row, "seed": seed} for seed in range(seeds)]
    return pd.DataFrame(rows).astype({"draw": "Int64"})


def drawn(table, measure="accuracy", classes=ABC, paper=None):
    correlated = correlations(table)
    metrics = summary(correlated, diagonal(table))
    rankings = correlated.assign(vectors="endpoint")
    return removal.removal(table, correlated, rankings, metrics, classes, measure, paper)


def heat_maps(picture):
    return [axes for axes in picture.figure.axes if axes.texts]


def rendered(figure):
    figure.dpi = 120  # as ``png`` does: the margins depend on it
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    return RendererAgg(120 * width, 120 * height, 120)


def test_same_tables_same_bytes_other_tables_other_bytes():
    first, again, other = (
        png(drawn(changes(lambda i, s=s: -s * i)).figure) for s in (0.1, 0.1, 0.2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("classes", "scale"),
    [(ABC, 1.0), (LONG, 1e-5), (LONG, 30.0), (LONG, 3e6)],
    ids=["few", "tiny", "some", "huge"],
)
def test_nothing_leaves_the_picture_and_no_number_its_cell(classes, scale):
    for measure in ("accuracy", "loss"):
        picture = drawn(
            changes(lambda i: -0.3 * i, classes, controls=3, scale=scale), measure, classes
        )
        figure, renderer = picture.figure, rendered(picture.figure)
        box, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
        slack = 1 / 120  # one pixel
        assert min(box.x0, box.y0) > -slack
        assert box.x1 < width + slack
        assert box.y1 < height + slack
        for axes in heat_maps(picture):
            cell = axes.get_window_extent(renderer).width / len(classes)
            assert max(text.get_window_extent(renderer).width for text in axes.texts) < cell + 2


def test_the_diagonal_alone_is_hatched_and_framed_and_random_draws_have_none():
    picture = drawn(changes(lambda i: -i, controls=3))
    maps = heat_maps(picture)
    assert [axes.get_title()[0] for axes in maps] == ["A", "B", "D", "E", "G", "H"]
    for heat in maps:
        for wanted in (
            [p for p in heat.patches if p.get_hatch()],
            [p for p in heat.patches if p.get_linewidth() >= 2],
        ):
            places = [(0, 0), (1, 1), (2, 2)] if heat.get_title()[0] in "ABDE" else []
            assert [patch.get_xy() for patch in wanted] == places


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
@pytest.mark.parametrize(("predict", "rho"), [(lambda i: -i, "1.00"), (lambda i: i**3, "-1.00")])
def test_rho_is_one_when_removing_help_hurts(measure, predict, rho):
    titles = [
        axes.get_title()
        for axes in drawn(changes(predict), measure).figure.axes
        if "rho" in axes.get_title()
    ]
    assert [title.split(" = ")[1] for title in titles] == [rho] * 3  # three targets: no interval


def test_heat_maps_have_rows_by_target_and_columns_by_class_measured():
    table = changes(lambda i: -i)
    heat = heat_maps(drawn(table, "loss"))[1]
    means = table[table["group"] == "beneficial"].groupby(["target", "class"])["loss_change"].mean()
    shown = [float(text.get_text()) for text in heat.texts]
    np.testing.assert_allclose(shown, means, atol=0.05)  # one decimal: the largest is above 1
    assert [label.get_text() for label in heat.get_yticklabels()] == list(ABC)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_a_power_of_ten_in_the_title_is_taken_from_cells_and_points(scale):
    table = changes(lambda i: -i, scale=scale)
    axes = drawn(table).figure.axes
    title = axes[0].get_title()
    power = int(title.split("10^{")[1].split("}")[0]) if "10^" in title else 0
    means = table[table["group"] == "beneficial"].groupby(["target", "class"])["influence"].mean()
    shown = np.array([float(text.get_text()) for text in axes[0].texts])
    np.testing.assert_allclose(
        shown * 10.0**power, means, atol=0.05 * scale * (1 + abs(np.log10(scale)))
    )


def test_words_tell_the_paper_the_readings_and_no_nan():
    picture = drawn(changes(lambda i: -i), paper="Figure 3")
    assert picture.paper == "Figure 3"
    own = diagonal(changes(lambda i: -i))
    own = own[own["measure"] == "accuracy"]
    for group, sign in (("beneficial", -1), ("detrimental", 1)):
        rows = own[own["group"] == group]
        signs, significant = (sign * rows["net_mean"] > 0).sum(), (rows["net_reading"] == 1).sum()
        words = f"{signs} without their {group} samples ({significant} significantly)"
        assert words in picture.caption
    assert "nan" not in picture.caption + picture.alt


def test_an_experiment_without_any_change_is_drawn_without_a_correlation():
    picture = drawn(changes(lambda i: 0.0))
    titles = [axes.get_title() for axes in picture.figure.axes if "rho" in axes.get_title()]
    assert [title.split(" = ")[1] for title in titles] == ["none"] * 3
    assert "nan" not in picture.caption
    assert png(picture.figure)
