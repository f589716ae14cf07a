"""The load run itself, for a few seconds: the real services, and the report of what they did."""

import csv
from pathlib import Path

import pytest

from benchmarks.load_run import Outcome, Plan, RequestResult
from benchmarks.sustained import run
from benchmarks.sustained_report import criteria, growth, write


def test_a_short_run_loads_refuses_and_finds_every_accepted_upload(
    tmp_path: Path, classifier_folder: Path, detector_folder: Path
) -> None:
    plan = Plan(rated_s=1.5, hostile_s=4, overload_s=1, calibration_s=1.5, overload=6)
    settings = {
        # So few that a short overload reaches the bound whatever this machine can do.
        "CXR_GATEWAY_MAX_STUDIES_IN_FLIGHT": "3",
        # `make load` takes the published models; the run is the same with small ones.
        "CXR_CLASSIFIER_MODEL_DIR": str(classifier_folder),
        "CXR_DETECTOR_MODEL_DIR": str(detector_folder),
    }
    outcome = run(plan, settings)
    assert outcome.accepted
    assert outcome.lost == []
    over = [result for result in outcome.results if result.phase == "overload"]
    refused = [result for result in over if result.status == 503]
    assert refused
    assert all(result.retry_after for result in refused)
    # It came in, and was told of its limits.
    kinds = {what.split(":")[0] for what in outcome.hostile}
    assert {"slow upload", "radiograph", "guessed key"} <= kinds, outcome.hostile
    assert outcome.hostile["guessed key: 401"]
    assert any(what.endswith(": 429") for what in outcome.hostile), outcome.hostile
    text, _ = write(outcome, tmp_path)
    assert "every upload that was accepted is in the archive, to the byte" in text
    with (tmp_path / "minutes.csv").open() as stream:
        assert sum(int(row["requests"]) for row in csv.DictReader(stream)) == len(outcome.results)
    assert {p.name for p in tmp_path.iterdir()} == {
        *("README.md", "load.png", "memory.csv", "minutes.csv")
    }


def made_up(mb_a_second: float, status: int = 201) -> Outcome:
    """Forty seconds of a service of 100 MB that grows."""
    outcome = Outcome(Plan(rated_s=40), capacity=10)
    outcome.phases = {"rated": (0.0, 40.0), "overload": (40.0, 50.0)}
    outcome.memory = [(float(s), "gateway", 100 + mb_a_second * s) for s in range(50)]
    outcome.results = [
        RequestResult("rated", "png", float(s), 50.0, status, False) for s in range(40)
    ]
    outcome.results += [RequestResult("overload", "png", 41.0, 5.0, 503, True)]
    outcome.accepted = {"a digest": "a study"}
    return outcome


def held(outcome: Outcome) -> bool:
    return all(met for _, _, met in criteria(outcome))


def test_memory_that_grows_is_reported_and_does_not_hold() -> None:
    assert held(made_up(0.01))
    assert not held(made_up(1.0))
    mean, per_hour, grown = growth(made_up(1.0), "gateway")
    assert (round(mean), round(per_hour), round(grown, 2)) == (125, 3600, 0.24)


def test_an_error_at_the_rated_load_does_not_hold() -> None:
    assert not held(made_up(0.0, status=500))
    assert "40 of 40: 40 x 500" in [seen for _, seen, _ in criteria(made_up(0.0, status=500))]


def test_a_study_analysed_in_part_at_the_rated_load_does_not_hold() -> None:
    outcome = made_up(0.0)
    outcome.results.append(RequestResult("rated", "png", 3.0, 50.0, 201, False, "partial"))
    assert not held(outcome)


@pytest.mark.parametrize(
    ("status", "took_ms", "refused", "holds"),
    [
        (201, 60.0, 90, True),
        (503, 60.0, 90, False),
        (201, 6000.0, 90, False),
        (201, 60.0, 2, False),
    ],
)
def test_what_a_hostile_client_does_to_others_counts(
    status: int, took_ms: float, refused: int, *, holds: bool
) -> None:
    outcome = made_up(0.0)
    outcome.phases["hostile"] = (40.0, 45.0)
    outcome.results.append(RequestResult("hostile", "png", 41.0, took_ms, status, False))
    outcome.hostile = {"radiograph: 201": 10, "radiograph: 429": refused}
    assert held(outcome) is holds


def test_a_lost_upload_does_not_hold() -> None:
    outcome = made_up(0.0)
    outcome.lost = ["a study"]
    assert not held(outcome)


def test_a_refusal_without_retry_after_does_not_hold() -> None:
    outcome = made_up(0.0)
    outcome.results.append(RequestResult("overload", "png", 42.0, 5.0, 503, False))
    assert not held(outcome)
