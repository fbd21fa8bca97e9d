"""The stages of the pipeline. One that DVC started ends when DVC does, which itself, told to end, leaves it running."""

import os
import signal
import threading
import time


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, which it may have been before this process could ask for it."""
    adopted = parent == 1 and os.getsid(0) not in (os.getpid(), os.getsid(1))
    while os.getppid() == parent and not adopted:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if os.environ.get(
    "DVC_ROOT"
):  # here and not in `catwise.pipeline.stage.run`: the parent may be gone before all is imported
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
