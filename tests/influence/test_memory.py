"""A plan divides the work to fit the memory, and the division does not change the answer."""

import gc
import re
import time
import weakref
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import logits_of, per_sample_loss
from catwise.data.free_memory import free_memory
from catwise.diagnosis import diagnose
from catwise.influence import duration
from catwise.influence.augmented import Augmented
from catwise.influence.duration import Work, estimated_seconds
from catwise.influence.factors import fit_factors
from catwise.influence.layers import covered_layers
from catwise.influence.memory import UNITS, MemoryPlan, plan_memory
from catwise.influence.reading import as_samples
from catwise.influence.vectors import (
    directional_derivatives,
    group_gradients,
    influence_vectors,
)
from catwise.sharing import given
from tests.helpers import small

GROUPS = 24


def planned(memory, kind="ekfac", statistics="fixed", samples=1):
    model = small.conv_net()
    if statistics == "fixed":
        model[1].requires_grad_(False)
    return plan_memory(
        model,
        covered_layers(model, norms=True),
        small.images(2),
        logits_of,
        kind=kind,
        samples=samples,
        num_groups=GROUPS,
        batch_size=50,
        memory=memory,
    )


def test_less_memory_means_more_passes_and_smaller_batches():
    whole = planned(1e9)
    assert (whole.passes, whole.at_once, whole.batch_size) == (1, GROUPS, 50)
    plans = [planned(share * whole.peak) for share in (0.9, 0.7, 0.5, 0.3)]
    for plan, share in zip(plans, (0.9, 0.7, 0.5, 0.3), strict=True):
        assert plan.peak <= share * whole.peak
        assert plan.at_once * plan.passes >= GROUPS > plan.at_once * (plan.passes - 1)
    sizes = [plan.batch_size for plan in plans]
    assert sizes == sorted(sizes, reverse=True)
    assert plans[-1].passes >= plans[0].passes >= 1
    assert plans[-1].batch_size < 50


def test_the_batch_of_moving_statistics_is_never_made_smaller():
    """The answer depends on it; so a plan of one sample at once still counts the whole batch."""
    assert needed("moving") > 2 * needed("fixed")
    assert planned(1.01 * needed("moving"), statistics="moving").at_once < GROUPS


def test_a_kind_without_bases_needs_less():
    assert planned(1e9, "diagonal").peak < planned(1e9).peak


def test_influence_that_does_not_fit_is_refused_before_the_work():
    assert planned(1e9, samples=10_000).peak > planned(1e9).peak
    expected = (
        "memory: expected 2.4 MB or more for P of 4167 samples and 24 groups; got 1.5 MB; fewer"
    )
    with pytest.raises(InputError, match=expected):
        planned(1.5e6, samples=4167)


def test_what_does_not_fit_is_refused_with_what_is_needed():
    with pytest.raises(InputError, match=r"memory: expected .* KB or more .*; got 1 KB; kind="):
        planned(1e3)
    assert planned(1.01 * needed("fixed")).batch_size == 1


def needed(statistics):
    """Return the fewest bytes that a plan can do with."""
    with pytest.raises(InputError) as refused:
        planned(1e3, statistics=statistics)
    count, unit = re.search(r"expected (\S+) (\S+)", str(refused.value)).groups()
    return UNITS[unit] * float(count)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_groups_one_after_the_other_give_the_vectors_of_all_at_once(at_once):
    model, train, query = small.conv_net(), small.images(24), small.images(12, seed=1)
    fitted = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=9, norms=True)
    groups = torch.arange(12) % 4
    whole, parts = (
        influence_vectors(model, fitted, train, query, groups, 4, batch_size=9, at_once=size)
        for size in (None, at_once)
    )
    torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_a_diagnosis_in_little_memory_is_that_in_much(capsys):
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 3)).double()
    train, query = small.images(40), small.images(30, seed=1)
    whole = diagnose(model, train, query, "abc")
    first = capsys.readouterr().err
    peak = 1e6 * float(re.search(r"about (\S+) MB", first)[1])
    parts = diagnose(model, train, query, "abc", memory=0.7 * peak)
    second = capsys.readouterr().err
    assert re.fullmatch(
        r"memory: about .* MB at the peak, .* at once; one pass .*; less than a minute\n", first
    )
    assert re.search(r"; \d+ passes over the training samples", second)
    diagnose(model, Augmented(train, lambda x: x, draws=3), query, "abc")
    assert "; 3 passes over the training samples" in capsys.readouterr().err
    np.testing.assert_allclose(parts.p_nk, whole.p_nk, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("broken", [False, True])
def test_a_pass_leaves_nothing_to_the_garbage_collector(broken):
    """Directions are as large as the model: those of the last pass are gone before the next."""
    model, (x, y) = small.conv_net(), small.images(6)
    if broken:
        x[3] = torch.nan
    v = group_gradients(model, small.images(6), y, 3, batch_size=2)
    kept = [weakref.ref(direction) for direction in v.values()]
    gc.disable()
    try:
        with pytest.raises(InputError) if broken else nullcontext():
            directional_derivatives(model, (x, y), v, batch_size=2)
        del v
        assert not any(reference() is not None for reference in kept)
    finally:
        gc.enable()


def test_the_free_memory_is_between_nothing_and_a_petabyte():
    assert 0 < free_memory(torch.device("cpu")) < 1e15


def work(n=1000, pairs=1000, parts=1, kind="ekfac"):
    model = small.conv_net()
    layers = covered_layers(model)
    groups_m = np.arange(40) % 4
    about = (logits_of, per_sample_loss, kind, pairs, parts)
    return Work(model, layers, as_samples(small.images(n), model), groups_m, *about)


def test_the_estimate_grows_with_the_work_and_falls_with_the_processes(monkeypatch):
    monkeypatch.setattr(duration, "SHORT", float("inf"))  # counted, and nothing is timed
    plan = MemoryPlan(peak=0, batch_size=50, at_once=4, passes=1)
    moving = estimated_seconds(work(), plan)
    monkeypatch.setattr(duration, "SAMPLES", 0)  # what statistics take does not grow with n
    once = estimated_seconds(work(), plan)
    assert moving > once
    assert estimated_seconds(work(parts=2), plan) == pytest.approx(once / 2)
    assert estimated_seconds(work(2000, 2000), plan) == pytest.approx(2 * once, rel=0.05)
    several = estimated_seconds(work(), replace(plan, passes=3))
    kfac, none = (
        estimated_seconds(work(**what), plan) for what in ({"kind": "kfac"}, {"pairs": 0})
    )
    assert none < kfac < once < several < 3 * once


def test_what_would_take_long_is_timed(monkeypatch):
    plan = MemoryPlan(peak=0, batch_size=50, at_once=4, passes=1)
    monkeypatch.setattr(duration, "SHORT", 0.0)
    start = time.perf_counter()
    estimate = estimated_seconds(work(), plan)
    spent = time.perf_counter() - start
    assert estimate > 0
    batches = 1000 / 50
    assert estimate < 10 * batches * spent  # a batch is a part of what was timed
    monkeypatch.setattr(duration, "SHORT", float("inf"))
    assert estimated_seconds(work(), plan) != estimate


def test_a_duration_is_said_in_words():
    assert [given.duration(seconds) for seconds in (5, 90, 1e4)] == [
        "less than a minute",
        "about 1.5 minutes",
        "about 2.8 hours",
    ]
