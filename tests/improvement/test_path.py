"""The path: plain where all is ones, the same for the same seed, and no step at a ceiling."""

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.improvement.path import Judgement, retrain_to_the_ceiling
from catwise.improvement.proposals import (
    Region,
    class_weights,
    direction,
    drop_harmful,
    named_proposals,
)

PROPOSALS = {
    "free": direction(0.75),
    "kept": direction(0.5, keep_masses=True),
    "classes": class_weights(0.5),
    "harmful": drop_harmful,
}
SEEDS, BINS, CLASSES = 4, 4, 3


class LeastSquares:
    """Hold a classifier by weighted least squares, trained in a moment, with its exact P.

    The loss is |x B - e_y|^2 / 2. A seed adds a little noise to B, as other orders of samples do.
    """

    def __init__(self, rng, flips=0, n=200, m=300):
        self.centres = 1.2 * rng.normal(size=(CLASSES, 4))
        self.y, self.y_a, self.y_b, self.y_test = (np.arange(c) % CLASSES for c in (n, m, m, m))
        self.x, self.x_a, self.x_b, self.x_test = (
            np.c_[self.centres[y] + rng.normal(size=(len(y), 4)), np.ones(len(y))]
            for y in (self.y, self.y_a, self.y_b, self.y_test)
        )
        self.wrong = rng.permutation(n)[:flips]
        self.y[self.wrong] = (self.y[self.wrong] + rng.integers(1, CLASSES, flips)) % CLASSES
        self.bins = np.arange(m) // CLASSES % BINS

    def fit(self, weights_n, seed):
        root = weights_n[:, None] * self.x
        beta = np.linalg.solve(root.T @ self.x + 1e-6 * np.eye(5), root.T @ np.eye(CLASSES)[self.y])
        return beta + 0.01 * np.random.default_rng(seed).normal(size=beta.shape)

    def train(self, candidates):
        return [
            np.stack([(self.x_b @ self.fit(w, s)).argmax(1) == self.y_b for s in range(SEEDS)])
            for w in candidates
        ]

    def influence(self, weights_n):
        beta = self.fit(weights_n, 99)
        hessian = (weights_n[:, None] * self.x).T @ self.x
        left_nd = np.linalg.solve(hessian, self.x.T).T
        residual_no = self.x @ beta - np.eye(CLASSES)[self.y]
        asked_mo = self.x_a @ beta - np.eye(CLASSES)[self.y_a]
        p_nkb = np.empty((len(self.x), CLASSES, BINS))
        for k in range(CLASSES):
            for b in range(BINS):
                rows = (self.y_a == k) & (self.bins == b)
                q_do = self.x_a[rows].T @ asked_mo[rows]
                p_nkb[:, k, b] = ((left_nd @ q_do) * residual_no).sum(1)
        return {"endpoint": p_nkb}

    def path(self, proposals=PROPOSALS, **options):
        options = {"region": Region(), "rounds": 2, **options}
        return retrain_to_the_ceiling(
            self.train, self.influence, proposals, self.y, self.y_b, **options
        )


def always(p_nkb):
    return Judgement("room", "room, whatever P says")


def test_wrong_labels_are_weighted_down_and_the_model_gains():
    problem = LeastSquares(np.random.default_rng(2), flips=60)
    path = problem.path()
    first = path.rounds[0]
    assert first.judgement.room
    assert [trial.accepted for trial in first.trials].count(True) == 1
    assert path.weights_n[problem.wrong].mean() < 0.6
    test = [
        np.mean([(problem.x_test @ problem.fit(w, s)).argmax(1) == problem.y_test for s in (7, 8)])
        for w in (path.weights_n, np.ones(200))
    ]
    assert test[0] > test[1] + 0.01


def test_proposals_of_ones_are_plain_training_and_are_not_tried():
    problem = LeastSquares(np.random.default_rng(2), flips=60)
    path = problem.path({"ones": lambda evidence: np.ones(200)}, judge=always)
    assert path.rounds[0].trials == ()
    assert path.rounds[0].left_out == {"ones": "changes no weight"}
    assert path.end == "none accepted"
    assert (path.weights_n == 1).all()
    assert (path.rounds[0].right_sm == problem.train([np.ones(200)])[0]).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_path():
    paths = [LeastSquares(np.random.default_rng(2), flips=60).path() for _ in range(2)]
    assert paths[0].weights_n.tobytes() == paths[1].weights_n.tobytes()
    assert [r.judgement for r in paths[0].rounds] == [r.judgement for r in paths[1].rounds]


def test_weights_stay_in_the_region_however_many_rounds_there_are():
    problem = LeastSquares(np.random.default_rng(5), flips=60)
    region = Region(w_max=1.6, trust=0.3)
    path = problem.path(region=region, rounds=5)
    assert path.rounds[0].trials
    for round_ in path.rounds:
        for trial in round_.trials:
            assert trial.weights_n.min() >= 0
            assert trial.weights_n.max() <= 1.6 + 1e-9
            assert trial.weights_n.mean() == pytest.approx(1, abs=1e-9)
            assert np.abs(trial.weights_n - 1).mean() <= 0.3 + 1e-9


@pytest.mark.slow
def test_on_clean_data_no_proposal_is_accepted_in_95_of_100_seeds():
    """The least squares of clean data are a ceiling; the judge is silenced, so the rule decides."""
    taken = 0
    for seed in range(100):
        path = LeastSquares(np.random.default_rng(seed)).path(rounds=1, judge=always)
        assert path.rounds[0].trials
        taken += any(trial.accepted for trial in path.rounds[0].trials)
    assert taken <= 5


def test_the_path_ends_at_a_ceiling_without_a_trial():
    problem = LeastSquares(np.random.default_rng(2), flips=60)
    path = problem.path(judge=lambda p_nkb: Judgement("ceiling", "a ceiling"))
    assert path.end == "ceiling"
    assert path.rounds[0].trials == ()
    assert (path.weights_n == 1).all()


def test_proposals_are_made_of_each_kind_and_the_first_judges_and_predicts():
    problem = LeastSquares(np.random.default_rng(2), flips=60)
    seen = []

    def influence(weights_n):
        p_nkb = problem.influence(weights_n)["endpoint"]
        noise = np.random.default_rng(0).permutation(p_nkb)
        return {"noise": noise, "endpoint": p_nkb.sum(2, keepdims=True)}

    def judge(p_nkb):
        seen.append(p_nkb)
        return Judgement("room", "room, whatever P says")

    proposals = named_proposals(["direction", "square_root"], [0.5], ["endpoint"])
    assert list(proposals) == ["direction 0.5", "square_root", "direction 0.5, endpoint"]
    path = retrain_to_the_ceiling(
        problem.train,
        influence,
        proposals,
        problem.y,
        problem.y_b,
        region=Region(),
        rounds=1,
        judge=judge,
    )
    first = path.rounds[0]
    assert seen[0].shape == (200, CLASSES, BINS)
    assert (first.evidence.p_nk == seen[0].sum(2)).all()
    trials = {trial.proposal: trial for trial in first.trials}
    taken = trials["direction 0.5, endpoint"]
    assert taken.accepted
    assert taken.weights_n[problem.wrong].mean() < 0.6
    assert trials["direction 0.5"].weights_n[problem.wrong].mean() > 0.9
    np.testing.assert_allclose(taken.predicted_k, (taken.weights_n - 1) @ seen[0].sum(2))


def test_a_proposal_of_the_weights_of_an_earlier_one_is_named_with_it():
    problem = LeastSquares(np.random.default_rng(2), flips=60)
    path = problem.path({"a": direction(0.5), "b": direction(0.5)}, judge=always, rounds=1)
    assert [trial.proposal for trial in path.rounds[0].trials] == ["a"]
    assert path.rounds[0].left_out == {"b": "the same weights as a"}


def test_trainings_are_counted():
    path = LeastSquares(np.random.default_rng(2), flips=60).path(rounds=1)
    assert path.trainings == SEEDS * (1 + len(path.rounds[0].trials))


@pytest.mark.parametrize(
    ("proposal", "message"),
    [
        (lambda evidence: np.ones(199), r"a weight for each of the 200 .*; got shape \(199,\)$"),
        (lambda evidence: np.ones((200, 1)), r"a weight for each of the 200 .* got shape \(200, 1"),
        (lambda evidence: np.full(200, np.nan), "finite values; got nan for sample 0$"),
    ],
)
def test_a_proposal_of_another_shape_or_without_numbers_is_named(proposal, message):
    problem = LeastSquares(np.random.default_rng(2), flips=60)
    with pytest.raises(InputError, match=rf"^proposal 'mine': expected {message}"):
        problem.path({"mine": proposal}, judge=always)


def test_a_proposal_edits_its_own_weights_and_nothing_else():
    def spoil(evidence):
        evidence.weights_n[::2] = 0
        return evidence.weights_n

    path = LeastSquares(np.random.default_rng(2)).path({"mine": spoil}, judge=always)
    assert path.end == "none accepted"
    np.testing.assert_array_equal(path.weights_n, 1)

    def write(evidence):
        evidence.p_nk[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        LeastSquares(np.random.default_rng(2)).path({"mine": write}, judge=always)


def test_bad_rounds_losses_and_vectors_that_are_not_finite_are_refused():
    problem = LeastSquares(np.random.default_rng(3))
    with pytest.raises(InputError, match="rounds: expected a whole number, 1 or more; got 0"):
        problem.path(rounds=0)
    with pytest.raises(
        InputError, match="allowed_loss: expected a finite number, 0 or more; got -1"
    ):
        problem.path(allowed_loss=-1)
    problem.influence = lambda weights_n: {"endpoint": np.full((200, CLASSES, BINS), np.nan)}
    with pytest.raises(InputError, match="influence vectors, endpoint: expected finite values"):
        problem.path()
