"""Random crops and flips of a batch of images, made where the images are."""

import torch
from torch import Tensor

__all__ = ["crop_and_flip"]


def crop_and_flip(x: Tensor, padding: int = 4) -> Tensor:
    """Each image moved by up to ``padding`` pixels in both directions, and half of them mirrored; one gather.

    ``x`` (n, channels, height, width) is centred, so that what is moved in has the mean colour. Draws from torch's
    global generator of the device.
    Differs from the paper: kronfluence's recipe moves in black.
    """
    n, _, height, width = x.shape
    device = x.device
    padded = torch.nn.functional.pad(x, (padding,) * 4)
    top, left = torch.randint(2 * padding + 1, (2, n, 1), device=device)
    columns = torch.arange(width, device=device).expand(n, width)
    mirrored = torch.rand(n, 1, device=device) < 0.5
    columns = torch.where(mirrored, width - 1 - columns, columns) + left
    rows = torch.arange(height, device=device) + top
    samples = torch.arange(n, device=device)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
