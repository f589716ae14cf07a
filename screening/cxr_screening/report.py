"""The summary page of an output: one HTML file without anything from elsewhere."""

import base64
import html
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import matplotlib as mpl
import numpy as np
import pyarrow.dataset as pds
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxr_contracts import REFERENCE_NAME, DriftReference, Finding
from cxr_gateway.core.settings import GatewaySettings
from cxr_screening.output import Output
from cxr_screening.rows import column_of

_ANALYSED = "status IN ('complete', 'partial')"
_MOST = 15
# Histograms in a line.
_ACROSS = 4
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .8rem;text-align:right;
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}img{max-width:100%}
"""


def report(output: Output, engine: str) -> str:
    """The page. Raises ScreeningError where there are no rows."""
    dataset, findings = output.dataset(engine), output.findings(engine)
    with duckdb.connect() as database:
        database.register("images", dataset)
        parts = [
            _counts(database),
            _reasons(database),
            _prevalence(database, findings),
            _by_year(database, findings),
            _histograms(dataset, output.engine(engine), findings),
            _extremes(database),
            _engine(output.engine(engine), engine),
        ]
    return page("Screening report", parts)


def page(title: str, parts: Iterable[str]) -> str:
    """An HTML document of parts."""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        "<p>For research use; not a medical device.</p>" + "".join(parts) + "</html>\n"
    )


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A heading and a table."""
    cells = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{_shown(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return f"<h2>{html.escape(title)}</h2><table><tr>{cells}</tr>{body}</table>"


def drawn(figure: Figure) -> str:
    """A figure inside the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{data}">'


def _counts(database: duckdb.DuckDBPyConnection) -> str:
    rows = database.sql(
        "SELECT status, count(*), count(*) / sum(count(*)) OVER (), sum(bytes) / 1e9,"
        " median(timings_ms.total) FROM images GROUP BY status ORDER BY 2 DESC"
    ).fetchall()
    shown = [(s, n, f"{share:.1%}", size, ms) for s, n, share, size, ms in rows]
    return table("Images", ["status", "images", "share", "GB", "median ms"], shown)


def _reasons(database: duckdb.DuckDBPyConnection) -> str:
    # Numbers in a sentence would make every reason its own.
    rejected = database.sql(
        "SELECT regexp_replace(reason, '[0-9][0-9.]*', 'n', 'g') AS why, count(*) FROM images"
        f" WHERE status = 'rejected' GROUP BY why ORDER BY 2 DESC LIMIT {_MOST}"
    ).fetchall()
    failed = database.sql(
        "SELECT error_kind, regexp_replace(any_value(error), '[0-9][0-9.]*', 'n', 'g'), count(*)"
        f" FROM images WHERE status = 'failed' GROUP BY error_kind ORDER BY 3 DESC LIMIT {_MOST}"
    ).fetchall()
    return table("Rejected, and why", ["reason", "images"], rejected) + table(
        "Not read, and why", ["kind", "for example", "images"], failed
    )


def _prevalence(database: duckdb.DuckDBPyConnection, findings: Sequence[Finding]) -> str:
    rows = []
    for finding in findings:
        name = column_of(finding)
        found = database.sql(
            f"SELECT avg(({name}_level = 'likely')::INT), avg(({name}_level != 'unlikely')::INT),"
            f" avg({name}) FROM images WHERE {_ANALYSED}"
        ).fetchall()
        [(likely, possible, mean)] = found
        rows.append((finding.value, _share(likely), _share(possible), mean))
    urgent = database.sql(
        f"SELECT priority, count(*) FROM images WHERE {_ANALYSED} GROUP BY 1 ORDER BY 2"
    ).fetchall()
    return table(
        "Findings", ["finding", "likely", "at least possible", "mean probability"], rows
    ) + table("Priorities", ["priority", "images"], urgent)


def _by_year(database: duckdb.DuckDBPyConnection, findings: Sequence[Finding]) -> str:
    columns = ", ".join(
        f"avg(({column_of(finding)}_level = 'likely')::INT)" for finding in findings
    )
    rows = database.sql(
        f"SELECT year, count(*), {columns} FROM images WHERE {_ANALYSED} AND year > 0"
        " GROUP BY year ORDER BY year"
    ).fetchall()
    if not rows:
        return ""
    head = ["year", "images", *(finding.value for finding in findings)]
    shown = [(str(row[0]), row[1], *map(_share, row[2:])) for row in rows]
    return table("Likely findings by year", head, shown)


def _histograms(dataset: pds.Dataset, engine: dict[str, Any], findings: Sequence[Finding]) -> str:
    reference = _reference(engine)
    plain = np.linspace(0.0, 1.0, 21)[1:-1]
    known = {one.name: one for one in reference.statistics} if reference else {}
    edges: dict[str, NDArray[np.float64]] = {}
    for finding in findings:
        one = known.get(finding.value)
        edges[finding.value] = np.array(one.edges) if one and one.kind == "number" else plain
    counts = {name: np.zeros(len(at) + 1, np.int64) for name, at in edges.items()}
    columns = [column_of(finding) for finding in findings]
    for batch in dataset.to_batches(columns=columns):
        for finding in findings:
            values = batch[column_of(finding)].drop_null().to_numpy(zero_copy_only=False)
            places = np.searchsorted(edges[finding.value], values, side="right")
            counts[finding.value] += np.bincount(places, minlength=len(counts[finding.value]))
    if not sum(int(count.sum()) for count in counts.values()):
        return ""
    with mpl.rc_context({"font.size": 7}):
        down = math.ceil(len(findings) / _ACROSS)
        figure = Figure(figsize=(11, 2 * down))
        for place, finding in enumerate(findings, 1):
            axes = figure.add_subplot(down, _ACROSS, place)
            found, at = counts[finding.value], np.arange(len(counts[finding.value]))
            axes.bar(at, found / max(1, found.sum()), color="#3b6ea5", label="here")
            one = known.get(finding.value)
            if one is not None and one.kind == "number":
                expected = np.array(one.counts)
                axes.step(at, expected / expected.sum(), "k", where="mid", label="validation")
            axes.set_title(finding.value)
            axes.set_xticks([])
        axes.legend()
        figure.tight_layout()
        image = drawn(figure)
    beside = (
        "Bars are these images, lines the validation patients of the models, over the bins of the "
        "reference of drift, lowest probability at the left."
        if known
        else "There is no reference of drift for these models; bins are 0.05 wide."
    )
    return f"<h2>Probabilities</h2><p>{beside}</p>{image}"


def _reference(engine: dict[str, Any]) -> DriftReference | None:
    models = engine.get("models", {})
    wanted = tuple(models.get(role, {}).get("sha256") for role in ("ood", "classifier"))
    for path in sorted(GatewaySettings().reference_dir.glob(f"*/{REFERENCE_NAME}")):
        found = DriftReference.model_validate_json(path.read_bytes())
        if found.models == wanted:
            return found
    return None


def _extremes(database: duckdb.DuckDBPyConnection) -> str:
    parts = []
    for title, column in (("Slowest", "timings_ms.total"), ("Largest", "bytes")):
        rows = database.sql(
            "SELECT id::VARCHAR, kind, width, height, bytes / 1e6, timings_ms.total FROM images"
            f" ORDER BY {column} DESC NULLS LAST LIMIT 10"
        ).fetchall()
        parts.append(table(title, ["id", "kind", "width", "height", "MB", "ms"], rows))
    return "".join(parts)


def _engine(engine: dict[str, Any], short: str) -> str:
    rows = [("fingerprint", short), ("version", engine.get("version"))]
    rows += [
        (role, f"{one['name']} {one['version']} ({one['sha256'][:12]})")
        for role, one in engine.get("models", {}).items()
    ]
    return table("Engine", ["part", "which"], rows)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return html.escape(str(value))
