"""Draw the paper's figures and the training curves of every class."""

from catwise.figures.gallery import draw, write
from catwise.pipeline.files import folder
from catwise.pipeline.results import live
from catwise.pipeline.stage import run, settings


def main(dataset: str) -> None:
    chosen, removal = settings(dataset, "figures", "removal")
    write(
        folder("reports", "figures", dataset),
        draw(live(dataset), tuple(chosen.classes), removal.method),
    )


if __name__ == "__main__":
    run(main, __doc__)
