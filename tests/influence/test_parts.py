"""A pass that is divided among processes gives what one process gives."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from catwise import open_workers
from catwise.core.errors import InputError
from catwise.core.spread import Workers
from catwise.diagnosis import diagnose
from catwise.influence.factors import fit_factors
from catwise.influence.parts import in_parts
from catwise.influence.reading import as_samples
from catwise.influence.vectors import group_gradients, influence_vectors
from catwise.pipeline import workers as workers_module
from tests.helpers.diagnoses import CLASSES, noisy
from tests.helpers.small import conv_net, images

HERE = Workers(lambda function, calls: (function(*call) for call in calls), ("cpu",) * 3)


def close(found, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("kind", ["ekfac", "kfac", "diagonal", "identity"])
def test_factors_and_vectors_of_parts_are_those_of_the_whole(kind):
    model, train, query = conv_net(), images(37), images(20, seed=1)
    about = {"kind": kind, "damping": 0.1, "seed": 0, "batch_size": 5}
    whole, parted = (fit_factors(model, train, **about, workers=w) for w in (None, HERE))
    for name, factors in whole.layers.items():
        close(parted.layers[name]["eigenvalues"].numpy(), factors["eigenvalues"].numpy())
    p_nk, found = (
        influence_vectors(
            model, whole, train, query, query[1], 3, batch_size=5, at_once=2, workers=w
        )
        for w in (None, HERE)
    )
    close(found.numpy(), p_nk.numpy())


def test_more_processes_than_groups_or_batches_are_left_idle():
    model, query = conv_net(), images(6)
    sums = [
        group_gradients(model, query, torch.zeros(6, dtype=int), 1, batch_size=9, workers=w)
        for w in (None, HERE)
    ]
    assert sums[0].keys() == sums[1].keys()
    for name, matrix in sums[0].items():
        close(sums[1][name].numpy(), matrix.numpy())


def test_the_threads_of_this_process_are_left_as_they_were(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    group_gradients(conv_net(), images(6), torch.arange(6) % 3, 3, batch_size=2, workers=HERE)
    assert seen == [1, 7] * 3


def test_a_pass_on_another_device_leaves_the_model_on_its_own():
    def device_of(part, model, samples, progress):
        return str(next(model.parameters()).device)

    model, elsewhere = conv_net(), Workers(HERE.spread, ("meta", "cpu"))
    samples = as_samples(images(6), model)
    assert in_parts(elsewhere, device_of, [0, 1], model, samples) == ["meta", "cpu"]
    assert {part.device.type for part in model.state_dict().values()} == {"cpu"}


def test_an_error_of_a_part_names_the_sample_of_the_whole():
    x, y = images(12)
    x[9] = torch.nan
    with pytest.raises(InputError, match="sample 9"):
        group_gradients(conv_net(), (x, y), y, 3, batch_size=2, workers=HERE)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_diagnosis_by_processes_is_that_of_one(monkeypatch, backend):
    """A model and a Dataset go to other processes, whole."""
    if backend == "dask":
        pytest.importorskip("distributed")
    monkeypatch.setenv("CATWISE_BACKEND", backend)
    monkeypatch.setenv("CATWISE_WORKERS", "2")
    model, train, query = noisy()
    alone = diagnose(model, TensorDataset(*train), query, CLASSES, batch_size=50)
    with open_workers() as workers:
        assert workers.devices == ("cpu", "cpu")
        found = diagnose(
            model, TensorDataset(*train), query, CLASSES, batch_size=50, workers=workers
        )
        asked = found.ask(query, measure="margin", workers=workers)
    close(found.p_nk, alone.p_nk)
    close(asked.p_nk, alone.ask(query, measure="margin").p_nk)
    assert str(found) == str(alone)


def test_there_is_a_process_for_each_gpu(monkeypatch):
    opened = []

    @contextmanager
    def pool(device, threads, workers):
        opened.append((device.type, workers))
        yield None

    monkeypatch.setattr(workers_module, "pool", pool)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in ("cuda", "auto"):
        with open_workers(device) as workers:
            assert workers.devices == ("cuda:0", "cuda:1")
    monkeypatch.setenv("CATWISE_WORKERS", "3")
    with open_workers() as workers:
        assert workers.devices == ("cpu",) * 3
    assert opened == [("cuda", 2), ("cuda", 2), ("cpu", 3)]


def test_cuda_where_there_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:0", torch.device("cuda")):
        with pytest.raises(InputError, match="device: expected cpu or auto"), open_workers(device):
            pass
