"""Two engines on the same images: which findings moved, how far, and on whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import duckdb

from cxr_contracts import Finding, FindingProbability, level_of
from cxr_gateway.core.schemas import Box
from cxr_gateway.imaging import read_upload
from cxr_gateway.rendering.overlay import render_overlay
from cxr_screening.errors import ScreeningError
from cxr_screening.output import Output
from cxr_screening.private import PrivateFolder
from cxr_screening.report import page, table
from cxr_screening.rows import column_of
from cxr_screening.sources import Fetcher, FetchError
from cxr_serving.errors import ServiceError

_MAX_BYTES = 200_000_000
_PAIRS = "FROM a JOIN b USING (content) WHERE a.status = 'complete' AND b.status = 'complete'"


@dataclass(frozen=True)
class Side:
    """An output, and whose rows in it."""

    output: Output
    engine: str

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What its classifier knows."""
        return self.output.findings(self.engine)

    @classmethod
    def named(cls, text: str) -> Self:
        """`FOLDER`, its latest engine, or `FOLDER@ENGINE`. Raises ScreeningError."""
        folder, _, engine = text.partition("@")
        output = Output(folder)
        state = output.existing_state()
        return cls(output, engine or state.engine)


def compare(a: Side, b: Side, *, top: int, images: Path | None, private: PrivateFolder) -> str:
    """The page of what changed from `a` to `b`.

    Args:
        a: of the one engine.
        b: of the other, on images with the same content.
        top: how many of the largest changes are listed.
        images: a folder for both readings of each of them, drawn; None draws none.
        private: where it is noted what lies where.

    Raises:
        ScreeningError: other keys, so nobody can tell which rows are of one image; or no pair.
    """
    if a.output.existing_state().key_id != b.output.existing_state().key_id:
        raise ScreeningError(
            "The two were written with different keys, so their images cannot be matched; run one "
            "again with the other's key (--key)."
        )
    with duckdb.connect() as database:
        for name, side in (("a", a), ("b", b)):
            database.register(f"{name}_rows", side.output.dataset(side.engine))
            # The same content twice counts once.
            database.sql(
                f"CREATE TABLE {name} AS SELECT * FROM {name}_rows WHERE content IS NOT NULL"
                " QUALIFY row_number() OVER (PARTITION BY content ORDER BY id) = 1"
            )
        [(count,)] = database.sql(f"SELECT count(*) {_PAIRS}").fetchall()
        if not count:
            raise ScreeningError("The two have no image in common that both have read.")
        findings = [one for one in a.findings if one in b.findings]
        if not findings:
            raise ScreeningError("The two models have no label in common.")
        largest = _largest(database, top, findings)
        parts = [
            f"<p>{count:,} images that both read. A is engine {a.engine}, B is {b.engine}.</p>",
            _findings(database, findings),
            _priorities(database),
            table(
                "Largest changes",
                ["id in A", "finding", "A", "B", "priority in A", "in B"],
                [(str(one[0]), *one[2:]) for one in largest],
            ),
        ]
        if images is not None:
            known = {"a": a.findings, "b": b.findings}
            parts.append(_draw(database, largest, images, private, known))
    return page("Comparison", parts)


def _findings(database: duckdb.DuckDBPyConnection, findings: Sequence[Finding]) -> str:
    rows = []
    for finding in findings:
        name = column_of(finding)
        rank = "CASE {side}.{name}_level WHEN 'likely' THEN 2 WHEN 'possible' THEN 1 ELSE 0 END"
        before, after = (rank.format(side=side, name=name) for side in ("a", "b"))
        found = database.sql(
            f"SELECT count(*) FILTER ({after} > {before}), count(*) FILTER ({after} < {before}),"
            f" avg(b.{name} - a.{name}), avg(abs(b.{name} - a.{name})),"
            f" max(abs(b.{name} - a.{name})), corr(a.{name}, b.{name}) {_PAIRS}"
        ).fetchall()
        rows.append((finding.value, *found[0]))
    head = ["finding", "level up", "level down", "mean change", "mean size", "largest", "r"]
    return table("Findings", head, rows)


def _priorities(database: duckdb.DuckDBPyConnection) -> str:
    rows = database.sql(
        f"SELECT a.priority, b.priority, count(*) {_PAIRS} GROUP BY 1, 2 ORDER BY 3 DESC"
    ).fetchall()
    return table("Priorities", ["in A", "in B", "images"], rows)


def _largest(
    database: duckdb.DuckDBPyConnection, top: int, findings: Sequence[Finding]
) -> list[tuple[Any, ...]]:
    each = " UNION ALL ".join(
        f"SELECT a.id, content, '{finding.value}' AS finding, a.{column_of(finding)} AS before,"
        f" b.{column_of(finding)} AS after, a.priority, b.priority {_PAIRS}"
        for finding in findings
    )
    return database.sql(
        f"SELECT * FROM ({each}) ORDER BY abs(after - before) DESC, content LIMIT {top}"
    ).fetchall()


def _draw(
    database: duckdb.DuckDBPyConnection,
    largest: list[tuple[Any, ...]],
    folder: Path,
    private: PrivateFolder,
    known: dict[str, tuple[Finding, ...]],
) -> str:
    contents = {content: image for image, content, *_ in reversed(largest)}
    places = private.places(set(contents.values()))
    if not places:
        raise ScreeningError(f"{private.path} does not say where these images lie.")
    folder.mkdir(parents=True, exist_ok=True)
    fetcher, drawn = Fetcher(_MAX_BYTES), 0
    for content, image in contents.items():
        if image not in places:
            continue
        try:
            grey = read_upload(fetcher.fetch(places[image])).grey
        except (FetchError, ServiceError):
            continue  # moved or removed since
        for side in ("a", "b"):
            rows = database.sql(f"SELECT * FROM {side} WHERE content = ?", params=[content])
            [row] = rows.to_arrow_table().to_pylist()
            (folder / f"{image}-{side}.png").write_bytes(
                render_overlay(
                    grey,
                    boxes=[Box.model_validate(box) for box in row["boxes"]],
                    findings=_ranked(row, known[side]),
                    triage=None,
                    models=[],
                    received_at=datetime.now(UTC),
                )
            )
        drawn += 1
    private.audit("comparison-drawn", images=drawn, folder=str(folder))
    return f"<p>{drawn} of them are drawn in {folder.name}/, as A and B read them.</p>"


def _ranked(row: dict[str, Any], findings: Sequence[Finding]) -> list[FindingProbability]:
    order = ("likely", "possible", "unlikely")
    found = []
    for finding in findings:
        probability, level = row[column_of(finding)], row[f"{column_of(finding)}_level"]
        # A row keeps the level, not the thresholds; these two say the same.
        possible, likely = {
            "likely": (probability, probability),
            "possible": (probability, 1.0),
            "unlikely": (1.0, 1.0),
        }[level]
        found.append(
            FindingProbability(
                finding=finding,
                probability=probability,
                level=level_of(probability, possible, likely),
                possible_threshold=possible,
                likely_threshold=likely,
            )
        )
    return sorted(found, key=lambda one: (order.index(one.level.value), -one.probability))
