"""Does it pay to train several small models at once (torch.func.vmap) instead of one after the other?

One step of each of M models on a batch of its own: by vmap over stacked weights, and in a loop. Beside M processes on M
cores, vmap must win by more than a loop does not lose; on a GPU it may hide the launches.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.speed.timing import ratio, turns
from catwise.training import models

CASES = {
    "digits cnn, 8 models": ("cnn", 16, (1, 8, 8), 50, 8),
    "digits cnn, 32 models": ("cnn", 16, (1, 8, 8), 50, 32),
    "resnet9 width 8, 4 models": ("resnet9", 8, (3, 32, 32), 50, 4),
    "resnet9 width 64, 2 models": ("resnet9", 64, (3, 32, 32), 64, 2),
}
REPEATS = 9


def together(device: str, repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds of a step of all models in a loop over those by vmap (above 1 it pays); how much gradients differ."""
    torch.set_num_threads(1)
    found = {}
    for name, (kind, width, shape, batch, count) in CASES.items():
        x = torch.randn(count, batch, *shape, device=device)
        y = torch.randint(10, (count, batch), device=device)
        some = [
            models.build(kind, x[0], 10, width=width, seed=seed).to(device).train()
            for seed in range(count)
        ]
        calls = _calls(some, x, y)
        found[name] = {
            "loop / vmap": ratio(turns(calls, repeats, device), "loop", "vmap"),
            "relative error of gradients": _error(calls["vmap"](), calls["loop"]()),
        }
        print(f"{name}: {found[name]}", flush=True)
    return found


def _calls(some: list[nn.Module], x: Tensor, y: Tensor) -> dict[str, Callable[[], Any]]:
    """Each gives the gradients of all models, each on its own batch: stacked by parameter, or model by model."""
    parameters, buffers = stack_module_state(some)
    base = copy.deepcopy(some[0]).to("meta")

    def loss(own: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(base, (own, state), (x,)), y)

    at_once = vmap(grad(loss))
    return {
        "vmap": lambda: list(at_once(parameters, buffers, x, y).values()),
        "loop": lambda: [
            torch.autograd.grad(F.cross_entropy(model(x_one), y_one), list(model.parameters()))
            for model, x_one, y_one in zip(some, x, y, strict=True)
        ],
    }


def _error(stacked: list[Tensor], by_model: list[tuple[Tensor, ...]]) -> float:
    pairs = zip(stacked, zip(*by_model, strict=True), strict=True)
    return max(
        float((ours.detach() - torch.stack(one)).norm() / torch.stack(one).norm())
        for ours, one in pairs
    )
