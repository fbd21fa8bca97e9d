"""Set the parameters that the carried results were measured with beside those of params.yaml."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from catwise.pipeline.files import read_json
from catwise.report.metrics import flat
from docs.tables import table

BEFORE: dict[str, Any] = {  # there was no choice yet
    "subsets.left_out": "rows",
    "influence.statistics": "fixed",
    "influence.augmentations": 0,
}
OF_NORMS = "influence.statistics"  # matters where there is batch norm


def parameters() -> str:
    """Give a row for each difference, with the data sets that have it."""
    sections = yaml.safe_load(Path("params.yaml").read_text())["datasets"]
    sets = defaultdict(list)
    for path in sorted(Path("reports/measured").glob("*/provenance.json")):
        provenance = read_json(path)
        name = provenance["dataset"]
        for difference in differences(provenance["parameters"], sections[name]):
            sets[difference].append(f"`{name}`")
    rows = [[f"`{key}`", *cells, ", ".join(names)] for (key, *cells), names in sets.items()]
    return table(["parameter", "measured with", "params.yaml asks for", "data sets"], sorted(rows))


def differences(measured: dict[str, Any], sections: dict[str, Any]) -> list[tuple[str, str, str]]:
    """List key, value measured with and value sections for, where both are there and differ.

    ``auto`` asks for what a machine has, so it is no difference.
    """
    skipped = [name for name in sections if name in measured and measured[name] is None]
    rows = [(name, "not run", "run") for name in skipped if sections[name] is not None]
    old, new = BEFORE | flat(measured), flat(sections)
    has_norm = sections["train"]["model"].startswith("resnet")
    for key in sorted(old.keys() & new.keys()):
        hidden = key.partition(".")[0] in skipped or (key == OF_NORMS and not has_norm)
        cells = words(old[key]), words(new[key])
        if all(cells) and cells[0] != cells[1] != "auto" and not hidden:
            rows.append((key, *cells))
    return rows


def words(value: Any) -> str:
    """Write a value; a list of sections, whose keys have come and gone, is left out.

    >>> words(["ekfac", "identity"]), words([]), words([{"epoch": 3}])
    ('ekfac, identity', 'none', '')
    """
    if not isinstance(value, list):
        return str(value)
    if any(isinstance(entry, dict) for entry in value):
        return ""
    return ", ".join(map(str, value)) or "none"
