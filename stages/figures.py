"""Draw the paper's figures and the training curves of every class."""

from catwise.figures.gallery import draw
from catwise.pipeline.files import folder
from catwise.pipeline.pictures import write_pictures
from catwise.pipeline.results import Results
from catwise.pipeline.stage import run, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    figures, removal = parameters.figures.model_dump(), parameters.removal.model_dump()
    results = Results.live(dataset, {"figures": figures, "removal": removal})
    write_pictures(folder("reports", "figures", dataset), draw(results))


if __name__ == "__main__":
    run(main, __doc__)
