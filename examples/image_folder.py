"""Diagnose a torchvision model on a folder with a folder of images for each class.

    python -m examples.image_folder photos report.html

The model is trained from scratch here, so that nothing is downloaded; take your own instead.
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from catwise import Augmented, diagnose

EPOCHS = 5


def split(path: str) -> tuple[ImageFolder, Subset, Subset]:
    """Return the folder, three quarters of it to train on, and the rest as query samples."""
    looks = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    folder = ImageFolder(path, looks)
    order, quarter = torch.randperm(len(folder)).tolist(), len(folder) // 4
    return folder, Subset(folder, order[quarter:]), Subset(folder, order[:quarter])


def mirrored(image: torch.Tensor) -> torch.Tensor:
    """Mirror an image, or leave it as it is."""
    return image.flip(2) if torch.rand(()) < 0.5 else image


def trained(train: Subset, num_classes: int) -> nn.Module:
    """Return a small model, trained for a few epochs on images that are mirrored at random."""
    model = models.mobilenet_v3_small(num_classes=num_classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001)
    for _ in range(EPOCHS):
        for images, labels in DataLoader(train, batch_size=32, shuffle=True, drop_last=True):
            optimizer.zero_grad()
            images = torch.stack([mirrored(image) for image in images])
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return model


def main(path: str, page: str) -> None:
    torch.manual_seed(0)
    folder, train, query = split(path)
    model = trained(train, len(folder.classes))
    samples = Augmented(DataLoader(train, batch_size=64), mirrored)
    diagnosis = diagnose(model, samples, DataLoader(query, batch_size=64), folder.classes)
    print(diagnosis)
    files = [folder.samples[row][0] for row in train.indices]
    diagnosis.report(page, inputs=files, names=files, title="MobileNet on your images")


if __name__ == "__main__":
    main(*sys.argv[1:])
