"""Thresholds from a site's own images: what is shown, asked, refused and written."""

import argparse
import asyncio
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_gateway.analysis.triage_model import TriageThresholds
from cxr_gateway.archive import open_archive, query_once
from cxr_gateway.archive.audit_chain import audit_snapshot
from cxr_gateway.archive.audit_queries import AuditQuery, page
from cxr_gateway.archive.schema import migrate
from cxr_gateway.archive.triage_thresholds import SiteThresholds, site_thresholds
from cxr_gateway.cli import parser
from cxr_gateway.core.errors import BadInput, CommandError
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.schemas import Priority, UsedTriage
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.tuning.operating import tune
from cxr_gateway.tuning.plan import LEAST_IMAGES, ScoredStudy, planned, scored_studies
from support.archives import CAMS, a_study, a_triage, commanded
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    FakeService,
    services_over,
    settings_for,
)
from support.triage_models import a_triage_model, write_triage_model

REFERENCE = TriageThresholds(urgent=0.9, soon=0.65)


def options(*arguments: str) -> argparse.Namespace:
    return parser().parse_args(["triage", "tune", *arguments])


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    path = write_triage_model(tmp_path / "triage", a_triage_model())
    (tmp_path / "archive").mkdir()
    made = settings_for(tmp_path / "archive", database_url, triage_dir=path.parents[1])
    migrate(made.resolved_database_url, 5)
    return made


def opener(settings: GatewaySettings) -> object:
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(FakeService("classifier").app()),
        DETECTOR_URL: httpx.ASGITransport(FakeService("detector").app()),
    }
    return services_over(mounts)(settings)


def run(settings: GatewaySettings, *arguments: str) -> str:
    return tune(settings, options(*arguments), opener)  # type: ignore[arg-type]


async def fill(settings: GatewaySettings, count: int, model_sha256: str) -> None:
    """Studies whose immediate score rises evenly to 0.5, with a same-day score of twice that."""
    async with open_archive(settings) as archive:
        for number in range(count):
            score = round(0.5 * (number + 1) / count, 6)
            triage = a_triage(Priority.ROUTINE, score).model_copy(
                update={
                    "same_day_score": round(2 * score, 6),
                    "model": UsedTriage(name="one--other", sha256=model_sha256),
                }
            )
            study = a_study(new_study_id().encode()).model_copy(update={"triage": triage})
            await archive.in_thread(archive.files.write, study.id, "original.png", b"image")
            await archive.add(study, CAMS, None, None)


def model_sha256(settings: GatewaySettings) -> str:
    from cxr_gateway.analysis.triage_model import load_triage_models

    [model] = load_triage_models(settings)
    return model.sha256


def in_force(settings: GatewaySettings) -> dict[str, SiteThresholds]:
    return query_once(settings, site_thresholds)


def on_record(settings: GatewaySettings) -> list[tuple[str, dict[str, Any]]]:
    """Action and details of each entry; all of them ended well."""
    with audit_snapshot(settings) as connection:
        entries = page(connection, AuditQuery(limit=100)).items
    assert [entry.outcome for entry in entries] == [0] * len(entries)
    return [(entry.action, entry.details or {}) for entry in entries]


def test_the_thresholds_follow_from_the_sites_own_images_and_are_on_record(
    settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(settings, 200, model_sha256(settings)))
    said = run(settings, "--yes", "--by", "ada")
    shown = capsys.readouterr().out
    assert "200 images scored by the triage model in use." in shown
    # Nothing reached the reference's 0.9, and what is soon reached 0.65 by twice the score.
    rows = [line.split() for line in shown.splitlines()]
    assert ["urgent", "0.0%", "10.0%"] in rows
    assert ["soon", "35.5%", "25.0%"] in rows
    # All were stored as routine.
    assert "70 of these stored studies would have another priority." in shown
    assert said.startswith("Urgent from 0.45")
    [thresholds] = in_force(settings).values()
    assert 0.45 < thresholds.urgent < 0.4525
    assert 0.65 < thresholds.soon < 0.655
    assert (thresholds.alert_budget, thresholds.soon_budget) == (0.1, 0.25)
    assert thresholds.n_images == 200
    details = {"by": "ada", "urgent": thresholds.urgent, "soon": thresholds.soon}
    assert on_record(settings) == [("triage tune", details)]


def test_a_reset_takes_it_back(settings: GatewaySettings) -> None:
    assert "nothing was to do" in run(settings, "--reset", "--yes")
    asyncio.run(fill(settings, 200, model_sha256(settings)))
    run(settings, "--yes", "--alert-budget", "0.2", "--soon-budget", "0")
    [thresholds] = in_force(settings).values()
    assert (thresholds.alert_budget, thresholds.soon_budget) == (0.2, 0.0)
    assert "hold again" in run(settings, "--reset", "--yes")
    assert in_force(settings) == {}
    (back, by), (tuned, _) = on_record(settings)
    assert (back, tuned) == ("triage tune --reset", "triage tune")
    assert set(by) == {"by"}


def test_only_the_last_images_of_the_model_in_use_count(settings: GatewaySettings) -> None:
    asyncio.run(fill(settings, 199, model_sha256(settings)))
    asyncio.run(fill(settings, 100, "f" * 64))
    with pytest.raises(BadInput, match=r"^199 stored studies have a score .* needs 200"):
        run(settings, "--yes")
    asyncio.run(fill(settings, 1, model_sha256(settings)))
    with pytest.raises(BadInput, match=r"^100 stored studies"):
        run(settings, "--yes", "--last", "200")
    assert "Urgent from" in run(settings, "--yes", "--last", "300")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--alert-budget", "1.5"], "--alert-budget is 1.5; it is a share of radiographs, from"),
        (["--alert-budget", "-0.1"], "--alert-budget is -0.1"),
        (["--soon-budget", "nan"], "--soon-budget is nan"),
        (["--alert-budget", "0.6", "--soon-budget", "0.5"], "more than all radiographs"),
        (["--last", "199"], "--last is 199, and a tuning needs 200 images"),
        ([], "0 stored studies have a score"),
    ],
)
def test_what_cannot_be_worked_with_changes_nothing(
    settings: GatewaySettings, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(BadInput) as refused:
        run(settings, "--yes", *arguments)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith("nothing was changed.")
    assert (in_force(settings), on_record(settings)) == ({}, [])


@pytest.mark.parametrize(("answer", "does_it"), [("y\n", True), ("n\n", False), ("", False)])
def test_it_is_done_only_if_whoever_asks_says_yes(
    settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch, answer: str, does_it: bool
) -> None:
    asyncio.run(fill(settings, 200, model_sha256(settings)))
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    if does_it:
        run(settings)
    else:
        with pytest.raises(BadInput, match="not confirmed; nothing was changed"):
            run(settings)
    assert bool(in_force(settings)) is does_it


def test_without_a_model_in_use_there_is_nothing_to_tune(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    settings = settings_for(tmp_path / "archive")
    migrate(settings.resolved_database_url, 5)
    with pytest.raises(CommandError, match="No triage model is installed"):
        run(settings, "--yes")


def test_the_command_ends_with_two_and_one_sentence(
    settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commanded(settings, "triage", "tune", "--alert-budget", "7") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "triage: --alert-budget is 7; it is a share of radiographs, from 0 to 1; nothing was "
        "changed.\n"
    )


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 10**6), alert=st.floats(0, 1))
def test_the_shares_are_those_of_the_budgets(seed: int, steps: int, alert: float) -> None:
    random = np.random.default_rng(seed)
    soon = float(random.uniform(0, 1 - alert))
    # Of so many values that few are equal, or that most are.
    found = random.integers(0, steps, (LEAST_IMAGES, 2)) / steps
    studies = [ScoredStudy(min(pair), max(pair), Priority.ROUTINE) for pair in found.tolist()]
    tuning = planned(studies, REFERENCE, alert, soon)
    # Equal scores fall on one side together; of the others each budget is met to two images.
    ties = LEAST_IMAGES - len({study.score for study in studies})
    same_day_ties = LEAST_IMAGES - len({study.same_day_score for study in studies})
    assert tuning.shares_after[Priority.URGENT] <= alert + (ties + 2) / LEAST_IMAGES
    at_least_soon = 1 - tuning.shares_after[Priority.ROUTINE]
    assert at_least_soon >= alert + soon - (same_day_ties + 2) / LEAST_IMAGES
    assert tuning.n_changed == pytest.approx(LEAST_IMAGES * at_least_soon)


def test_studies_of_another_model_or_of_none_are_passed_over() -> None:
    scored = {"score": 0.5, "same_day_score": 0.75, "priority": "soon"}
    results = [
        {"triage": None},
        {"triage": scored | {"model": None, "score": None}},
        {"triage": scored | {"model": {"name": "m", "sha256": "b"}}},
        {"triage": scored | {"model": {"name": "m", "sha256": "a"}}},
    ]
    found = scored_studies(map(json.dumps, results), "a")
    assert found == [ScoredStudy(0.5, 0.75, Priority.SOON)]
