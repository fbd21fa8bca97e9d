"""Compare what removing samples does with what influence predicts (section 5.1, Figures 3, 4, 6, 7)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from scipy.stats import t as student

from catwise.removal.top_share import Removal

__all__ = ["changes", "correlations", "diagonal", "summary"]


DRAWS = 1000  # of the bootstrap and of what chance gives


MEASURES = {"accuracy": -1, "loss": 1}  # the sign of the change when what is removed was beneficial


READINGS = {1: "as the paper says", 0: "not significant", -1: "against"}


Measured = tuple[Sequence[float], Sequence[float]]  # accuracy and loss of each class


def changes(
    planned: Sequence[tuple[int, Removal]],
    measured: Sequence[Measured],
    p_nk: np.ndarray,
    y_n: np.ndarray,
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """One row per removal and class: sum_{i removed} P[i, k], and after minus before in accuracy and loss.

    Before: the training of the same seed that removes nothing, from the same initial weights. ``labelled``: how many of
    the removed bear the label of the class, which predicts the change without any influence.
    """
    before = {
        seed: found
        for (seed, removed), found in zip(planned, measured, strict=True)
        if removed.group == "none"
    }
    rows = []
    for (seed, removed), (accuracy_k, loss_k) in zip(planned, measured, strict=True):
        if removed.group == "none":
            continue
        accuracy_before, loss_before = before[seed]
        target = (
            f"draw {removed.target + 1}" if removed.group == "random" else classes[removed.target]
        )
        for k, name in enumerate(classes):
            row = {"group": removed.group, "target": target, "seed": seed, "class": name}
            row["influence"] = float(p_nk[removed.rows, k].sum())
            row["labelled"] = int((y_n[removed.rows] == k).sum())
            row["accuracy_change"] = float(accuracy_k[k] - accuracy_before[k])
            row["loss_change"] = float(loss_k[k] - loss_before[k])
            rows.append(row)
    return rows


def correlations(changed: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of predicted and actual change for each group and measure, in four ways, with 95 % intervals.

    Removing rows R should raise the loss of class k, and lower its accuracy, as sum_{i in R} P[i, k] is large; +1 is
    a perfect ranking. Only ranks are compared: influence overstates sizes.
    ``trainings``: ``one``, rho within a seed, its mean and Student's interval over the seeds; or ``mean``, rho of
    the changes averaged over the seeds, with a bootstrap interval over the targets, the rows of Figure 3 B: how much
    it hangs on which classes were aimed at, not on the seeds, of which there are too few to resample.
    ``pairs``: ``all`` pairs of target and class; or ``within`` classes, both sides ranked over the targets for each
    class measured, which takes away that some classes are easier to move than others.
    ``shuffled`` and ``shuffled_high``: mean and 97.5 % quantile of the same rho when the targets' predictions change
    places: what chance gives. Random removals do not tell that, for influence ranks those too. ``counted``: rho of a
    prediction that knows the labels alone, how many samples of the class were removed.
    Differs from the paper: it gives ``all`` alone, without interval, and does not say of how many trainings.
    """
    rng = np.random.default_rng(0)
    rows = []
    for group, members in changed.dropna().groupby("group"):
        influence_tk, labelled_tk = (
            _by_seed(members, column)[0] for column in ("influence", "labelled")
        )
        targets = len(influence_tk)
        drawn = rng.integers(targets, size=(DRAWS, targets))
        shuffled = rng.permuted(np.tile(np.arange(targets), (DRAWS, 1)), axis=1)
        for measure, sign in MEASURES.items():
            change_stk = _by_seed(members, f"{measure}_change")
            mean_tk = change_stk.mean(axis=0)
            for pairs, ranks in (("all", _ranks), ("within", _ranks_within)):
                predicted, by_chance = (
                    sign * ranks(influence_tk[None]),
                    sign * ranks(influence_tk[shuffled]),
                )
                case = {"group": group, "measure": measure, "pairs": pairs}
                counted = sign * ranks(labelled_tk[None])
                actual = ranks(change_stk)
                one = {
                    key: np.clip(value, -1, 1)
                    for key, value in _interval(_rho(predicted, actual)).items()
                }
                one |= {"counted": float(_rho(counted, actual).mean())} | _chance(
                    _rho(by_chance[:, None], actual)
                )
                rows.append({**case, "trainings": "one"} | one)
                actual = ranks(mean_tk[None])
                low, high = _rho(sign * ranks(influence_tk[drawn]), ranks(mean_tk[drawn])).quantile(
                    [0.025, 0.975]
                )
                mean = {"mean": _rho(predicted, actual).item(), "low": low, "high": high}
                mean |= {"counted": _rho(counted, actual).item()} | _chance(
                    _rho(by_chance[:, None], actual)
                )
                rows.append({**case, "trainings": "mean"} | mean)
    return pd.DataFrame(rows).rename(columns={"mean": "rho"})


def diagonal(changed: pd.DataFrame) -> pd.DataFrame:
    """The paper's reading of the diagonal, class by class: does removing its samples do to it what they are named for?

    Beneficial removed: its accuracy falls and its loss rises; detrimental removed: the other way round. ``mean``,
    ``low`` and ``high``: the change of the class, mean and Student's 95 % interval over the seeds; a reading is
    significant if the interval leaves out 0. ``net_``: less the mean change of that class over the random draws in
    the same seed, because less data alone costs accuracy too. The rows of group random hold that mean itself.
    The intervals are of one class and one measure each, and about the training's seed, given what was drawn.
    """
    random = (
        changed[changed["group"] == "random"]
        .groupby(["class", "seed"], sort=False)
        .mean(numeric_only=True)
    )
    own = changed[
        (changed["target"] == changed["class"]) & (changed["group"] != "random")
    ].set_index("seed")
    rows = []
    for measure, sign in MEASURES.items():
        column = f"{measure}_change"
        for name in random.index.unique("class"):
            control = random.loc[name, column]
            for group, expected in (("beneficial", sign), ("detrimental", -sign)):
                change = own.loc[(own["group"] == group) & (own["class"] == name), column]
                case = {"class": name, "group": group, "measure": measure}
                rows.append(
                    case
                    | _reading(change, expected, "")
                    | _reading(change - control, expected, "net_")
                )
            rows.append(
                {"class": name, "group": "random", "measure": measure}
                | _interval(control)
                | {"reading": "-"}
            )
    return pd.DataFrame(rows)


def summary(correlated: pd.DataFrame, own: pd.DataFrame) -> dict[str, float]:
    """The headline numbers of both tables, flat.

    ``spearman_``: of one training, with its interval; ``spearman_mean_``: of the changes averaged over the seeds;
    ``spearman_within_``: of those within classes; ``counted_``: as ``spearman_mean_``, by counting labels. ``signs_``:
    in how many classes the sign of the mean is the paper's, ``significant_``: in how many its interval leaves out 0 as
    well; ``net_``: both against the random draws.
    """
    found: dict[str, float] = {}
    for row in correlated.to_dict("records"):
        name = f"{row['measure']}_{row['group']}"
        if (row["pairs"], row["trainings"]) == ("all", "one"):
            found |= {f"spearman_{name}": row["rho"]}
            found |= {f"spearman_{name}_{end}": row[end] for end in ("low", "high")}
        elif row["trainings"] == "mean":
            found[f"spearman_{'mean' if row['pairs'] == 'all' else 'within'}_{name}"] = row["rho"]
            found |= {f"counted_{name}": row["counted"]} if row["pairs"] == "all" else {}
    for (measure, group), rows in own[own["group"] != "random"].groupby(["measure", "group"]):
        expected = MEASURES[measure] * (1 if group == "beneficial" else -1)
        for net in ("", "net_"):
            found[f"{net}signs_{measure}_{group}"] = int((expected * rows[f"{net}mean"] > 0).sum())
            found[f"{net}significant_{measure}_{group}"] = int(
                (rows[f"{net}reading"] == READINGS[1]).sum()
            )
    return found


def _by_seed(members: pd.DataFrame, column: str) -> np.ndarray:
    """(seeds, targets, classes)."""
    table = members.pivot(index=["seed", "target"], columns="class", values=column)
    return table.to_numpy().reshape(members["seed"].nunique(), -1, table.shape[1])


def _ranks(tables: np.ndarray) -> np.ndarray:
    """The ranks in each table (..., t, k), flat, centred and of unit length; NaN where all are equal."""
    ranks = rankdata(tables.reshape(len(tables), -1), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.divide(ranks, length, out=np.full_like(ranks, np.nan), where=length > 0)


def _ranks_within(tables: np.ndarray) -> np.ndarray:
    """The same of the ranks of the targets within each class."""
    return _ranks(rankdata(tables, axis=-2))


def _rho(a: np.ndarray, b: np.ndarray) -> Any:
    """Spearman's rho of ranks: a series, or a frame of the first by the second."""
    found = (a * b).sum(axis=-1)
    return pd.Series(found) if found.ndim == 1 else pd.DataFrame(found)


def _chance(found: pd.DataFrame) -> dict[str, float]:
    """``found``: draws by trainings."""
    mean = found.mean(axis=1)
    return {"shuffled": mean.mean(), "shuffled_high": mean.quantile(0.975)}


def _interval(values: pd.Series) -> dict[str, float]:
    """Mean and Student's 95 % interval of the mean; NaN left out."""
    half = student.ppf(0.975, values.count() - 1) * values.sem()
    return {"mean": values.mean(), "low": values.mean() - half, "high": values.mean() + half}


def _reading(change: pd.Series, expected: int, prefix: str) -> dict[str, Any]:
    """The interval, and whether it has the sign that the paper expects."""
    found = _interval(change)
    sign = int(found["low"] > 0) - int(found["high"] < 0)
    return {f"{prefix}{key}": value for key, value in found.items()} | {
        f"{prefix}reading": READINGS[expected * sign]
    }
