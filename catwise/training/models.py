"""The classifiers: each maps a batch of inputs to (n, k) logits."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["Cnn", "Logistic", "ResNet9", "build", "checksum", "fingerprint"]


class Logistic(nn.Module):
    """Logistic regression with class 0 as reference: its logit is 0, so the optimum is unique without a penalty."""

    def __init__(self, features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(features, num_classes - 1)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)


class Cnn(nn.Module):
    """Two convolutions and a linear layer, for small grey images; every parameter is covered by EKFAC."""

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _convolution(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, padding: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """x + f(x), f two convolutions that keep the shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.inner = nn.Sequential(
            _convolution(channels, channels), _convolution(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class ResNet9(nn.Module):
    """The ResNet-9 of Table 2's recipe (kronfluence's CIFAR example); 2,274,880 parameters at width 64, 10 classes.

    Convolutions 3-w, 5x5 with stride 2, a residual pair, 3x3 to 4w, pooling, a residual pair, 3x3 without padding;
    global max pool, a linear layer without bias, logits times 0.2.
    """

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(3, width),
            _convolution(width, 2 * width, size=5, stride=2, padding=2),
            Residual(2 * width),
            _convolution(2 * width, 4 * width),
            nn.MaxPool2d(2),
            Residual(4 * width),
            _convolution(4 * width, 2 * width, padding=0),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, num_classes, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return 0.2 * self.layers(x)


def build(model: str, x: Tensor, num_classes: int, *, width: int = 0, seed: int = 0) -> nn.Module:
    """A freshly initialised model for inputs like ``x``, in its dtype; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match model:
            case "logistic":
                net: nn.Module = Logistic(x[0].numel(), num_classes)
                nn.init.zeros_(net.linear.weight)  # type: ignore[union-attr, arg-type]
                nn.init.zeros_(net.linear.bias)  # type: ignore[union-attr, arg-type]
            case "cnn":
                net = Cnn(width, num_classes)
            case "resnet9":
                net = ResNet9(width, num_classes)
            case _:
                raise ValueError(f"expected a model of this module, got {model!r}")
    return net.to(x.dtype)


def fingerprint(model: nn.Module) -> str:
    """The checksum of all parameters and buffers: which checkpoint is this?"""
    return checksum(model.state_dict())


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of the names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
