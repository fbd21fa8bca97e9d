"""Ask how often the verdict is right, with retrainings and without, and how often the paper's rule.

    python -m benchmarks.science.hit_rates                      10 minutes on one core
    python -m benchmarks.science.hit_rates --repetitions 2 /tmp/hit_rates.json

The cases are logistic regression with the exact Hessian on the paper's synthetic data, trained
again on random halves, and constructed vectors P = G Q. There Q lies on a hyperplane y . Q = 0 with
y > 0, which is a ceiling (t* = 0), or is raised jointly until t* has a known size, which is room;
and Q of every bin has noise. ``noise`` is the deviation that this leaves in the entries of Q over
all bins, which are about 1 themselves. Retrainings of the constructed cases change losses by a
fifth of what the vectors say, plus as much noise; accuracy follows the loss.

In the last cases P fails: it is that of another draw, its sign is wrong for half of the classes, or
it knows that its own samples help a class, and nothing else. There it is right to say that nothing
can be told; where a ceiling is seen with much noise, this or a ceiling. Each case is repeated with
other seeds; a quarter as often where models are trained, and for the verdict without retrainings.
The result is written to reports/benchmarks/hit_rates.json, if not told otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import binomtest

from benchmarks import command
from catwise.ceiling.calibration import calibrate
from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.crossfit import crossfitted_headroom
from catwise.ceiling.decision import calibrated_check, uncalibrated_verdict
from catwise.ceiling.headroom import headroom
from catwise.ceiling.partial_regression import predicted_gains
from catwise.ceiling.pca_rule import RULE, first_component_ratio
from catwise.ceiling.verdict import Answer
from catwise.core.progress import progress
from catwise.core.statistics import Estimate
from catwise.data import synthetic
from catwise.fidelity.subsets import random_halves
from catwise.influence import curvature
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.training import evaluate, models
from catwise.training.convex import fit_convex

BINS = 8
HALVES, FEWER_HALVES = 40, 12  # the fewer where real models are trained
SLOWER = 4
SLOPE, POINTS = 0.2, 30.0  # nats realised per nat predicted, and points of accuracy per nat
ERROR = 0.2  # deviation of what is wrong in P on all query samples alike, beside entries of 1
KNOWN = 5.0  # deviations of P, by which P of labels alone tells them apart
MASS = 10.0  # nats by which a class's mean loss could move, if all of P spoke for it
NOTHING = Estimate(0.0, 0.0, 0.0)
ANSWERS = get_args(Answer)
CANNOT_TELL: tuple[Answer, ...] = ("too_few_samples", "not_predictive")


@dataclass(frozen=True)
class Draw:
    """Hold P by bins (n, k, b), labels, query samples of each class, and what retraining found."""

    p_nkb: np.ndarray
    labels_n: np.ndarray
    counts_k: np.ndarray
    kept_hn: np.ndarray
    loss_hk: np.ndarray
    accuracy_hk: np.ndarray
    accuracy_k: np.ndarray  # of a training on all samples


Make = Callable[[int], Draw]


@dataclass(frozen=True)
class Case:
    """Hold which answers are right, and whether there is ``room``: None where P cannot know."""

    name: str
    right: tuple[Answer, ...]
    room: bool | None
    make: Make
    slower: int = 1  # it has so many times fewer repetitions


def logistic(source: str, size: int, flips: list[int], l2: float) -> Make:
    """Return what makes the vectors and the retrainings of a logistic regression.

    There are ``size`` training and as many validation samples of each class.
    """

    def make(seed: int) -> Draw:
        rng = np.random.default_rng(seed)
        counts = {"train": size, "validation_a": size, "validation_b": 1, "test": 1}
        data = getattr(synthetic, source)(rng, counts, flips)
        train = torch.from_numpy(data.x["train"]), torch.from_numpy(data.y["train"])
        query = torch.from_numpy(data.x["validation_a"]), torch.from_numpy(data.y["validation_a"])

        def measured(kept_n: np.ndarray) -> tuple[np.ndarray, np.ndarray, torch.nn.Module]:
            part = tuple(values[torch.from_numpy(kept_n)] for values in train)
            model = models.build("logistic", train[0], 2)
            fit_convex(model, part, l2)
            accuracy_k, loss_k = evaluate.per_class(model, query, 2)
            return accuracy_k.numpy(), loss_k.numpy(), model

        accuracy_k, _, model = measured(np.ones(2 * size, dtype=bool))
        groups = torch.from_numpy(validation_bins(data.y["validation_a"], BINS, rng))
        hessian = curvature.exact_hessian(model, train, l2)
        p_nkb = influence_vectors(
            model, hessian, train, query, groups, 2 * BINS, batch_size=2 * size
        )
        kept_hn = random_halves(2 * size, FEWER_HALVES, rng)
        accuracy_hk, loss_hk, _ = zip(*(measured(kept_n) for kept_n in kept_hn), strict=True)
        return Draw(
            p_nkb.numpy().reshape(-1, 2, BINS),
            data.y["train"],
            np.array([size, size]),
            kept_hn,
            np.array(loss_hk),
            np.array(accuracy_hk),
            accuracy_k,
        )

    return make


def constructed(
    k: int, noise: float, size: float, error: float = 0.0, n: int = 300, p: int = 100
) -> Make:
    """Return what makes vectors of k classes whose true headroom is ``size``, and retrainings.

    Their tails over the training samples are heavy. ``error`` is the deviation of what is wrong in
    the entries of Q of all bins alike.
    """

    def make(seed: int) -> Draw:
        rng = np.random.default_rng(seed)
        g_np = rng.standard_t(4, size=(n, p))
        y_k = rng.uniform(0.2, 1, k)
        q_pk = rng.normal(size=(p, k))
        q_pk -= np.outer(q_pk @ y_k, y_k) / (y_k @ y_k)
        joint_p = rng.normal(size=(p, 1))
        if size:
            q_pk = q_pk + joint_p * brentq(
                lambda c: headroom(g_np @ (q_pk + c * joint_p)).value - size, 0, 20, xtol=1e-4
            )
        noise_pkb = noise * rng.normal(size=(p, k, BINS)) * BINS**0.5
        p_nkb = np.einsum("np,pkb->nkb", g_np, (q_pk[:, :, None] + noise_pkb) / BINS)
        counts_k = np.abs(g_np @ q_pk).sum(axis=0) / MASS
        kept_hn = random_halves(n, HALVES, rng)
        gain_hk = SLOPE * predicted_gains(p_nkb.sum(axis=2), counts_k, kept_hn)
        if error:
            p_nkb += (g_np @ (error * rng.normal(size=(p, k))))[:, :, None] / BINS
        loss_hk, accuracy_hk = retrained(gain_hk, rng)
        labels_n, accuracy_k = rng.integers(0, k, n), np.full(k, 0.8)
        return Draw(p_nkb, labels_n, counts_k, kept_hn, loss_hk, accuracy_hk, accuracy_k)

    return make


def retrained(gain_hk: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw losses and accuracies of retrainings that gain so much, with as much noise again."""
    drawn_hk = rng.normal(size=gain_hk.shape) + rng.normal(size=(len(gain_hk), 1))
    loss_hk = 1 - gain_hk + gain_hk.std(axis=0) * drawn_hk / 2**0.5
    return loss_hk, 0.8 - POINTS / 100 * (loss_hk - 1)


def of_another_draw(make: Make) -> Make:
    """Return what makes retrainings of one draw and the vectors of another: noise."""
    return lambda seed: replace(make(seed), p_nkb=make(seed + 10_000).p_nkb)


def half_reversed(make: Make) -> Make:
    """Return what makes vectors whose sign is wrong for half of the classes."""

    def reversed_make(seed: int) -> Draw:
        drawn = make(seed)
        p_nkb = drawn.p_nkb.copy()
        p_nkb[:, : p_nkb.shape[1] // 2] *= -1
        return replace(drawn, p_nkb=p_nkb)

    return reversed_make


def of_labels_alone(make: Make) -> Make:
    """Return what makes retrainings that go by the counts of labels, and vectors that know them.

    Among the samples of a label the vectors are noise.
    """

    def labels_make(seed: int) -> Draw:
        drawn, noise_nkb = make(seed), make(seed + 10_000).p_nkb
        own_nk = np.eye(len(drawn.counts_k))[drawn.labels_n]
        deviation = noise_nkb.sum(axis=2).std()
        p_nkb = noise_nkb + KNOWN * deviation * own_nk[:, :, None] / BINS
        gain_hk = predicted_gains(own_nk, own_nk.sum(axis=0), drawn.kept_hn)
        loss_hk, accuracy_hk = retrained(gain_hk, np.random.default_rng(seed))
        return replace(drawn, p_nkb=p_nkb, loss_hk=loss_hk, accuracy_hk=accuracy_hk)

    return labels_make


ERRED: list[tuple[str, tuple[Answer, ...], float]] = [
    ("ceiling", ("ceiling",), 0.0),
    ("room 0.3", ("room",), 0.3),
]
CASES = [
    *(
        Case(f"ceiling, k = {k}, noise {noise}", right, False, constructed(k, noise, 0.0))
        for k in (2, 4, 10)
        for noise, right in ((0.01, ("ceiling",)), (0.5, ("ceiling", *CANNOT_TELL)))
    ),
    *(
        Case(f"room {size}, k = {k}, noise {noise}", ("room",), True, constructed(k, noise, size))
        for k in (2, 4, 10)
        for noise, size in ((0.1, 0.1), (0.1, 0.3), (0.5, 0.5))
    ),
    *(
        Case(f"{name}, k = {k}, P in error", (*right, *CANNOT_TELL), bool(size), make)
        for k in (2, 4, 10)
        for name, right, size in ERRED
        for make in [constructed(k, 0.05, size, ERROR)]
    ),
    *(
        Case(f"{name}, k = {k}", CANNOT_TELL, None, fail(constructed(k, 0.1, 0.3)))
        for k in (2, 4, 10)
        for name, fail in (
            ("P of another draw", of_another_draw),
            ("P reversed for half of the classes", half_reversed),
            ("P of the counts of labels alone", of_labels_alone),
        )
    ),
    Case(
        "nonlinear",
        ("ceiling", *CANNOT_TELL),
        False,
        logistic("nonlinear", 350, [0, 0], 0.0),
        SLOWER,
    ),
    Case("linear, 70 flips", ("room",), True, logistic("linear", 300, [50, 20], 0.001), SLOWER),
]


def score(case: Case, repetitions: int) -> dict[str, Any]:
    """Return the hit rates of the verdicts and of the paper's rule, with 95 % intervals.

    ``wrong`` are the calibrated verdicts that say room or a ceiling where it is not.
    """
    rows = []
    repetitions = max(1, repetitions // case.slower)
    for seed in progress(range(repetitions), case.name):
        drawn = case.make(seed)
        total_nk = drawn.p_nkb.sum(axis=2)
        row = {
            "verdict": calibrated(drawn),
            "paper": "room" if first_component_ratio(total_nk) > RULE else "ceiling",
            "headroom": headroom(total_nk).value,
        }
        if seed < max(1, repetitions * case.slower // SLOWER):  # it takes most of the time
            check = check_of(crossfitted_headroom(drawn.p_nkb))
            row["uncalibrated"] = uncalibrated_verdict(check).answer
        rows.append(row)
    means = {"headroom": float(np.mean([row["headroom"] for row in rows]))}
    answers = {name: sum(row["verdict"] == name for row in rows) for name in ANSWERS}
    wrong = sum(row["verdict"] not in (*case.right, *CANNOT_TELL) for row in rows)
    return {"room": case.room, "right": list(case.right), "answers": answers, "mean": means} | {
        "wrong": rate(wrong, repetitions),
        **{
            name: rate(
                sum(row[name] in case.right for row in rows if name in row),
                sum(name in row for row in rows),
            )
            for name in ("verdict", "uncalibrated", "paper")
        },
    }


def check_of(crossfitted: Estimate) -> CeilingCheck:
    """Return a check whose other figures, on which no answer depends, are not computed."""
    return CeilingCheck(NOTHING, NOTHING, NOTHING, crossfitted, np.ones(2), 0.0, ("", ""))


def calibrated(drawn: Draw) -> Answer:
    """Return the answer of the calibrated verdict."""
    unused = check_of(NOTHING)  # no answer depends on it
    calibration = calibrate(
        drawn.p_nkb.sum(axis=2),
        drawn.labels_n,
        drawn.counts_k,
        drawn.kept_hn,
        drawn.loss_hk[:, None],
        drawn.accuracy_hk[:, None],
    )
    names = [str(k) for k in range(len(drawn.counts_k))]
    known = (drawn.p_nkb, drawn.labels_n, drawn.counts_k, drawn.accuracy_k)
    return calibrated_check(unused, *known, calibration, names)[0].answer


def rate(hits: int, of: int) -> dict[str, float]:
    """Return the counts with the interval of Clopper and Pearson of their share."""
    interval = binomtest(hits, of).proportion_ci()
    return {"hits": hits, "of": of, "low": float(interval.low), "high": float(interval.high)}


def main() -> None:
    parser = command.parser(__doc__, "hit_rates.json")
    parser.add_argument("--repetitions", type=int, default=100)
    arguments = parser.parse_args()
    cases = {}
    for case in CASES:
        cases[case.name] = score(case, arguments.repetitions)
        print(case.name, cases[case.name], flush=True)
        command.write(arguments.out, {"rule": RULE, "bins": BINS, "cases": cases})


if __name__ == "__main__":
    main()
