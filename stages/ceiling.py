"""Check the performance ceiling: the paper's ratio, the uncentred spectrum, and the exact headroom."""

from pathlib import Path

from catwise import ceiling
from stages.io import folder, read_json, read_npz, run, write_json, write_npz


def main(dataset: str) -> None:
    vectors = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"]
    classes = read_json(Path("data", dataset, "card.json"))["classes"]
    room = ceiling.headroom(vectors)
    ratio = ceiling.first_component_ratio(vectors)
    out = folder("reports", "ceiling", dataset)
    write_json(
        out / "ceiling.json",
        {
            "first_component_ratio": ratio,
            "uncentred_spectrum": ceiling.uncentred_spectrum(vectors),
            "headroom": room.value,
            "exchange": dict(zip(classes, room.exchange_k, strict=True)),
            "gap": room.gap,
        },
    )
    write_npz(out / "direction.npz", delta=room.direction_n)
    write_json(out / "metrics.json", {"first_component_ratio": ratio, "headroom": room.value})


if __name__ == "__main__":
    run(main, __doc__)
