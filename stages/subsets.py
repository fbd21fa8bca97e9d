"""Train again on random subsets, to score influence and calibrate verdicts."""

import torch

from catwise.experiments import resume
from catwise.experiments.retrained_subsets import no_subsets, retrained_subsets
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.files import folder, write_npz
from catwise.pipeline.stage import run, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    n, truth = len(splits["train"][-1]), {}
    if parameters.subsets:
        truth = retrained_subsets(dataset, parameters, parameters.subsets, n)
    else:
        truth = no_subsets(n, len(classes))
    write_npz(folder("reports", "subsets", dataset) / "subsets.npz", **truth)
    resume.clear("subsets", dataset)


if __name__ == "__main__":
    run(main, __doc__)
