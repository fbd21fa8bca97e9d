"""List the data sets that come with the project or are published: their classes and licences."""

from dataclasses import dataclass, field

__all__ = ["CLASSES", "LICENCES", "MINILM", "PUBLISHED", "VOCABULARY_SIZES", "PublishedSet"]


@dataclass(frozen=True)
class PublishedSet:
    """Describe what a published data set must look like.

    ``counts`` are the samples of each class in each official split; ``hub`` is its folder on the
    hub and in a mirror; ``column`` and ``shape`` are those of its samples; ``partial`` are counts
    that a mirror may hold instead; ``gigabytes`` is the disk that a download and its contents need.
    """

    classes: tuple[str, ...]
    licence: str
    counts: dict[str, tuple[int, ...]]
    hub: str = ""
    column: str = "text"
    shape: tuple[int, ...] = ()
    partial: dict[str, tuple[int, ...]] = field(default_factory=dict)
    gigabytes: float = 0.1


PUBLISHED = {
    "cifar10": PublishedSet(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "CIFAR-10 (Krizhevsky 2009), a labelled subset of 80 Million Tiny Images;"
        " no licence stated, for research",
        {"train": (5000,) * 10, "test": (1000,) * 10},
        hub="uoft-cs/cifar10/plain_text",
        column="img",
        shape=(3, 32, 32),
        gigabytes=0.4,
    ),
    "stl10": PublishedSet(
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        "STL-10 (Coates, Ng, Lee 2011), images from ImageNet; no licence stated, for research",
        {"train": (500,) * 10, "test": (800,) * 10},
        shape=(3, 96, 96),
        gigabytes=6.0,
    ),
    "emotion": PublishedSet(
        ("sadness", "joy", "love", "anger", "fear", "surprise"),
        "Emotion (Saravia et al. 2018, CARER), English tweets; for education and research only",
        {
            "train": (4666, 5362, 1304, 2159, 1937, 572),
            "validation": (550, 704, 178, 275, 212, 81),
            "test": (581, 695, 159, 275, 224, 66),
        },
        hub="dair-ai/emotion/split",
    ),
    "ag_news": PublishedSet(
        ("World", "Sports", "Business", "Sci/Tech"),
        "AG's corpus of news articles (Gulli) as in Zhang, Zhao, LeCun 2015;"
        " for non-commercial use and research",
        {"train": (30000,) * 4, "test": (1900,) * 4},
        hub="fancyzhx/ag_news/data",
        partial={"train": (6209, 4549, 4561, 6130)},
    ),
}


CLASSES = {
    "linear": ("blue", "orange"),
    "nonlinear": ("blue", "orange"),
    "digits": tuple("0123456789"),
    **{name: published.classes for name, published in PUBLISHED.items()},
}


LICENCES = {
    "linear": "generated here; no rights reserved",
    "nonlinear": "generated here; no rights reserved",
    "digits": "UCI Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), CC BY 4.0,"
    " through scikit-learn",
    **{name: published.licence for name, published in PUBLISHED.items()},
}


MINILM = "all_minilm_l6_v2"  # package of MiniLM-L6-H384-uncased (Wang et al. 2020), Apache-2.0
VOCABULARY_SIZES = {"bert-base-cased": 28996, "minilm": 30522}  # of the pretrained tokenizers
