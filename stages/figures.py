"""Draw the paper's figures and the training curves of every class."""

from catwise.figures.gallery import draw, write
from catwise.pipeline.files import folder
from catwise.pipeline.results import live
from catwise.pipeline.stage import run, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    write(
        folder("reports", "figures", dataset),
        draw(live(dataset), tuple(parameters.figures.classes), parameters.removal.method),
    )


if __name__ == "__main__":
    run(main, __doc__)
