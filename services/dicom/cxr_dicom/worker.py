"""A thread of the node that works when there is something to do, and looks again every second."""

import logging
import threading
from abc import ABC, abstractmethod

_LOG = logging.getLogger("cxr.dicom.worker")
_POLL_S = 1.0


class Worker(ABC):
    """Started once and stopped once; what it does fails for itself alone."""

    def __init__(self, name: str) -> None:
        self.stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def work(self) -> bool:
        """Do what is due; whether there may be more at once. Looks at `stopped` in between."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being done."""
        self.stopped = True
        self._wake.set()
        self._thread.join()

    def notify(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def _run(self) -> None:
        while not self.stopped:
            try:
                busy = self.work()
            except Exception:
                _LOG.exception("a round failed", extra={"worker": self._thread.name})
                busy = False
            if not busy:
                self._wake.wait(_POLL_S)
                self._wake.clear()
