"""The table of faults in `docs/results/chaos/`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = "make test-chaos"
_COLUMNS = {
    "fault": "fault",
    "database": "database",
    "requests": "uploads sent",
    "answered_2xx": "answered 2xx",
    "refused": "refused",
    "unanswered": "no answer",
    "lost": "lost",
    "doubled": "doubled",
    "half": "half",
    "recovered_after_s": "s to recover",
}
_INTRODUCTION = f"""# Broken on purpose

Made by `{COMMAND}`. Clients upload PNG, JPEG and DICOM files, a fourth of them a file that another
client is sending at the same time, and each sends its file until it is answered 2xx, with the same
Idempotency-Key. Meanwhile something breaks. Then the archive is checked by the API of a gateway
that was started over it again, and by its folder:

- **lost**: an upload was answered 2xx, and its study or a byte of its file is not there;
- **doubled**: one content has more than one study;
- **half**: a study without its files, files without a study, an image that cannot be made, a
  result other than the one that was answered.

*Refused* is an answer that says so (503, 507), *no answer* a connection that broke; both were sent
again until they were kept. *Seconds to recover* count from the end of the fault (of a killed
process: from its death, so the start of the next one is in it) to the first 2xx of a request that
was sent after it.
Where a service is broken, radiographs are kept as `partial`; at the end each is analysed again and
complete.

"""


def write_report(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `faults.csv` and `README.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "faults.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(_COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = [
        f"| {' | '.join(_COLUMNS.values())} |",
        f"|---|---|{'--:|' * (len(_COLUMNS) - 2)}",
        *(f"| {' | '.join(str(row[name]) for name in _COLUMNS)} |" for row in rows),
    ]
    total = {name: sum(row[name] for row in rows) for name in _COLUMNS if name in _SUMMED}
    summary = (
        f"{len(rows)} faults, {total['requests']} uploads sent, {total['answered_2xx']} answered "
        f"2xx: {total['lost']} lost, {total['doubled']} doubled, {total['half']} half.\n\n"
    )
    (folder / "README.md").write_text(_INTRODUCTION + summary + "\n".join(lines) + "\n")


_SUMMED = frozenset({"requests", "answered_2xx", "lost", "doubled", "half"})
