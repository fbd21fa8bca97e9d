"""The laws of the removal experiment, and that true influence beats chance."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from catwise.influence import curvature
from catwise.influence.vectors import influence_vectors
from catwise.removal.effects import changes, correlations, diagonal, summary
from catwise.removal.top_share import plan, random_rows, top_rows
from catwise.training.evaluate import per_class
from tests.helpers.small import blobs, logistic

CLASSES = ("a", "b", "c")


def experiment(p_nk, answer, seeds=3, controls=4, classes=CLASSES):
    """Tabulate changes where ``answer(removed, seed)`` gives the losses; accuracy is 1 - loss."""
    planned = plan(p_nk, 0.1, controls, seeds)
    losses = [np.asarray(answer(removed, seed), dtype=float) for seed, removed in planned]
    measured = [(1 - loss_k, loss_k) for loss_k in losses]
    return changes(planned, measured, p_nk, labels(len(p_nk)), classes)


def labels(n):
    """Make uneven labels, so that each removal has its own counts."""
    return np.sort(np.arange(n) ** 2 % 3)


@pytest.fixture
def faithful(rng):
    """Make losses that rise with the cumulative influence, from a level that differs by seed."""
    p_nk = rng.normal(size=(60, 3))
    return experiment(p_nk, lambda removed, seed: seed + np.arctan(p_nk[removed.rows].sum(0)))


@pytest.mark.parametrize("n", [20, 201])
def test_top_rows_are_the_extremes_of_their_column(rng, n):
    p_nk = rng.normal(size=(n, 3))
    for removed in top_rows(p_nk, 0.1):
        inside, outside = (
            p_nk[removed.rows, removed.target],
            np.delete(p_nk[:, removed.target], removed.rows),
        )
        assert len(inside) == round(0.1 * n)
        if removed.group == "beneficial":
            assert inside.min() > outside.max()
        else:
            assert inside.max() < outside.min()


def test_random_rows_are_as_many_and_differ(rng):
    found = random_rows(100, 0.1, 5, rng)
    assert [len(set(removed.rows)) for removed in found] == [10] * 5
    assert len({tuple(removed.rows) for removed in found}) == 5


def test_no_sample_is_both_trained_on_and_removed_and_none_is_lost(rng):
    p_nk = rng.normal(size=(50, 3))
    for _, removed in plan(p_nk, 0.1, 4, 2):
        assert not set(removed.rows) & set(removed.kept(50))
        assert sorted([*removed.rows, *removed.kept(50)]) == list(range(50))


def test_every_seed_trains_on_the_same_sets_once_on_all_samples(rng):
    planned = plan(rng.normal(size=(50, 3)), 0.1, 4, 2)
    by_seed = [
        [(r.group, r.target, tuple(r.rows)) for s, r in planned if s == seed] for seed in (0, 1)
    ]
    assert by_seed[0] == by_seed[1]
    assert [group for group, _, rows in by_seed[0] if not rows] == ["none"]
    assert len(set(by_seed[0])) == len(by_seed[0]) == 1 + 3 + 3 + 4


def test_changes_equal_those_taken_one_by_one(rng):
    p_nk = rng.normal(size=(40, 3))
    levels = {}

    def answer(removed, seed):
        return levels.setdefault((seed, removed.group, removed.target), rng.random(3))

    table = experiment(p_nk, answer)
    table["aim"] = table["target"] + table["draw"].astype("string").fillna("")
    table = table.set_index(["group", "aim", "seed", "class"])
    assert len(table) == 3 * 3 * (3 + 3 + 4)
    for seed, removed in plan(p_nk, 0.1, 4, 3)[::-1]:
        if removed.group == "none":
            continue
        random = removed.group == "random"
        aim = str(removed.target + 1) if random else CLASSES[removed.target]
        for k, name in enumerate(CLASSES):
            row = table.loc[(removed.group, aim, seed, name)]
            assert row["target"] == ("" if random else aim)
            change = levels[seed, removed.group, removed.target][k] - levels[seed, "none", 0][k]
            assert row["loss_change"] == change
            assert row["accuracy_change"] == pytest.approx(-change)
            assert row["influence"] == pytest.approx(
                p_nk[:, k].sum() - p_nk[removed.kept(40), k].sum()
            )
            assert row["labelled"] == sum(labels(40)[i] == k for i in removed.rows)


def test_changes_do_not_depend_on_the_order_of_the_jobs(rng):
    p_nk = rng.normal(size=(40, 3))
    planned = plan(p_nk, 0.1, 2, 2)
    measured = [(rng.random(3), rng.random(3)) for _ in planned]
    forward, backward = (
        changes(planned[::step], measured[::step], p_nk, labels(40), CLASSES) for step in (1, -1)
    )
    key = ["group", "target", "draw", "seed", "class"]
    pd.testing.assert_frame_equal(
        *(table.set_index(key).sort_index() for table in (forward, backward))
    )


def test_the_labels_alone_predict_a_change_that_hangs_on_them_alone(rng):
    labels_n = labels(90)
    table = experiment(
        rng.normal(size=(90, 3)),
        lambda removed, _: np.bincount(labels_n[removed.rows], minlength=3),
    )
    found = correlations(table)
    np.testing.assert_allclose(found["counted"].astype(float), 1, atol=1e-12)
    assert (found["rho"].astype(float) < 0.9).all()


def test_a_perfect_prediction_has_correlation_one_in_every_way(faithful):
    found = correlations(faithful)
    assert len(found) == 3 * 2 * 2 * 2
    few = (found["trainings"] == "mean") & (found["group"] != "random")  # three targets
    np.testing.assert_allclose(found["rho"], 1)
    np.testing.assert_allclose(found.loc[~few, ["low", "high"]], 1)
    assert found.loc[few, ["low", "high"]].isna().all(axis=None)
    opposite = correlations(faithful.assign(influence=-faithful["influence"]))
    np.testing.assert_allclose(opposite["rho"], -1)


def test_correlations_equal_those_of_scipy_seed_by_seed(rng, faithful):
    noisy = faithful.assign(loss_change=faithful["loss_change"] + rng.normal(size=len(faithful)))
    noisy["accuracy_change"] = noisy["loss_change"].round(1)  # ties
    found = correlations(noisy).set_index(["group", "measure", "pairs", "trainings"])["rho"]
    for group, members in noisy.groupby("group"):
        for measure, sign in (("accuracy", -1), ("loss", 1)):
            column = f"{measure}_change"
            one = [
                spearmanr(sign * part["influence"], part[column]).statistic
                for _, part in members.groupby("seed")
            ]
            assert found[group, measure, "all", "one"] == pytest.approx(np.mean(one))
            aims = ["target", "draw", "class"]
            mean = members.groupby(aims, dropna=False)[["influence", column]].mean()
            mean["influence"] *= sign
            assert found[group, measure, "all", "mean"] == pytest.approx(spearmanr(mean).statistic)
            ranks = [
                rankdata(mean[name].unstack(), axis=0).ravel() for name in ("influence", column)
            ]
            assert found[group, measure, "within", "mean"] == pytest.approx(
                spearmanr(*ranks).statistic
            )


@pytest.mark.slow
def test_classes_that_differ_in_all_alike_are_no_correlation_within(rng):
    """Influence and change share the class measured and no noise: they agree in the pool alone."""
    p_nk = rng.normal(size=(400, 12)) + np.arange(12)

    def answer(removed, seed):
        noise = np.random.default_rng([seed, len(removed.group), removed.target]).normal(size=12)
        return noise + 10 * np.arange(12) * (removed.group != "none")

    classes = [f"class {k}" for k in range(12)]
    found = correlations(experiment(p_nk, answer, 3, 20, classes)).set_index(
        ["group", "measure", "pairs", "trainings"]
    )
    pooled, within = (
        found.loc[("random", "loss", "all", "mean")],
        found.loc[("random", "loss", "within", "mean")],
    )
    assert pooled["rho"] > 0.9
    assert pooled["shuffled"] == pytest.approx(pooled["rho"], abs=0.05)  # chance gives it all
    assert abs(within["rho"]) < 4 / np.sqrt(
        240
    )  # four standard errors of no correlation in 20 x 12 pairs
    assert abs(within["shuffled"]) < 0.02


def test_intervals_hold_rho_and_the_same_table_gives_the_same_ones(rng, faithful):
    noisy = faithful.assign(loss_change=faithful["loss_change"] + rng.normal(size=len(faithful)))
    found = correlations(noisy)
    one = found[found["trainings"] == "one"]
    assert (one["low"] <= one["rho"]).all()
    assert (one["rho"] <= one["high"]).all()
    pd.testing.assert_frame_equal(found, correlations(noisy))


def test_one_seed_has_no_interval_over_seeds_and_makes_nothing_significant(faithful):
    one = faithful[faithful["seed"] == 0]
    rho = correlations(one).set_index("trainings").loc["one"]
    assert rho[["low", "high"]].isna().all(axis=None)
    np.testing.assert_allclose(rho["rho"], 1)
    own = diagonal(one)
    assert own[["low", "high"]].isna().all(axis=None)
    assert (own["reading"].dropna() == 0).all()


def test_the_interval_over_targets_is_the_jackknife_of_tables_without_each(rng, faithful):
    noisy = faithful.assign(loss_change=faithful["loss_change"] + rng.normal(size=len(faithful)))
    random = noisy[noisy["group"] == "random"]

    def rho(table):
        rows = correlations(table).set_index(["measure", "pairs", "trainings"])
        return rows.loc[[("loss", pairs, "mean") for pairs in ("all", "within")]]

    without = np.array([rho(random[random["draw"] != draw])["rho"] for draw in (1, 2, 3, 4)])
    half = 3.182 * (3 / 4 * ((without - without.mean(axis=0)) ** 2).sum(axis=0)) ** 0.5  # t of 3
    whole = rho(random)
    np.testing.assert_allclose(whole["low"], np.clip(whole["rho"] - half, -1, 1), rtol=1e-3)
    np.testing.assert_allclose(whole["high"], np.clip(whole["rho"] + half, -1, 1), rtol=1e-3)


def test_a_training_that_diverged_leaves_no_rho_with_it_and_the_others_as_they_were(faithful):
    gone = (faithful["seed"] == 0) & (faithful["group"] == "beneficial")
    gone &= faithful["target"] == CLASSES[0]
    assert gone.any()
    columns = ["loss_change", "accuracy_change"]
    diverged = faithful.copy()
    diverged.loc[gone, columns] = np.nan
    found, whole = (
        correlations(table).set_index(["group", "measure", "pairs", "trainings"])["rho"]
        for table in (diverged, faithful)
    )
    assert found["beneficial"].isna().any()
    pd.testing.assert_series_equal(found["detrimental"], whole["detrimental"])


def test_where_nothing_changes_there_is_no_correlation_and_no_reading(rng):
    table = experiment(rng.normal(size=(40, 3)), lambda removed, seed: [seed] * 3)
    assert correlations(table)["rho"].isna().all()
    assert set(diagonal(table)["reading"].dropna()) == {0}


def test_a_class_without_test_samples_is_left_out(rng, faithful):
    holed = faithful.assign(loss_change=faithful["loss_change"].where(faithful["class"] != "b"))
    pd.testing.assert_frame_equal(
        correlations(holed), correlations(faithful[faithful["class"] != "b"])
    )


def test_the_diagonal_is_the_own_class_against_the_same_seed_and_against_the_draws(rng):
    p_nk = rng.normal(size=(60, 3))
    jitter = rng.normal(size=(3, 3))

    def answer(removed, seed):
        target_k = np.arange(3) == removed.target
        gain = {
            "none": 0 * target_k,
            "beneficial": 2.0 * target_k,
            "detrimental": -1.0 * target_k,
            "random": 0.5,
        }
        return (
            10 * seed
            + gain[removed.group]
            + 0.01 * jitter[seed] * (removed.group in ("beneficial", "detrimental"))
        )

    found = diagonal(experiment(p_nk, answer)).set_index(["class", "group", "measure"])
    assert len(found) == 3 * 3 * 2
    for k, name in enumerate(CLASSES):
        noise = 0.01 * jitter[:, k]
        half = (
            4.30265 * noise.std(ddof=1) / np.sqrt(3)
        )  # Student's t with 2 degrees of freedom, from a table
        for group, change in (("beneficial", 2), ("detrimental", -1)):
            row = found.loc[(name, group, "loss")]
            assert row["mean"] == pytest.approx(change + noise.mean())
            assert row["net_mean"] == pytest.approx(change - 0.5 + noise.mean())
            assert row["high"] - row["low"] == pytest.approx(2 * half, rel=1e-5)
        assert found.loc[(name, "random", "loss"), "mean"] == pytest.approx(0.5)


def test_readings_are_the_papers_for_a_faithful_case_and_against_for_its_opposite(rng):
    p_nk = rng.normal(size=(60, 3))
    for sign in (1, -1):
        table = experiment(p_nk, lambda removed, seed, sign=sign: sign * p_nk[removed.rows].sum(0))
        own = diagonal(table)
        influential = own[own["group"] != "random"]
        assert set(influential["reading"]) == {sign}
        assert own.loc[own["group"] == "random", "reading"].isna().all()
        found = summary(correlations(table), own)
        agree = 3 if sign == 1 else 0
        counts = {
            name: value
            for name, value in found.items()
            if name.startswith(("signs", "significant"))
        }
        assert set(counts.values()) == {agree}
        assert len(counts) == 2 * 2 * 2
        assert found["spearman_loss_random"] == pytest.approx(sign)


def test_a_reading_that_its_interval_does_not_bear_out_is_not_significant(rng):
    p_nk = rng.normal(size=(60, 3))
    swing = np.array([3.0, -1.0, -1.5])
    table = experiment(p_nk, lambda removed, seed: [swing[seed] * (removed.group != "none")] * 3)
    assert set(diagonal(table)["reading"].dropna()) == {0}


def flipped_blobs(seed):
    """Make three overlapping classes, with a fifth of the training labels alone wrong."""
    rng = np.random.default_rng(seed)
    x, y = blobs(rng, 900)
    order = torch.from_numpy(rng.permutation(900))
    x, y = x[order], y[order]
    given = y[:300].clone()
    given[:60] = (given[:60] + torch.from_numpy(rng.integers(1, 3, 60))) % 3
    return (x[:300], given), (x[300:600], y[300:600]), (x[600:], y[600:])


@pytest.mark.slow
def test_with_planted_noise_removing_the_detrimental_beats_removing_at_random():
    """True influence (exact Hessian, float64) of a convex problem, on samples it never saw."""
    l2, gains = 0.01, []
    for seed in range(10):
        train, query, test = flipped_blobs(seed)
        model = logistic(train, l2)
        hessian = curvature.exact_hessian(model, train, l2)
        p_nk = influence_vectors(model, hessian, train, query, query[-1], 3, batch_size=300).numpy()

        def loss(removed, train=train, test=test):
            rows = removed.kept(300)
            return per_class(logistic((train[0][rows], train[1][rows]), l2), test, 3)[1].numpy()

        removals = [*top_rows(p_nk, 0.1), *random_rows(300, 0.1, 2, np.random.default_rng(seed))]
        found = {(removed.group, removed.target): loss(removed) for removed in removals}
        random_k = (found["random", 0] + found["random", 1]) / 2
        own = [
            [found[group, k][k] - random_k[k] for k in range(3)]
            for group in ("detrimental", "beneficial")
        ]
        gains.append(np.mean(own, axis=1))
    detrimental, beneficial = np.array(gains).T
    half = 2.262 / np.sqrt(10)  # Student's t with 9 degrees of freedom, from a table
    assert detrimental.mean() + half * detrimental.std(ddof=1) < 0
    assert beneficial.mean() - half * beneficial.std(ddof=1) > 0
