"""Train anew with better weights until the ceiling, beside baselines of the same seeds."""

from catwise.pipeline.stage import run, settings
from catwise.pipeline.tables import write_outputs


def main(dataset: str) -> None:
    parameters = settings(dataset)
    if not parameters.improve:
        write_outputs("improve", dataset)
        return
    from catwise.experiments import resume  # seconds to import, like the next two
    from catwise.experiments.improvement import run_improvement
    from catwise.experiments.improvement_rows import headline_metrics, table_rows

    experiment = run_improvement(dataset, parameters)
    tables, metrics = table_rows(experiment), headline_metrics(experiment)
    write_outputs("improve", dataset, tables, experiment.weights, metrics)
    resume.clear("improve", dataset)


if __name__ == "__main__":
    run(main, __doc__)
