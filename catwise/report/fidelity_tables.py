"""Write how well each kind of P predicts training again as a table of text."""

from collections.abc import Iterator, Sequence

import numpy as np

from catwise.ceiling.calibration import Calibration, calibrate_from
from catwise.ceiling.partial_regression import PartialRegression
from catwise.core.statistics import Estimate, noise_ceiling
from catwise.fidelity import subsets
from catwise.fidelity.scores import scores
from catwise.figures.labels import COUNTED, kind_label
from catwise.pipeline.results import Results
from catwise.pipeline.tables import kinds_of

__all__ = ["DESIGNS", "besides_rows", "lead_rows", "score_rows", "slope_rows"]

KINDS = (  # in the order of the columns
    *("identity", "kfac", "ekfac", "ekfac_fixed", "ekfac_unaugmented", "ekfac_runs"),
    *("segments", "segments_runs", "last_layer", "last_layer_runs"),
    *("exact_runs", "tracin", COUNTED),
)
VECTORS = {
    "endpoint": "at the end",
    "endpoint_runs": "mean of runs",
    "segments": "segments",
    "last_layer": "last layer",
}
DESIGNS = {"half": "halves", "removal": "without a tenth"}
Cells = dict[str, Estimate]  # by kind


def score_rows(results: Sequence[Results]) -> list[list[str]]:
    """Give a row for each data set, design of the subsets and measure, with a score for each kind.

    The score is the linear datamodeling score, the mean over the classes, with its 95 % interval
    over the subsets. ``ceiling`` is how high the noise between the seeds lets it rise for
    a perfect prediction, a dash where every subset was trained under one seed. The P of the stage
    ``influence`` are scored here where the stage ``fidelity`` has not done it.
    """
    heading = ["data set", "subsets", "measure", *map(kind_label, KINDS), "ceiling"]
    rows = [heading]
    for one in results:
        if one.fidelity is None:
            continue
        for (design, measure), summary in one.fidelity.summary.groupby(
            ["design", "measure"], sort=False
        ):
            scored: Cells = {
                row["kind"]: Estimate(row["lds"], row["low"], row["high"])
                for row in summary.to_dict("records")
            }
            scored = _of_vectors(one, str(design), str(measure)) | scored
            ceiling = summary["ceiling"].iloc[0]
            count = "" if one.subsets is None else f"{_rows(one, str(design)).sum()} "
            rows.append(
                [
                    *(one.dataset, f"{count}{DESIGNS[str(design)]}", str(measure)),
                    *(_cell(scored, kind) for kind in KINDS),
                    "-" if np.isnan(ceiling) else f"{ceiling:.2f}",
                ]
            )
    return rows


def lead_rows(results: Sequence[Results]) -> list[list[str]]:
    """Give the kind of P that predicts best, and how far it is ahead of counting labels.

    A row for each data set, design of the subsets and measure for which the stage ``fidelity`` has
    compared both on the same subsets. The difference has its 95 % interval; the kind is
    chosen by its score there, which flatters it.
    """
    rows = [["data set", "subsets", "measure", "best kind of P", "beyond labels counted"]]
    for one in results:
        if one.fidelity is None:
            continue
        keys = ["design", "measure", "first", "second"]
        compared = one.fidelity.differences.set_index(keys).sort_index()
        scored = one.fidelity.summary
        scored = scored[(scored["kind"] != COUNTED) & scored["lds"].notna()]
        for (design, measure), summary in scored.groupby(["design", "measure"], sort=False):
            best = summary.loc[summary["lds"].idxmax(), "kind"]
            if (design, measure, best, COUNTED) in compared.index:
                ahead = compared.loc[(design, measure, best, COUNTED)]
                words = f"{Estimate(*ahead[['difference', 'low', 'high']]):+.2f}"
                rows.append([one.dataset, DESIGNS[design], measure, kind_label(best), words])
    return rows


def besides_rows(results: Sequence[Results]) -> list[list[str]]:
    """Give what each P of the stage ``influence`` foretells besides the counts of labels.

    It is the rank score of the calibration, over all retrained subsets of a data set: Spearman's
    rho of predicted and realised changes in loss, the mean over the classes, with its 95 % interval
    by the jackknife. Beside it stands the highest that the noise between seeds allows.
    """
    rows = [["data set", "subsets", *VECTORS.values(), "ceiling"]]
    for one, calibrations in _calibrated(results):
        score_of = {name: found.rank_score for name, found in calibrations.items()}
        scores = [_cell(score_of, name) for name in VECTORS]
        rows.append([one.dataset, _count(one), *scores, _highest_besides(one)])
    return rows


def slope_rows(results: Sequence[Results]) -> list[list[str]]:
    """Give what comes true of what each P of the stage ``influence`` says, besides the counts.

    It is the slope of the calibration: nats of loss realised per nat predicted, the mean over the
    classes, with its 95 % interval; 1 where P is right in size.
    """
    rows = [["data set", "subsets", *VECTORS.values()]]
    for one, calibrations in _calibrated(results):
        cells = [
            f"{calibrations[name].slope:.2g}" if name in calibrations else "-" for name in VECTORS
        ]
        rows.append([one.dataset, _count(one), *cells])
    return rows


def _calibrated(results: Sequence[Results]) -> Iterator[tuple[Results, dict[str, Calibration]]]:
    """Calibrate each P of the data sets that have retrained subsets."""
    for one in results:
        if one.subsets is not None:
            about = one.labels_n, np.array(one.card.counts["validation_a"])
            vectors = one.vectors_by_kind.items()
            yield one, {name: calibrate_from(one.subsets, p_nk, *about) for name, p_nk in vectors}


def _count(one: Results) -> str:
    assert one.subsets is not None
    return str(len(one.subsets["kept_hn"]))


def _highest_besides(one: Results) -> str:
    """Write the ceiling of the score besides counts; a dash for subsets with one seed."""
    assert one.subsets is not None
    p_nk, counts_k = one.vectors, np.array(one.card.counts["validation_a"])
    kept_hn, design_h = one.subsets["kept_hn"], one.subsets["design_h"]
    fit = PartialRegression.of(p_nk, one.labels_n, counts_k, kept_hn, design_h)
    loss_shk = one.subsets["loss_hsk"].swapaxes(0, 1)
    besides_shk = np.stack([fit.besides(fit.centred(loss_hk)) for loss_hk in loss_shk])
    ceiling = float(noise_ceiling(besides_shk.swapaxes(0, 1)).mean())
    return "-" if np.isnan(ceiling) else f"{ceiling:.2f}"


def _of_vectors(results: Results, design: str, measure: str) -> Cells:
    """Score the P of the stage ``influence``, and the counting of labels."""
    if results.subsets is None:
        return {}
    sections = results.parameters
    kinds = kinds_of(sections["curvature"]["kind"], sections["influence"]["runs"])
    vectors = {kinds[name]: p_nk for name, p_nk in results.vectors_by_kind.items()}
    vectors[COUNTED] = np.eye(len(results.classes))[results.labels_n]
    of_design_h = _rows(results, design)
    kept_hn = results.subsets["kept_hn"][of_design_h]
    value_hsk = results.subsets[f"{measure}_hsk"][of_design_h]
    scored = scores(vectors, kept_hn, value_hsk, measure)
    return {kind: scored.mean(kind) for kind in vectors}


def _rows(results: Results, design: str) -> np.ndarray:
    """Tell which subsets are of the design."""
    assert results.subsets is not None
    return results.subsets["design_h"] == subsets.DESIGNS.index(design)


def _cell(scored: Cells, kind: str) -> str:
    return f"{scored[kind]:.2f}" if kind in scored else "-"
