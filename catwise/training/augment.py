"""Crop and flip a batch of images at random, on the device that it is on."""

import torch
from torch import Tensor

__all__ = ["crop_and_flip", "crop_and_flip_one"]


def crop_and_flip(x: Tensor, padding: int = 4) -> Tensor:
    """Move each image by up to ``padding`` pixels in both directions, and mirror half of them.

    ``x`` is (n, channels, height, width) and centred, so that what is moved in has the mean colour.
    Draws from torch's global generator of the device, and gathers once.

    Differs from kronfluence's recipe, whose numbers Table 2 of the paper has: it moves in black.

    >>> crop_and_flip(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
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


def crop_and_flip_one(image: Tensor, padding: int = 4) -> Tensor:
    """Do the same with one image, (channels, height, width), from the generator of the CPU."""
    top, left = torch.randint(2 * padding + 1, (2,)).tolist()
    mirrored = torch.rand(()) < 0.5
    _, height, width = image.shape
    padded = torch.nn.functional.pad(image, (padding,) * 4)
    crop = padded[:, top : top + height, left : left + width]
    return crop.flip(2) if mirrored else crop
