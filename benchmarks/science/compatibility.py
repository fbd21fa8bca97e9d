"""Diagnose classifiers of every family of torchvision and transformers: what works, at what price.

    python -m benchmarks.science.compatibility      about ten minutes on two cores

The models have random weights, and so have their small inputs: the question is whether influence
goes through them, not what it says. Each is a process of its own, so that its peak of memory is
that of one model. EKFAC is fitted where no factor is larger than 300, a diagonal elsewhere, because
eigenvectors of larger factors take long. Seconds are those of one core. The planned
peak stands beside the measured one.
The result is written to reports/benchmarks/compatibility.json, if not told otherwise.
"""

import re
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import command
from benchmarks.machine import machine
from benchmarks.processes import apart, held, reset_peak
from catwise.diagnosis import diagnose
from catwise.influence.factors import Kind
from catwise.influence.layers import covered_layers, groups_of, matrix_shape

__all__ = ["MODELS", "Model", "measure"]

TRAIN, QUERY, LARGEST = 6, 9, 300
UNITS = {"GB": 1e9, "MB": 1e6, "KB": 1e3}  # bytes, as diagnose says them
CLASSES = ("a", "b", "c")
Model = Callable[[], tuple[nn.Module, Any, Any]]


def _images(name: str, size: int, **options: Any) -> Model:
    """Return a maker of a torchvision classifier, with images of ``size`` pixels a side."""

    def make() -> tuple[nn.Module, Any, Any]:
        from torchvision import models

        model = models.get_model(name, weights=None, num_classes=3, **options)
        return model, _pixels(TRAIN, size), _pixels(QUERY, size)

    return make


def _narrow_head(name: str, channels: int) -> Model:
    """Return a maker of a classifier whose linear layers, most of its weights, are small."""

    def make() -> tuple[nn.Module, Any, Any]:
        model, train, query = _images(name, 64)()
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        model.classifier = nn.Sequential(nn.Linear(channels, 64), nn.ReLU(), nn.Linear(64, 3))
        return model, train, query

    return make


def _small_maxvit() -> tuple[nn.Module, Any, Any]:
    from torchvision.models.maxvit import MaxVit

    model = MaxVit(
        input_size=(32, 32),
        stem_channels=16,
        partition_size=2,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
        num_classes=3,
    )
    return model, _pixels(TRAIN, 32), _pixels(QUERY, 32)


def _small_vit() -> tuple[nn.Module, Any, Any]:
    from torchvision.models import VisionTransformer

    model = VisionTransformer(32, 8, 2, 4, 64, 128, num_classes=3)
    return model, _pixels(TRAIN, 32), _pixels(QUERY, 32)


def _pixels(n: int, size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 3, size, size), torch.arange(n) % 3


def _texts(kind: str, **options: Any) -> Model:
    """Return a maker of a small classifier of transformers, with dictionaries of tokens."""

    def make() -> tuple[nn.Module, Any, Any]:
        import transformers

        config = getattr(transformers, f"{kind}Config")(num_labels=3, **options)
        model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
        return model, _tokens(TRAIN), _tokens(QUERY)

    return make


def _tokens(n: int, length: int = 16) -> dict[str, Tensor]:
    mask = (torch.arange(length) < 6 + torch.arange(n)[:, None] % 10).long()
    ids = torch.randint(2, 500, (n, length)) * mask
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(n) % 3}


def _patches() -> tuple[nn.Module, Any, Any]:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
        num_labels=3,
    )
    inputs = [{"pixel_values": x, "labels": y} for x, y in (_pixels(TRAIN, 32), _pixels(QUERY, 32))]
    return ViTForImageClassification(config), *inputs


SMALL = {"vocab_size": 500, "num_hidden_layers": 2, "num_attention_heads": 4}
BERT = {**SMALL, "hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 64}
DISTILLED = {"vocab_size": 500, "n_layers": 2, "n_heads": 4, "dim": 64, "hidden_dim": 128}
MODELS: dict[str, Model] = {
    "torchvision AlexNet, narrow head": _narrow_head("alexnet", 256),
    "torchvision ConvNeXt-T": _images("convnext_tiny", 32),
    "torchvision DenseNet-121": _images("densenet121", 32),
    "torchvision EfficientNet-B0": _images("efficientnet_b0", 32),
    "torchvision GoogLeNet": _images("googlenet", 64, aux_logits=False, init_weights=True),
    "torchvision Inception-v3": _images("inception_v3", 80, init_weights=False),
    "torchvision MaxViT, small": _small_maxvit,
    "torchvision MNASNet-0.5": _images("mnasnet0_5", 32),
    "torchvision MobileNet-v2": _images("mobilenet_v2", 32),
    "torchvision MobileNet-v3-S": _images("mobilenet_v3_small", 32),
    "torchvision RegNet-Y-400MF": _images("regnet_y_400mf", 32),
    "torchvision ResNet-18": _images("resnet18", 32),
    "torchvision ResNeXt-50": _images("resnext50_32x4d", 32),
    "torchvision ShuffleNet-v2": _images("shufflenet_v2_x0_5", 32),
    "torchvision SqueezeNet-1.1": _images("squeezenet1_1", 64),
    "torchvision Swin-T": _images("swin_t", 32),
    "torchvision VGG-11, narrow head": _narrow_head("vgg11", 512),
    "torchvision ViT, small": _small_vit,
    "transformers BERT": _texts("Bert", **BERT),
    "transformers DistilBERT": _texts("DistilBert", **DISTILLED, max_position_embeddings=64),
    "transformers RoBERTa": _texts("Roberta", **BERT),
    "transformers ViT": _patches,
}


def main() -> None:
    parser = command.parser(__doc__, "compatibility.json")
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = command.read(arguments.out)  # go on where it stopped
    result = result or {"machine": machine("cpu"), "models": {}}
    for name in [name for name in arguments.only if name not in result["models"]]:
        measured = apart(measure, name)
        if isinstance(measured, str):
            measured = {"works": False, "reason": measured}
        result["models"][name] = measured
        print(f"{name:28} {result['models'][name]}", file=sys.stderr, flush=True)
        command.write(arguments.out, result)


def measure(name: str) -> dict[str, Any]:
    """Diagnose one model with embeddings and norms: coverage, seconds, and peaks of memory."""
    torch.manual_seed(0)
    model, train, query = MODELS[name]()
    model.eval()
    layers = covered_layers(model, embeddings=True, norms=True).values()
    sides = [
        side
        for layer in layers
        if not isinstance(layer, nn.Embedding)
        for side in (matrix_shape(layer)[0] // groups_of(layer), matrix_shape(layer)[1])
    ]
    kind: Kind = "ekfac" if max(sides) <= LARGEST else "diagonal"
    reset_peak()
    stderr, before, start = StringIO(), held("VmRSS"), time.process_time()
    with warnings.catch_warnings(record=True) as caught, redirect_stderr(stderr):
        warnings.simplefilter("always")
        diagnosis = diagnose(
            model, train, query, CLASSES, kind=kind, embeddings=True, batch_size=TRAIN, memory=4e9
        )
    seconds = time.process_time() - start
    planned = re.search(r"about (\S+) (\S+) at .*; (\S+) pass", stderr.getvalue())
    notes = [str(note.message) for note in caught if "left out" in str(note.message)]
    return {
        "works": bool(np.isfinite(diagnosis.p_nk).all() and (diagnosis.p_nk != 0).any()),
        "kind": kind,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "coverage": diagnosis.coverage,
        "seconds": seconds,
        "peak bytes": held("VmHWM") - before,
        "planned bytes": UNITS[planned[2]] * float(planned[1]) if planned else None,
        "passes": {"one": 1}.get(planned[3]) or int(planned[3]) if planned else None,
        "left out": notes[0].removeprefix("left out of the influence: ") if notes else "",
    }


if __name__ == "__main__":
    main()
