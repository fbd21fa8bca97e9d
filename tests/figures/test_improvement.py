"""The dot plot of new weights keeps gains readable beside far larger losses."""

import pandas as pd
from matplotlib.collections import PathCollection

from catwise.figures.improvement import FARTHEST, improvement_table


def table(losses):
    """A row a measure and method: two that gain, and one for each loss."""
    gains = {"plain": 0.0, "direction 0.5": 2.0, "direction 0.5, exact": 1.0}
    gains |= {f"loss {number}": loss for number, loss in enumerate(losses)}
    rows = [
        {
            **{"method": method, "proposed": method.startswith("direction")},
            **{"measure": measure, "value": 90.0 + net, "net": net},
            **{"low": net - 0.5, "high": net + 0.5, "up": 0, "down": 0, "seeds": 8},
        }
        for method, net in gains.items()
        for measure in ("mean", "worst", "loss")
    ]
    return pd.DataFrame(rows)


def test_a_loss_far_beyond_the_gains_is_a_triangle_with_its_number():
    axes, _ = improvement_table(table([-1.0, -40.0])).figure.axes
    numbers = [text.get_text().strip() for text in axes.texts]
    assert numbers == ["-40.0"]
    (triangles,) = [part for part in axes.collections if isinstance(part, PathCollection)]
    assert triangles.get_offsets().tolist() == [[-FARTHEST * 2.5, 3.0]]
    assert -5 < axes.get_xlim()[0] < triangles.get_offsets()[0, 0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["proposal: direction 0.5", "proposal: direction 0.5, exact P"]


def test_without_such_a_loss_there_is_none():
    for axes in improvement_table(table([-1.0])).figure.axes:
        assert not axes.texts
        assert axes.get_xlim()[0] < -1.5
