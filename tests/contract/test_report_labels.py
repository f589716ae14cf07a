"""Labels of signed reports come in by a table, and are compared on the agreement page."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded
from support.dicom_images import dicom
from support.fake_gateway import RunningGateway, probabilities, running_gateway, settings_for
from support.images import radiograph_like

TODAY = datetime.now(UTC).date().isoformat()


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


async def imported(settings: GatewaySettings, path: Path, *options: str) -> int:
    return await asyncio.to_thread(
        commanded, settings, "import", "report-labels", str(path), *options
    )


async def sent(
    gateway: RunningGateway, seed: int, accession: str, **levels: float
) -> dict[str, Any]:
    """A study of which the classifier says nothing but `levels`."""
    gateway.classifier.findings = probabilities(**levels)
    values = np.clip(radiograph_like() + np.int16(seed), 0, 255).astype(np.uint16)
    made: dict[str, Any] = (
        await gateway.post(dicom(values, bits=12, AccessionNumber=accession))
    ).json()
    return made


async def test_labels_are_kept_and_refused_lines_are_told(
    settings: GatewaySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "labels.csv"
    async with running_gateway(settings) as gateway:
        first = await sent(gateway, 1, "A1", mass=0.99)
        await sent(gateway, 2, "A2")
        await sent(gateway, 3, "A3", mass=0.99)
        await sent(gateway, 4, "TWICE")
        await sent(gateway, 5, "TWICE")
        table.write_text(
            "\ufeffaccession_number,study_id,signed,Mass,Effusion\n"
            f",{first['id']},{TODAY},1,0\n"
            f"A2,,{TODAY},1,-1\n"
            f"A3,,{TODAY},0,\n"
            f"A9,,{TODAY},1,\n"
            f"TWICE,,{TODAY},1,\n"
            f"A1,,{TODAY},0,\n"
            f",,{TODAY},0,\n"
            "A2,,31.5.2026,0,\n"
            f"A2,,{datetime.now(UTC).date() + timedelta(days=9)},0,\n"
            f"A2,,{TODAY},yes,\n"
            f"A2,,{TODAY},-1,\n"
            f"A2,,{TODAY}\n",
            encoding="utf-8",
        )
        assert await imported(settings, table) == 1
        # Beside the gateway's own log.
        lines = capsys.readouterr().err.splitlines()
        told = [line for line in lines if line.startswith("import: ")]
        assert told == [
            "import: line 5: no study has this accession_number",
            "import: line 6: 2 analysed studies have this accession_number",
            "import: line 7: line 2 has labelled the same study",
            "import: line 8: it names no study",
            "import: line 9: signed is no date like 2026-05-31",
            "import: line 10: signed is in the future",
            "import: line 11: Mass is none of 1, 0, -1 and nothing",
            "import: line 12: it says nothing of any finding",
            "import: line 13: it has another number of fields than the first line",
            "import: 4 labels of 3 reports were kept, 9 lines were refused.",
        ]
        mass, effusion = await compared(gateway)
        names = ("reports", "both", "report_only", "model_only", "neither")
        assert [mass[name] for name in names] == [3, 1, 1, 1, 0]
        assert mass["share"] == pytest.approx(1 / 3, abs=1e-4)
        assert mass["low"] < mass["share"] < mass["high"]
        assert (effusion["reports"], effusion["neither"]) == (1, 1)

        # A later table replaces what was said of its studies, and a deleted study takes its own.
        table.write_text(f"accession_number,signed,Mass\nA2,{TODAY},0\n", encoding="utf-8")
        assert await imported(settings, table) == 0
        (mass, *_) = await compared(gateway)
        assert (mass["reports"], mass["report_only"], mass["neither"]) == (3, 0, 1)
        gone = await gateway.client.delete(f"/api/v1/studies/{first['id']}")
        assert gone.status_code == 204, gone.text
        (only,) = await compared(gateway)
        assert (only["finding"], only["reports"]) == ("Mass", 2)


async def test_labels_of_another_department_are_refused(
    settings: GatewaySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "labels.csv"
    async with running_gateway(settings) as gateway:
        await sent(gateway, 1, "A1", mass=0.99)
        table.write_text(f"accession_number,signed,Mass\nA1,{TODAY},1\n", encoding="utf-8")
        assert await imported(settings, table, "--department", "another") == 1
        assert "line 2: no study has this accession_number" in capsys.readouterr().err
        assert await compared(gateway) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the first line has to name signed"),
        (b"accession_number,Mass\nA1,1\n", "the first line has to name signed"),
        (b"accession_number,signed\nA1,2026-05-31\n", "the first line names no finding"),
        (b"accession_number,signed,Cat\nA1,2026-05-31,1\n", "unknown columns: Cat"),
        (b"accession_number,signed,Mass,Mass\n", "two columns have one name"),
        (b"accession_number,signed,Mass\n\xff,2026-05-31,1\n", "no CSV table in UTF-8"),
        (b'accession_number,signed,Mass\n"A1"x,2026-05-31,1\n', "after line 1: no CSV table"),
    ],
)
async def test_a_file_that_is_no_such_table_changes_nothing(
    settings: GatewaySettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    said: str,
) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes(content)
    async with running_gateway(settings) as gateway:
        assert await imported(settings, table) == 2
        assert said in capsys.readouterr().err
        assert await compared(gateway) == []


async def compared(gateway: RunningGateway) -> list[dict[str, Any]]:
    report: dict[str, Any] = (await gateway.client.get("/api/v1/agreement")).json()
    found: list[dict[str, Any]] = report["reports"]
    return found
