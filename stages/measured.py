"""Check the results that come with the repository, and draw their figures."""

from catwise.errors import InputError
from stages.figures import draw, write
from stages.io import folder, run, write_json
from stages.results import CARRIED, hashes, measured, names, record


def main() -> None:
    out = folder("reports", "figures_measured")
    checked: dict[str, int] = {}
    for dataset in names():
        about = record(dataset)
        check(dataset, about["sha256"])
        figures, removal = (about["parameters"][section] for section in ("figures", "removal"))
        pictures = draw(measured(dataset), tuple(figures["classes"]), removal["method"])
        write(folder(str(out), dataset), pictures)
        checked[dataset] = len(about["sha256"])
    write_json(out / "checked.json", checked)  # the number of files; DVC warns of an empty folder


def check(dataset: str, expected: dict[str, str]) -> None:
    """Raises InputError unless the files are those that were measured, byte for byte, and no others."""
    came = hashes(CARRIED / dataset)
    for name in sorted({*expected, *came}):
        if expected.get(name) != came.get(name):
            wanted, found = (sums.get(name, "no such file")[:12] for sums in (expected, came))
            raise InputError(f"{CARRIED / dataset / name}: expected sha256 {wanted} as measured; came {found}")


if __name__ == "__main__":
    run(main, __doc__)
