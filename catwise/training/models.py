"""Define the classifiers: each maps a batch of inputs to logits (n, k)."""

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError

__all__ = ["Cnn", "Logistic", "ResNet9", "build"]


class Logistic(nn.Module):
    """Classify by logistic regression that starts at zero, with class 0 as the reference.

    The logit of class 0 is always 0, so that the optimum is unique without a penalty.
    """

    def __init__(self, features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(features, num_classes - 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)


class Cnn(nn.Module):
    """Classify small grey images by two convolutions and a linear layer, all covered by EKFAC."""

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
    """Make a convolution without bias, batch norm and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """Add to the input two convolutions of it that keep its shape: x + f(x)."""

    def __init__(self, channels: int):
        super().__init__()
        self.inner = nn.Sequential(
            _convolution(channels, channels), _convolution(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class ResNet9(nn.Module):
    """Classify by the ResNet-9 of kronfluence's CIFAR example, whose recipe fits Table 2.

    The convolutions are 3 to ``width``, 5x5 with stride 2, a residual pair, 3x3 to four times
    ``width``, pooling, a residual pair, and 3x3 without padding. A global maximum and a linear
    layer without bias follow; logits are multiplied by 0.2. With width 64 and 10 classes it has
    2,274,880 parameters.
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
    """Make a model for inputs like ``x``, in their dtype, with initial weights drawn by ``seed``.

    ``model`` is ``logistic``, which has no width, ``cnn`` or ``resnet9``. The global random state
    is left as it was.

    >>> build("cnn", torch.zeros(5, 1, 8, 8), num_classes=3, width=4)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 3])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match model:
            case "logistic":
                net: nn.Module = Logistic(x[0].numel(), num_classes)
            case "cnn":
                net = Cnn(width, num_classes)
            case "resnet9":
                net = ResNet9(width, num_classes)
            case _:
                raise InputError(f"model: expected logistic, cnn or resnet9; got {model!r}")
    return net.to(x.dtype)
