"""Log this state of the pipeline to MLflow, once."""

from catwise.pipeline.files import folder, write_json
from catwise.pipeline.results import Results
from catwise.pipeline.stage import run, settings
from catwise.tracking.mlflow_log import log
from catwise.tracking.state import state_of


def main(dataset: str) -> None:
    state = state_of(Results.live(dataset, settings(dataset).model_dump()))
    print(log(state), flush=True)
    write_json(folder("reports", "track") / f"{dataset}.json", {"key": state.key})


if __name__ == "__main__":
    run(main, __doc__)
