"""Generate or load a data set, split it in four, and describe it in a data card."""

import hashlib

import numpy as np

from catwise import datasets
from stages.io import folder, run, settings, write_json, write_npz


def main(dataset: str) -> None:
    (prepare,) = settings(dataset, "prepare")
    rng = np.random.default_rng(prepare.seed)
    counts = prepare.model_dump(include=set(datasets.SPLITS))
    if prepare.source == "digits":
        data = datasets.digits(rng, counts, prepare.flip_share)
    else:
        data = getattr(datasets, prepare.source)(rng, counts, prepare.flips)
    arrays = {f"{split}/{part}": getattr(data, part)[split] for split in datasets.SPLITS for part in ("x", "y")}
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    out = folder("data", dataset)
    write_npz(out / "arrays.npz", **arrays, flipped=data.flipped)
    write_json(
        out / "card.json",
        {
            "name": dataset,
            "source": prepare.source,
            "licence": data.licence,
            "classes": data.classes,
            "shape": data.x["train"].shape[1:],
            "counts": {split: np.bincount(data.y[split], minlength=len(data.classes)) for split in datasets.SPLITS},
            "flipped_training_labels": int(data.flipped.sum()),
            "sha256": digest.hexdigest(),
        },
    )


if __name__ == "__main__":
    run(main, __doc__)
