"""Steps of an upload at which the process can be made to die: tests only; see docs/adr/0028.

A step is the entry or the end of a function of the product, found by its code object as the
interpreter runs it. The product knows nothing of this and is not changed by it; a function that is
renamed fails here, at import.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from cxr_gateway.analysis.analyzer import Analyzer
from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.api.routes import studies
from cxr_gateway.archive import Archive, FileStore, IncomingFile, archive, files
from cxr_gateway.inference.image_encoding import stored_png
from cxr_gateway.inference.response_validation import check_classified, check_detected

_ENTERED, _LEFT = "call", "return"
# In the order in which an upload meets them, as far as they have one: the original is kept while
# the services work.
UPLOAD_STEPS: dict[str, tuple[Callable[..., Any], str]] = {
    "incoming-made": (FileStore.begin, _LEFT),
    "piece-written": (IncomingFile.write, _LEFT),
    "received": (Archive._look_up, _ENTERED),
    "looked-up": (Archive._look_up, _LEFT),
    "decoded": (Analyzer._decode, _LEFT),
    "encoded": (stored_png, _LEFT),
    "keeping-begun": (FileStore.keep, _ENTERED),
    "original-synced": (IncomingFile.sync, _LEFT),
    "folder-made": (IncomingFile.move_to, _ENTERED),
    "original-moved": (IncomingFile.move_to, _LEFT),
    "folder-synced": (files._sync_folder, _LEFT),
    "original-kept": (FileStore.keep, _LEFT),
    "classifier-answered": (check_classified, _ENTERED),
    "detector-answered": (check_detected, _ENTERED),
    "row-begun": (Archive._add, _ENTERED),
    "row-inserted": (archive._put_key, _ENTERED),
    "committing": (DefaultDialect.do_commit, _ENTERED),
    "committed": (DefaultDialect.do_commit, _LEFT),
    "row-added": (Archive._add, _LEFT),
    "announced": (AnalysisPipeline._announced, _LEFT),
    "answering": (studies._answer, _LEFT),
}
# Of a partial study that is read again.
RERUN_STEPS: dict[str, tuple[Callable[..., Any], str]] = {
    "rerun-decoded": (Analyzer._decode, _LEFT),
    "rerun-begun": (Archive._replace, _ENTERED),
    "rerun-committing": (DefaultDialect.do_commit, _ENTERED),
    "rerun-committed": (DefaultDialect.do_commit, _LEFT),
    "rerun-replaced": (Archive._replace, _LEFT),
    "rerun-tidied": (FileStore.remove_others, _LEFT),
}
# Of the images that are made when nobody is served.
RENDERING_STEPS: dict[str, tuple[Callable[..., Any], str]] = {
    "rendering-begun": (FileStore.write, _ENTERED),
    "rendering-written": (IncomingFile.write, _LEFT),
    "rendering-moved": (IncomingFile.move_to, _LEFT),
}
STEPS = UPLOAD_STEPS | RERUN_STEPS | RENDERING_STEPS


def arm(step: str, armed: Path, hits: int) -> None:
    """Let this process die by SIGKILL when it meets `step` for the `hits`th time.

    Only what happens while the file `armed` exists counts: a start goes through some of the same
    functions. Call it before any other thread is started.
    """
    function, moment = STEPS[step]
    code: CodeType = function.__code__
    left = hits

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        if event == moment and frame.f_code is code and armed.exists():
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)
