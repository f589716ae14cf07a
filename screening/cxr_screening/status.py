"""How far a run is, for people: from the file that it keeps."""

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

from cxr_screening.output import Output

_SILENT_S = 300


def described(output: Output) -> list[str]:
    """A few lines. Raises ScreeningError where there is no screening."""
    state = output.existing_state()
    facts = output.progress()
    if not facts:
        return [f"Engine {state.engine}; nothing was read yet."]
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(facts["counts"].items()))
    total = facts["n_to_read"]
    lines = [
        f"{_said(facts)}: run {facts['run']} on {facts['host']}, since {facts['started_at']}",
        f"read {facts['n_read']:,} of {'?' if total is None else f'{total:,}'}"
        f" ({counts or 'none'}); {facts['n_already']:,} were done before",
    ]
    if facts["state"] == "running" and facts["images_per_s"]:
        left = facts["seconds_left"]
        lines.append(
            f"{facts['images_per_s']:.1f} images/s"
            + ("" if left is None else f", {timedelta(seconds=left)} left")
        )
    kind = "identified" if state.identified else "de-identified"
    lines.append(f"engine {state.engine}, {kind}; as of {facts['updated_at']}")
    return lines


def _said(facts: dict[str, Any]) -> str:
    if facts["state"] != "running":
        return str(facts["state"])
    if facts["host"] == socket.gethostname():
        try:
            os.kill(facts["pid"], 0)
        except ProcessLookupError:
            return "killed"
        except PermissionError:
            return "running"
        return "running"
    silent = datetime.now(UTC) - datetime.fromisoformat(facts["updated_at"])
    return "silent" if silent.total_seconds() > _SILENT_S else "running"
