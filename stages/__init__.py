"""The stages of the pipeline, each run by ``python -m stages.NAME``.

A stage that DVC started ends when DVC does. DVC itself, when it is told to end, leaves it running.
"""

import os
import signal
import threading
import time


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, which it may be before this process can ask."""
    adopted = parent == 1 and os.getsid(0) not in (os.getpid(), os.getsid(1))
    while os.getppid() == parent and not adopted:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


# Here and not in `catwise.pipeline.stage.run`, as the parent may be gone before all is imported.
if os.environ.get("DVC_ROOT"):
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
