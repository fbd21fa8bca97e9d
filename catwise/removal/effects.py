"""Compare what removing samples does with what influence predicts (section 5.1; Figures 3, 4, 6).

``influence`` of a removal on class k is sum_{i removed} P[i, k]; a change is that class's accuracy
or loss after training without the samples, less that of the same seed with all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from catwise.core.statistics import (
    SIGN_WITHOUT_HELP,
    jackknife_half_width,
    noise_ceiling,
    spearman,
    student_half_width,
)
from catwise.removal.top_share import Removal

__all__ = ["changes", "correlations", "diagonal", "summary"]

DRAWS = 1000  # of what chance gives
FEWEST_TARGETS = 4  # fewer say nothing of their own noise
NUMBERS = ["influence", "labelled", "accuracy_change", "loss_change"]

Measured = tuple[Sequence[float], Sequence[float]]  # accuracy and loss of each class


def changes(
    planned: Sequence[tuple[int, Removal]],
    measured: Sequence[Measured],
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    classes: Sequence[str],
) -> pd.DataFrame:
    """Tabulate each removal's influence on each class beside the changes of accuracy and loss.

    ``target`` is the class that a removal aims at; a random one has the number of its ``draw``
    instead, counted from 1. ``labelled`` counts the removed samples with the label of the class,
    which predicts the change without any influence.
    """
    before = {
        seed: levels
        for (seed, removed), levels in zip(planned, measured, strict=True)
        if removed.group == "none"
    }
    rows = []
    for (seed, removed), (accuracy_k, loss_k) in zip(planned, measured, strict=True):
        if removed.group == "none":
            continue
        accuracy_before_k, loss_before_k = before[seed]
        random = removed.group == "random"
        state = {
            "group": removed.group,
            "target": "" if random else classes[removed.target],
            "draw": removed.target + 1 if random else None,
            "seed": seed,
        }
        for k, name in enumerate(classes):
            rows.append(
                {
                    **state,
                    "class": name,
                    "influence": float(p_nk[removed.rows, k].sum()),
                    "labelled": int((labels_n[removed.rows] == k).sum()),
                    "accuracy_change": float(accuracy_k[k] - accuracy_before_k[k]),
                    "loss_change": float(loss_k[k] - loss_before_k[k]),
                }
            )
    return pd.DataFrame(rows).astype({"draw": "Int64"})


def correlations(changed: pd.DataFrame) -> pd.DataFrame:
    """Compute Spearman's rho of predicted and actual change, for each group and measure.

    Removing rows R should raise the loss of class k, and lower its accuracy, the more so the larger
    sum_{i in R} P[i, k] is; rho is 1 where the ranking is perfect. Only ranks are compared, because
    influence overstates sizes. Each rho comes in four ways, two by two, with a 95 % interval:

    trainings  one: rho within a seed, its mean and Student's interval over the seeds.
               mean: rho of the changes averaged over the seeds. Its jackknife interval is over
               the targets, the rows of Figure 3 B; fewer than four have none.
    pairs      all: all pairs of target and class.
               within: both sides are ranked over the targets, for each class measured. This takes
               away that some classes are easier to move than others.

    ``shuffled`` and ``shuffled_high`` are mean and 97.5 % quantile of the same rho when the
    predictions of the targets change places: what chance gives. Random removals do not tell that,
    for influence ranks those too. ``counted`` is rho of a prediction that knows the labels alone:
    how many samples of the class were removed. ``ceiling`` is what the noise between the seeds
    leaves a perfect prediction to reach (``noise_ceiling``).

    Differs from the paper: it gives ``all`` alone, without an interval, and does not say of how
    many trainings.
    """
    rng = np.random.default_rng(0)
    rows = []
    for group, members in changed.dropna(subset=NUMBERS).groupby("group"):
        influence_tk, labelled_tk = (_by_seed(members, name)[0] for name in NUMBERS[:2])
        shuffled = rng.permuted(np.tile(np.arange(len(influence_tk)), (DRAWS, 1)), axis=1)
        for measure, sign in SIGN_WITHOUT_HELP.items():
            predictions = (sign * influence_tk, sign * labelled_tk)
            change_stk = _by_seed(members, f"{measure}_change")
            for pairs in ("all", "within"):
                case = {"group": group, "measure": measure, "pairs": pairs}
                ways = _two_ways(*predictions, change_stk, pairs, shuffled)
                rows += [{**case, **way} for way in ways]
    return pd.DataFrame(rows)


def _two_ways(
    influence_tk: np.ndarray,
    labelled_tk: np.ndarray,
    change_stk: np.ndarray,
    pairs: str,
    shuffled: np.ndarray,
) -> list[dict[str, Any]]:
    """Compute rho of one training and rho of the mean over trainings, for one way to pair."""

    def ranked(tables: np.ndarray) -> np.ndarray:
        return rankdata(tables, axis=-2) if pairs == "within" else tables

    mean_tk = change_stk.mean(axis=0)
    predicted, counted = ranked(influence_tk[None]), ranked(labelled_tk[None])
    by_chance = ranked(influence_tk[shuffled])
    rows = []
    for trainings, actual in (("one", ranked(change_stk)), ("mean", ranked(mean_tk[None]))):
        rho = _rho(predicted, actual).loc[0]
        if trainings == "one":
            interval = _interval(rho)
        else:
            half = _half_over_targets(influence_tk, mean_tk, ranked)
            interval = {"mean": rho.item(), "low": rho.item() - half, "high": rho.item() + half}
        interval = {key: np.clip(value, -1, 1) for key, value in interval.items()}
        chance = _rho(by_chance, actual).mean(axis=1)
        noisy_hs = _columns(ranked(change_stk))
        top = noise_ceiling(noisy_hs[:, :, None], averaged=1 if trainings == "one" else None)
        rows.append(
            {
                "trainings": trainings,
                "rho": interval["mean"],
                "low": interval["low"],
                "high": interval["high"],
                "ceiling": float(top[0]),
                "counted": _rho(counted, actual).loc[0].mean(),
                "shuffled": chance.mean(),
                "shuffled_high": chance.quantile(0.975),
            }
        )
    return rows


def _half_over_targets(
    influence_tk: np.ndarray,
    mean_tk: np.ndarray,
    ranked: Callable[[np.ndarray], np.ndarray],
) -> float:
    """Compute half the width of the interval of rho, from its values without each target."""
    targets = len(mean_tk)
    if targets < FEWEST_TARGETS:
        return np.nan
    others = np.array([np.delete(np.arange(targets), one) for one in range(targets)])
    predicted, actual = (_columns(ranked(table[others])) for table in (influence_tk, mean_tk))
    return float(jackknife_half_width(spearman(predicted, actual)))


def diagonal(changed: pd.DataFrame) -> pd.DataFrame:
    """Read the diagonal as the paper does: what removing a class's own samples does to that class.

    Beneficial samples removed, its accuracy should fall and its loss rise; detrimental ones
    removed, the other way round. ``mean``, ``low`` and ``high`` are mean and Student's 95 %
    interval of the change over the seeds. ``net_`` marks the same less the mean change of that
    class over the random draws in the same seed, because less data alone costs accuracy too; the
    rows of group random hold that mean itself. A ``reading`` is 1 if the interval leaves out 0 and
    the change is as the paper says, -1 if it is the opposite, and 0 if it is not significant.

    The intervals are of one class and one measure each. They are about the seed of the training,
    given the random draws.
    """
    controls = changed[changed["group"] == "random"].groupby(["class", "seed"], sort=False)
    random = controls[NUMBERS].mean()
    aimed = changed[changed["group"] != "random"]
    own = aimed[aimed["target"] == aimed["class"]].set_index("seed")
    rows = []
    for measure, sign in SIGN_WITHOUT_HELP.items():
        column = f"{measure}_change"
        for name in random.index.unique("class"):
            control = random.loc[name, column]
            for group, expected in (("beneficial", sign), ("detrimental", -sign)):
                change = own.loc[(own["group"] == group) & (own["class"] == name), column]
                plain, net = _reading(change, expected), _reading(change - control, expected)
                row = {"class": name, "group": group, "measure": measure, **plain}
                rows.append(row | {f"net_{key}": value for key, value in net.items()})
            row = {"class": name, "group": "random", "measure": measure, **_interval(control)}
            rows.append(row)
    return pd.DataFrame(rows).astype({"reading": "Int64", "net_reading": "Int64"})


def summary(correlated: pd.DataFrame, own: pd.DataFrame) -> dict[str, float]:
    """Collect the headline numbers of both tables in one flat record.

    spearman_         rho of one training, with its interval
    spearman_mean_    rho of the changes averaged over the seeds
    spearman_within_  the same within classes
    counted_          as spearman_mean_, by counting labels
    ceiling_          the highest that the noise between seeds leaves for spearman_mean_
    signs_            in how many classes the sign of the mean is the paper's
    significant_      in how many of them the interval leaves out 0 as well
    net_              both, against the random draws
    """
    numbers: dict[str, float] = {}
    for row in correlated.to_dict("records"):
        name = f"{row['measure']}_{row['group']}"
        if (row["pairs"], row["trainings"]) == ("all", "one"):
            numbers[f"spearman_{name}"] = row["rho"]
            numbers |= {f"spearman_{name}_{end}": row[end] for end in ("low", "high")}
        elif (row["pairs"], row["trainings"]) == ("all", "mean"):
            numbers[f"spearman_mean_{name}"] = row["rho"]
            numbers[f"counted_{name}"] = row["counted"]
            numbers[f"ceiling_{name}"] = row["ceiling"]
        elif row["trainings"] == "mean":
            numbers[f"spearman_within_{name}"] = row["rho"]
    for (measure, group), rows in own[own["group"] != "random"].groupby(["measure", "group"]):
        expected = SIGN_WITHOUT_HELP[measure] * (1 if group == "beneficial" else -1)
        for net in ("", "net_"):
            signs, significant = expected * rows[f"{net}mean"] > 0, rows[f"{net}reading"] == 1
            numbers[f"{net}signs_{measure}_{group}"] = int(signs.sum())
            numbers[f"{net}significant_{measure}_{group}"] = int(significant.sum())
    return numbers


def _by_seed(members: pd.DataFrame, column: str) -> np.ndarray:
    """Arrange a column as (seeds, targets, classes); the targets of random removals are draws.

    Targets stand in the order of their text, on which what chance gives depends.
    """
    random = members["group"] == "random"
    named = members.assign(target=members["target"].where(~random, members["draw"].astype(str)))
    table = named.pivot(index=["seed", "target"], columns="class", values=column)
    table = table.reindex(pd.MultiIndex.from_product(table.index.levels))  # NaN for what diverged
    return table.to_numpy().reshape(members["seed"].nunique(), -1, table.shape[1])


def _columns(tables: np.ndarray) -> np.ndarray:
    """Flatten tables (..., t, k) to columns (t k, ...)."""
    return tables.reshape(len(tables), -1).T


def _rho(predicted: np.ndarray, actual: np.ndarray) -> pd.DataFrame:
    """Compute rho of each predicted table (a row) with each actual one (a column); NaN for none."""
    return pd.DataFrame(spearman(_columns(predicted)[:, :, None], _columns(actual)[:, None]))


def _interval(values: pd.Series) -> dict[str, float]:
    """Compute mean and Student's 95 % interval of the mean; NaN are left out, and one has none."""
    values = values.dropna()
    if values.empty:
        return dict.fromkeys(("mean", "low", "high"), np.nan)
    mean, half = values.mean(), float(student_half_width(values)) if len(values) > 1 else np.nan
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _reading(change: pd.Series, expected: int) -> dict[str, Any]:
    """Compute the interval, and whether it lies on the side of 0 that the paper expects."""
    interval = _interval(change)
    sign = int(interval["low"] > 0) - int(interval["high"] < 0)
    return {**interval, "reading": expected * sign}
