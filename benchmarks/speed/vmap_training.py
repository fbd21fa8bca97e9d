"""Ask whether it pays to train several small models at once, by torch.func.vmap.

One step of each of M models is taken on a batch of its own, by vmap over stacked weights and in a
loop. On M cores, M processes lose nothing against a loop, so vmap has to gain more than they do; on
a GPU it may hide the launches.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.speed.timing import ratio, time_in_turns
from catwise.training import models

__all__ = ["CASES", "compare_vmap_with_loop"]

CASES = {  # kind of model, width, shape of a sample, batch size, number of models
    "digits cnn, 8 models": ("cnn", 16, (1, 8, 8), 50, 8),
    "digits cnn, 32 models": ("cnn", 16, (1, 8, 8), 50, 32),
    "resnet9 width 8, 4 models": ("resnet9", 8, (3, 32, 32), 50, 4),
    "resnet9 width 64, 2 models": ("resnet9", 64, (3, 32, 32), 64, 2),
}
REPEATS = 9


def compare_vmap_with_loop(device: str, repeats: int = REPEATS) -> dict[str, Any]:
    """Return, for each case, the time of a loop over that of vmap, and how much gradients differ.

    Above 1, vmap pays.
    """
    torch.set_num_threads(1)
    results = {}
    for name, (kind, width, shape, batch, count) in CASES.items():
        x = torch.randn(count, batch, *shape, device=device)
        y = torch.randint(10, (count, batch), device=device)
        several = [
            models.build(kind, x[0], 10, width=width, seed=seed).to(device).train()
            for seed in range(count)
        ]
        calls = _calls(several, x, y)
        seconds = time_in_turns(calls, repeats, device)
        results[name] = {
            "loop / vmap": ratio(seconds, "loop", "vmap"),
            "relative error of gradients": _error(calls["vmap"](), calls["loop"]()),
        }
        print(f"{name}: {results[name]}", flush=True)
    return results


def _calls(several: list[nn.Module], x: Tensor, y: Tensor) -> dict[str, Callable[[], Any]]:
    """Return two ways to the gradients of all models, each on its own batch.

    ``vmap`` returns them stacked, a tensor for each parameter; ``loop`` model by model.
    """
    parameters, buffers = stack_module_state(several)
    base = copy.deepcopy(several[0]).to("meta")

    def loss(own: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(base, (own, state), (x,)), y)

    at_once = vmap(grad(loss))
    return {
        "vmap": lambda: list(at_once(parameters, buffers, x, y).values()),
        "loop": lambda: [
            torch.autograd.grad(F.cross_entropy(model(x_one), y_one), list(model.parameters()))
            for model, x_one, y_one in zip(several, x, y, strict=True)
        ],
    }


def _error(stacked: list[Tensor], by_model: list[tuple[Tensor, ...]]) -> float:
    """Return the largest relative error of a parameter's gradients."""
    wanted = [torch.stack(gradients) for gradients in zip(*by_model, strict=True)]
    pairs = zip(stacked, wanted, strict=True)
    return max(float((ours.detach() - loop).norm() / loop.norm()) for ours, loop in pairs)
