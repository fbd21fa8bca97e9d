"""Define the section ``prepare`` of params.yaml: where the samples are from, and the splits."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from catwise.config.fields import Count, Section, Seed, Share, Whole
from catwise.data.catalogue import VOCABULARY_SIZES

__all__ = ["Csv", "Digits", "ImageFolder", "Images", "Prepare", "Synthetic", "Texts", "Tokens"]


class Synthetic(Section):
    """Hold the sizes of the generated sets, per class, and how many labels of each are flipped."""

    source: Literal["linear", "nonlinear"]
    seed: Seed
    train: Count
    flips: Annotated[list[Whole], Field(min_length=2, max_length=2)]
    validation_a: Count
    validation_b: Count
    test: Count

    @model_validator(mode="after")
    def flips_fit(self) -> "Synthetic":
        if max(self.flips) > self.train:
            raise ValueError(f"flips at most train = {self.train} per class")
        return self


class Spoiled(Section):
    """Hold what is done to the training split alone: classes made rare, labels changed."""

    imbalance: Annotated[float, Field(gt=0, le=1)]  # of the rarest class to the most frequent
    flip_share: Share
    flip_to: Literal["random", "next"]


class Digits(Spoiled):
    """Hold the sizes of the held-out splits of scikit-learn's digits; the rest is trained on."""

    source: Literal["digits"]
    seed: Seed
    validation_a: Count
    validation_b: Count
    test: Count

    @model_validator(mode="after")
    def something_is_left_to_train_on(self) -> "Digits":
        if self.validation_a + self.validation_b + self.test > 1697:
            raise ValueError(
                "validation_a + validation_b + test of at most 1697 of the 1797 images"
            )
        return self


class Subset(Spoiled):
    """Hold the sizes of the splits of a set that comes as files; ``all`` is what is left."""

    seed: Seed
    train: Count | Literal["all"]
    validation_a: Count
    validation_b: Count
    test: Count | Literal["all"]


class Images(Subset):
    """Hold the choice from a published set of images."""

    source: Literal["cifar10", "stl10"]


class Tokens(Subset):
    """Hold how texts become tokens."""

    max_length: Annotated[int, Field(ge=4)]
    vocabulary: Literal["learned", "bert-base-cased", "minilm"]
    vocabulary_size: Count
    weights: Literal["none", "bert-base-cased", "minilm"]  # kept beside the data to start from

    @model_validator(mode="after")
    def a_pretrained_vocabulary_has_its_size(self) -> "Tokens":
        size = VOCABULARY_SIZES.get(self.vocabulary, self.vocabulary_size)
        if self.vocabulary_size != size:
            raise ValueError(f"vocabulary_size of {size} for {self.vocabulary}")
        if self.weights != "none" and self.vocabulary != self.weights:
            raise ValueError(f"vocabulary {self.weights} with weights {self.weights}")
        return self


class Texts(Tokens):
    """Hold the choice from a published set of texts."""

    source: Literal["emotion", "ag_news"]


class Own(Subset):
    """Hold where the user's own files are; classes are named as the folders or labels are."""

    path: str
    classes: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2)]
    test: Count  # a number, because what is left is trained on

    @model_validator(mode="after")
    def no_class_is_named_twice(self) -> "Own":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("each class once")
        return self


class ImageFolder(Own):
    """Hold how a folder of images per class becomes squares of ``size`` pixels."""

    source: Literal["imagefolder"]
    size: Count
    colour: Literal["grey", "rgb"]


class Csv(Own, Tokens):
    """Hold the choice from a CSV with the columns text and label."""

    source: Literal["csv"]


Prepare = Annotated[
    Synthetic | Digits | Images | Texts | ImageFolder | Csv, Field(discriminator="source")
]
