import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from catwise.core.errors import InputError
from catwise.reweighting.candidates import beta_floors, effective_samples, printed_floors
from catwise.reweighting.linear_program import Program
from catwise.reweighting.solution import TOLERANCE, Solution

KINDS = [
    "plain",
    "heavy",
    "ties",
    "duplicate columns",
    "zero column",
    "constant column",
    "few distinct",
    "opposed",
]


def vectors(rng, n, k, kind="heavy"):
    p_nk = rng.standard_t(2.5, size=(n, k)) if kind == "heavy" else rng.normal(size=(n, k))
    if kind == "heavy":
        p_nk -= p_nk.mean(axis=0)  # the sums are near 0 but for rounding, as at an optimum
    if kind == "ties":
        p_nk = np.round(p_nk)
    if kind == "duplicate columns":
        p_nk[:, -1] = p_nk[:, 0]
    if kind == "zero column":
        p_nk[:, -1] = 0
    if kind == "constant column":
        p_nk[:, -1] = 0.3
    if kind == "few distinct":
        p_nk = p_nk[rng.integers(0, max(1, n // 4), n)]
    if kind == "opposed":
        p_nk[:, -1] = -p_nk[:, 0]
    return p_nk


def by_scipy(p_nk, targets, floors_k, w_max):
    """The program straight from its definition; rows divided by their size, or HiGHS' tolerance
    means nothing.
    """
    n, mass_k = len(p_nk), np.abs(p_nk).mean(axis=0)
    mass_k[mass_k == 0] = 1
    c_n = p_nk[:, targets].sum(axis=1)
    scale = np.abs(c_n).mean() or 1.0
    answer = linprog(
        -c_n / scale,
        A_ub=-(p_nk / mass_k).T,
        b_ub=-floors_k / mass_k,
        A_eq=np.ones((1, n)),
        b_eq=[n],
        bounds=[(0, min(w_max, n))] * n,
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return answer.status, None if answer.fun is None else -answer.fun * scale


def spread(p_nk, targets):
    c_n = p_nk[:, targets].sum(axis=1)
    return np.abs(c_n - c_n.mean()).sum()


def best_value(d_n, w_max):
    """max d . w over 0 <= w <= w_max, mean(w) = 1: the largest first."""
    n = len(d_n)
    w_n = np.clip(n - np.arange(n) * min(w_max, n), 0, min(w_max, n))
    return np.sort(d_n)[::-1] @ w_n


def assert_proved(solution: Solution, p_nk, targets, floors_k, w_max=2.0):
    """Feasibility, dual feasibility and gap from P alone, by formulas that share nothing with the
    solver.
    """
    w_n, y_k, mass_k = solution.weights_n, solution.duals_k, np.abs(p_nk).sum(axis=0)
    assert w_n.min() >= 0
    assert w_n.max() <= w_max
    assert w_n.mean() == pytest.approx(1, abs=1e-9)
    assert y_k.min() >= 0
    c_n = p_nk[:, targets].sum(axis=1)
    short_k = floors_k - w_n @ p_nk
    if solution.outcome == "infeasible":
        # The worst failure of any w is at least its average failure at the rates y_k mass_k.
        assert y_k @ mass_k == pytest.approx(1, abs=1e-9)
        at_least = y_k @ floors_k - best_value(p_nk @ y_k, w_max)
        assert at_least > 0
        assert solution.violation == pytest.approx(at_least, abs=2e-9)
        assert (short_k / np.where(mass_k == 0, 1, mass_k)).max() == pytest.approx(
            at_least, abs=2e-9
        )
        return
    assert (short_k <= 2e-9 * mass_k).all()
    assert solution.objective == pytest.approx(c_n @ w_n, rel=1e-12, abs=1e-12 * np.abs(c_n).sum())
    upper = best_value(c_n + p_nk @ y_k, w_max) - y_k @ floors_k
    assert upper - c_n @ w_n <= 2e-9 * spread(p_nk, targets) + 1e-12 * (
        np.abs(c_n).sum() + y_k @ mass_k
    )
    share_n = c_n + p_nk @ y_k - solution.mean_dual
    with_mean_dual = (
        np.maximum(share_n * min(w_max, len(w_n)), 0).sum()
        + solution.mean_dual * len(w_n)
        - y_k @ floors_k
    )
    rounding = 1e-12 * (np.abs(c_n).sum() + y_k @ mass_k)
    assert with_mean_dual == pytest.approx(upper, abs=2e-9 * spread(p_nk, targets) + rounding)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    k=st.integers(1, 6),
    kind=st.sampled_from(KINDS),
    w_max=st.sampled_from([1.0, 1.5, 2.0, 5.0, np.inf]),
    exponent=st.sampled_from([-6, 0, 6]),
    floors=st.sampled_from(["beta", "loose beta", "printed", "ones exactly"]),
)
def test_any_program_is_named_and_proved_and_agrees_with_scipy(
    seed, n, k, kind, w_max, exponent, floors
):
    rng = np.random.default_rng(seed)
    p_nk = vectors(rng, n, k, kind) * 10.0**exponent
    targets = [0] if k < 3 else [0, 2]
    floors_k = {
        "beta": beta_floors(p_nk, rng.uniform(-0.3, 0.2, k)),
        "loose beta": beta_floors(p_nk, rng.uniform(0, 0.2, k)),
        "printed": printed_floors(p_nk, rng.uniform(0, 1, k)),
        "ones exactly": beta_floors(p_nk, np.zeros(k)),  # w = 1 has no slack anywhere
    }[floors]
    program = Program(p_nk, targets, w_max)
    solution, reference = program.solve(floors_k), program.reference(floors_k)
    status, objective = by_scipy(p_nk, targets, floors_k, w_max)
    assert solution.outcome == reference.outcome
    assert (solution.outcome == "infeasible") == (status == 2)
    assert solution.outcome != "uncertified"
    assert_proved(solution, p_nk, targets, floors_k, w_max)
    if solution.outcome == "optimal":
        assert solution.objective == pytest.approx(objective, abs=2e-9 * spread(p_nk, targets))
        assert solution.objective == pytest.approx(
            reference.objective, abs=2e-9 * spread(p_nk, targets)
        )
    if solution.outcome == "infeasible":
        assert solution.violation == pytest.approx(reference.violation, abs=2e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(900, 3), (3000, 5)])
def test_fast_path_equals_reference_over_candidates_and_warm_equals_cold(rng, kind, n, k):
    """Both n are more than HiGHS is given at first, the second more than its simplex takes."""
    p_nk = vectors(rng, n, k, kind)
    program = Program(p_nk, [0, 1])
    for beta_k in rng.uniform(-0.03, 0.06, size=(4, k)):
        floors_k = beta_floors(p_nk, beta_k)
        solution, reference = program.solve(floors_k), program.reference(floors_k)
        cold = Program(p_nk, [0, 1]).solve(floors_k)
        assert solution.outcome == reference.outcome == cold.outcome != "uncertified"
        assert solution.solver == "dual"
        assert_proved(solution, p_nk, [0, 1], floors_k)
        assert_proved(reference, p_nk, [0, 1], floors_k)
        assert solution.objective == pytest.approx(
            cold.objective, abs=1e-9 * spread(p_nk, [0, 1])
        ) or (
            solution.outcome == "infeasible"
            and solution.violation == pytest.approx(cold.violation, abs=1e-9)
        )
        if solution.outcome == "optimal":
            assert solution.objective == pytest.approx(
                reference.objective, abs=1e-9 * spread(p_nk, [0, 1])
            )
        if solution.outcome == "optimal" and kind == "heavy":  # a generic program has one optimum
            np.testing.assert_allclose(solution.weights_n, cold.weights_n, atol=1e-7)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(250, 3000),
    k=st.integers(1, 12),
    low=st.sampled_from([-0.2, 0, 0.02]),
)
def test_fast_path_equals_reference_at_any_size(seed, n, k, low):
    rng = np.random.default_rng(seed)
    p_nk = vectors(rng, n, k)
    program = Program(p_nk, [0])
    for _ in range(3):
        floors_k = beta_floors(p_nk, rng.uniform(low, 0.05, k))
        solution, reference = program.solve(floors_k), program.reference(floors_k)
        assert solution.outcome == reference.outcome != "uncertified"
        assert_proved(solution, p_nk, [0], floors_k)
        if solution.outcome == "optimal":
            assert solution.objective == pytest.approx(
                reference.objective, abs=1e-9 * spread(p_nk, [0])
            )


def test_the_printed_program_is_unbounded_until_it_has_a_box_and_a_mean(rng):
    p_nk = vectors(rng, 40, 3)
    floors_k = printed_floors(p_nk, rng.uniform(0, 1, 3))
    c_n = p_nk[:, 0] + p_nk[:, 1]
    optimal, unbounded = 0, 3
    assert linprog(-c_n, A_ub=-p_nk.T, b_ub=-floors_k).status == unbounded
    assert linprog(-c_n, A_ub=-p_nk.T, b_ub=-floors_k, bounds=(0, 2)).status == optimal
    assert Program(p_nk, [0, 1]).solve(floors_k).outcome == "optimal"
    assert Program(p_nk, [0, 1], w_max=np.inf).solve(floors_k).outcome == "optimal"


def test_printed_thresholds_hardly_act_and_beta_does(rng):
    p_nk = vectors(rng, 400, 3)
    program = Program(p_nk, [0])
    printed = [
        program.solve(printed_floors(p_nk, alpha_k)).weights_n
        for alpha_k in rng.uniform(0, 1, (5, 3))
    ]
    ours = [
        program.solve(beta_floors(p_nk, beta_k)).weights_n
        for beta_k in rng.uniform(-0.1, 0.05, (5, 3))
    ]
    assert np.ptp(printed, axis=0).mean() < 1e-6
    assert np.ptp(ours, axis=0).mean() > 0.01


def test_an_alpha_beyond_the_frontier_is_infeasible_with_the_least_worst_failure(rng):
    p_nk = vectors(rng, 1000, 3) + 0.1
    alpha_k = np.array([1.0, 50.0, 1.0])
    floors_k = printed_floors(p_nk, alpha_k)
    solution = Program(p_nk, [0]).solve(floors_k)
    assert solution.outcome == "infeasible"
    assert by_scipy(p_nk, [0], floors_k, 2.0)[0] == 2
    assert_proved(solution, p_nk, [0], floors_k)
    # Floors that are lowered by the failure can be kept; lowered by less, they cannot.
    mass_k = np.abs(p_nk).sum(axis=0)
    for share, outcome in [(1 + 1e-6, "optimal"), (1 - 1e-6, "infeasible")]:
        lowered = Program(p_nk, [0]).solve(floors_k - share * solution.violation * mass_k)
        assert lowered.outcome == outcome


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 500),
    k=st.integers(1, 5),
    kind=st.sampled_from(KINDS),
)
def test_a_floor_at_the_very_frontier_is_kept_to_the_tolerance(seed, n, k, kind):
    """One admissible face or point is left and rounding decides whether it exists: never more than
    the tolerance.
    """
    rng = np.random.default_rng(seed)
    p_nk = vectors(rng, n, k, kind)
    floors_k = np.append(beta_floors(p_nk, np.full(k, 3.0))[:-1], best_value(p_nk[:, -1], 2.0))
    solution = Program(p_nk, [0]).solve(floors_k)
    assert solution.outcome in ("optimal", "no_direction")
    assert solution.violation <= TOLERANCE
    assert solution.weights_n @ p_nk[:, -1] == pytest.approx(
        floors_k[-1], abs=1e-9 * np.abs(p_nk[:, -1]).sum()
    )
    mass_k = np.abs(p_nk).sum(axis=0)
    if p_nk[:, -1].any():
        beyond = Program(p_nk, [0]).solve(floors_k + 1e-6 * mass_k * (np.arange(k) == k - 1))
        assert beyond.outcome == "infeasible"
        assert beyond.violation == pytest.approx(1e-6, abs=2e-9)


def test_vectors_without_direction_are_named_and_keep_ones_where_they_can(rng):
    for p_nk in (np.zeros((30, 3)), np.full((30, 3), 0.7), np.full((1, 3), 2.0)):
        solution = Program(p_nk, [0]).solve(printed_floors(p_nk, np.ones(3)))
        assert solution.outcome == "no_direction"
        assert (solution.weights_n == 1).all()
    constant = np.full((30, 1), 0.7)
    assert Program(constant, [0]).solve(printed_floors(constant, [1.01])).outcome == "infeasible"
    assert Program(np.zeros((9, 2)), [0]).solve(np.array([0, 1e-3])).outcome == "infeasible"
    # The target is indifferent, yet ones fail another class: the nearest weights that do not.
    p_nk = np.stack([np.ones(300), rng.normal(size=300)], axis=1)
    floors_k = beta_floors(p_nk, [0, -0.1])
    solution = Program(p_nk, [0]).solve(floors_k)
    assert solution.outcome == "no_direction"
    assert_proved(solution, p_nk, [0], floors_k)
    assert solution.weights_n.var() > 0


def test_w_max_of_one_leaves_ones_alone(rng):
    p_nk = vectors(rng, 500, 3)
    program = Program(p_nk, [0], w_max=1)
    np.testing.assert_allclose(
        program.solve(beta_floors(p_nk, np.zeros(3))).weights_n, 1, atol=1e-8
    )
    assert program.solve(beta_floors(p_nk, np.full(3, -1e-3))).outcome == "infeasible"
    with pytest.raises(InputError, match="w_max"):
        Program(p_nk, [0], w_max=0.9)


def test_scaling_a_class_that_is_no_target_or_all_of_them_changes_no_weight(rng):
    """Scaling one target of several does: it is that target's weight in the objective."""
    p_nk = vectors(rng, 1500, 4)
    beta_k = rng.uniform(0, 0.02, 4)
    weights_n = Program(p_nk, [0, 1]).solve(beta_floors(p_nk, beta_k)).weights_n
    for scale_k in ([1, 1, 1e6, 1e-3], [1e-8] * 4):
        scaled = p_nk * scale_k
        np.testing.assert_allclose(
            Program(scaled, [0, 1]).solve(beta_floors(scaled, beta_k)).weights_n,
            weights_n,
            atol=1e-7,
        )
    tilted = p_nk * [1, 20, 1, 1]
    assert (
        np.abs(
            Program(tilted, [0, 1]).solve(beta_floors(tilted, beta_k)).weights_n - weights_n
        ).mean()
        > 0.1
    )


def test_linear_weights_are_bang_bang_and_only_a_few_are_fractions(rng):
    """At a vertex K + 1 weights at most are off their bounds, so half the samples count."""
    p_nk = vectors(rng, 2000, 5)
    solution = Program(p_nk, [0]).solve(beta_floors(p_nk, np.full(5, 0.01)))
    assert ((solution.weights_n > 1e-9) & (solution.weights_n < 2 - 1e-9)).sum() <= 6
    assert effective_samples(solution.weights_n) == pytest.approx(1000, abs=10)


def test_a_floor_that_binds_has_a_multiplier_and_a_loose_one_has_none(rng):
    p_nk = vectors(rng, 1000, 4)
    floors_k = beta_floors(p_nk, rng.uniform(-0.02, 0.02, 4))
    solution = Program(p_nk, [0]).solve(floors_k)
    slack_k = (solution.weights_n @ p_nk - floors_k) / np.abs(p_nk).sum(axis=0)
    assert (np.minimum(slack_k, solution.duals_k) < 1e-9).all()
    # The multiplier is the price: the objective falls by y_k for each unit by which a floor rises.
    k = int(solution.duals_k.argmax())
    step = 1e-7 * np.abs(p_nk[:, k]).sum()
    raised = Program(p_nk, [0]).solve(floors_k + step * (np.arange(4) == k))
    assert (solution.objective - raised.objective) / step == pytest.approx(
        solution.duals_k[k], rel=1e-3
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    k=st.integers(1, 6),
    kind=st.sampled_from(KINDS),
    w_max=st.sampled_from([1.0, 2.0, 5.0, np.inf]),
    eps=st.sampled_from([1e-3, 0.01, 0.3, 1.0, 30.0]),
)
def test_any_quadratic_program_is_named_and_proved(seed, n, k, kind, w_max, eps):
    rng = np.random.default_rng(seed)
    p_nk = vectors(rng, n, k, kind)
    floors_k = beta_floors(p_nk, rng.uniform(-0.1, 0.2, k))
    program = Program(p_nk, [0], w_max)
    solution = program.quadratic(floors_k, eps)
    assert solution.outcome == program.reference(floors_k).outcome
    assert_quadratic_proved(solution, p_nk, floors_k, w_max, eps)


def assert_quadratic_proved(solution, p_nk, floors_k, w_max, eps):
    """The same proof: w is the maximiser of the Lagrangian, admissible, and no multiplier sits on
    a loose floor.
    """
    if solution.outcome != "optimal":
        return
    c_n, w_n, y_k = p_nk[:, 0], solution.weights_n, solution.duals_k
    stiff = eps * np.abs(c_n - c_n.mean()).mean()
    np.testing.assert_allclose(
        w_n,
        np.clip(1 + (c_n + p_nk @ y_k - solution.mean_dual) / stiff, 0, min(w_max, len(w_n))),
        atol=1e-7,
    )
    slack_k = w_n @ p_nk - floors_k
    assert w_n.mean() == pytest.approx(1, abs=1e-9)
    assert (slack_k >= -2e-9 * np.abs(p_nk).sum(axis=0)).all()
    assert abs(y_k @ slack_k) <= 2e-9 * spread(p_nk, [0])
    assert solution.objective == pytest.approx(
        c_n @ w_n - stiff / 2 * ((w_n - 1) ** 2).sum(), abs=1e-9 * np.abs(c_n).sum()
    )


def test_quadratic_equals_a_general_solver(rng):
    p_nk = vectors(rng, 25, 3)
    floors_k = beta_floors(p_nk, [0.1, -0.02, 0.01])
    stiff = 0.5 * np.abs(p_nk[:, 0] - p_nk[:, 0].mean()).mean()
    general = minimize(
        lambda w_n: -p_nk[:, 0] @ w_n + stiff / 2 * ((w_n - 1) ** 2).sum(),
        np.ones(25),
        jac=lambda w_n: -p_nk[:, 0] + stiff * (w_n - 1),
        bounds=[(0, 2)] * 25,
        constraints=[
            {"type": "ineq", "fun": lambda w_n: w_n @ p_nk - floors_k, "jac": lambda _: p_nk.T},
            {"type": "eq", "fun": lambda w_n: w_n.sum() - 25, "jac": lambda _: np.ones(25)},
        ],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    solution = Program(p_nk, [0]).quadratic(floors_k, 0.5)
    np.testing.assert_allclose(solution.weights_n, general.x, atol=1e-5)
    assert solution.objective == pytest.approx(-general.fun, rel=1e-8)


def test_quadratic_goes_from_the_linear_optimum_to_ones(rng):
    p_nk = vectors(rng, 2000, 4)
    floors_k = beta_floors(p_nk, rng.uniform(0, 0.02, 4))
    program = Program(p_nk, [0])
    linear = program.solve(floors_k)
    gains, effective = [], []
    for eps in (1e-3, 1e-2, 0.1, 1.0, 10.0, 1e6):
        solution = program.quadratic(floors_k, eps)
        assert solution.outcome == "optimal"
        assert_quadratic_proved(solution, p_nk, floors_k, 2.0, eps)
        gains.append((solution.weights_n - 1) @ p_nk[:, 0] / ((linear.weights_n - 1) @ p_nk[:, 0]))
        effective.append(effective_samples(solution.weights_n))
    assert gains == sorted(gains, reverse=True)
    assert effective == sorted(effective)
    assert gains[0] == pytest.approx(1, abs=1e-4)
    assert effective[0] == pytest.approx(effective_samples(linear.weights_n), abs=20)
    np.testing.assert_allclose(program.quadratic(floors_k, 1e6).weights_n, 1, atol=1e-4)


def test_a_wide_trust_region_has_the_effective_samples_of_its_closed_form(rng):
    """Nothing clipped, nothing binding: w = 1 + z/eps, z = (c - mean c)/s, so the share is 1/(1 +
    mean(z^2)/eps^2).
    """
    p_nk = rng.uniform(-1, 1, size=(1000, 1))
    z_n = p_nk[:, 0] - p_nk.mean()
    z_n /= np.abs(z_n).mean()
    solution = Program(p_nk, [0]).quadratic(beta_floors(p_nk, [1.0]), 4.0)
    np.testing.assert_allclose(solution.weights_n, 1 + z_n / 4, atol=1e-9)
    assert effective_samples(solution.weights_n) == pytest.approx(
        1000 / (1 + (z_n**2).mean() / 16), rel=1e-9
    )


def test_a_trust_region_keeps_most_of_the_gain_with_most_of_the_samples(rng):
    """Normal vectors at eps = 2.5: 60 % of the gain with 81 % effective samples, against 50 % at
    the vertex.
    """
    p_nk = vectors(rng, 5000, 5, "plain")
    floors_k = beta_floors(p_nk, np.full(5, 0.0))
    program = Program(p_nk, [0])
    linear, solution = program.solve(floors_k), program.quadratic(floors_k, 2.5)
    gain = ((solution.weights_n - 1) @ p_nk[:, 0]) / ((linear.weights_n - 1) @ p_nk[:, 0])
    assert gain > 0.5
    assert effective_samples(solution.weights_n) > 0.8 * 5000


def test_quadratic_warm_equals_cold_and_names_what_cannot_be(rng):
    p_nk = vectors(rng, 3000, 5)
    program = Program(p_nk, [0, 1])
    for beta_k in rng.uniform(-0.02, 0.03, (4, 5)):
        floors_k = beta_floors(p_nk, beta_k)
        warm, cold = (
            program.quadratic(floors_k, 0.5),
            Program(p_nk, [0, 1]).quadratic(floors_k, 0.5),
        )
        assert warm.outcome == cold.outcome == "optimal"
        np.testing.assert_allclose(warm.weights_n, cold.weights_n, atol=1e-8)
    floors_k = beta_floors(p_nk, np.full(5, -0.9))
    solution = program.quadratic(floors_k, 0.5)
    assert solution.outcome == "infeasible"
    assert_proved(solution, p_nk, [0, 1], floors_k)
    with pytest.raises(InputError, match="eps"):
        program.quadratic(floors_k, 0)


def test_a_failed_proof_falls_back_to_the_reference_and_is_counted(rng, monkeypatch):
    p_nk = vectors(rng, 1000, 3)
    program = Program(p_nk, [0])
    floors_k = beta_floors(p_nk, np.full(3, 0.01))
    right = program.reference(floors_k)
    prove = program._solution

    def doubt(p, x_n, y_k, outcome, solver, eps=0.0):
        solution = prove(p, x_n, y_k, outcome, solver, eps)
        return solution if solver == "reference" else prove(p, x_n, y_k * 1.1, outcome, solver, eps)

    monkeypatch.setattr(program, "_solution", doubt)
    solution = program.solve(floors_k)
    assert (solution.outcome, solution.solver) == ("optimal", "reference")
    assert solution.objective == pytest.approx(right.objective, abs=TOLERANCE * spread(p_nk, [0]))
    assert (
        doubt(program._scaled(floors_k), right.weights_n - 1, np.ones(4), "optimal", "dual").outcome
        == "uncertified"
    )


def test_bad_input_is_named(rng):
    p_nk = vectors(rng, 20, 3)
    for targets in ([], [3], [-1]):
        with pytest.raises(InputError, match="targets"):
            Program(p_nk, targets)
    with pytest.raises(InputError, match="samples x classes"):
        Program(np.zeros((0, 3)), [0])
    with pytest.raises(InputError, match="one per class"):
        Program(p_nk, [0]).solve(np.zeros(2))
    p_nk[4, 2] = np.inf
    with pytest.raises(InputError, match="finite"):
        Program(p_nk, [0])
