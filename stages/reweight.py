"""Reweight one epoch by PARETO-LP-GA and by its rivals, beside controls (Table 1).

The stage reads no influence vectors: each case starts at an epoch of its own, which may have no
curvature, so it fits the factors again at both ends of that epoch, as the section ``curvature``
says, and passes over the data as the section ``influence`` says.
"""

from catwise.pipeline.stage import run, settings
from catwise.pipeline.tables import write_outputs


def main(dataset: str) -> None:
    parameters = settings(dataset)
    if not parameters.reweight:
        write_outputs("reweight", dataset)
        return
    from catwise.experiments import resume  # seconds to import, like the next
    from catwise.experiments.reweighting import KEPT, run_cases

    write_outputs("reweight", dataset, *run_cases(dataset, parameters))
    for kept in KEPT:
        resume.clear(kept, dataset)


if __name__ == "__main__":
    run(main, __doc__)
