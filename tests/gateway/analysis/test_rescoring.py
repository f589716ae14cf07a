"""Rescoring two scores, and the manifests that say how."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_contracts import Finding, ModelIdentity, Region, RescoringManifest
from cxr_gateway.analysis.rescoring import (
    Rescoring,
    RescoringError,
    Rescorings,
    join,
    load_rescorings,
)
from cxr_gateway.cli import main
from support.rescorings import SHA, a_joining, region_joining, write_joining

SHIPPED = Path(__file__).parents[3] / "models/rescoring"


def model(sha256: str = SHA) -> ModelIdentity:
    return ModelIdentity(name="m", version="1", sha256=sha256)


def loaded(manifest: RescoringManifest) -> Rescorings:
    return Rescorings([Rescoring(manifest, "0" * 64)])


def test_a_joined_score_is_the_sigmoid_of_the_weighted_logits() -> None:
    constants = region_joining(
        Region.MASS, score_weight=2.0, probability_weight=0.5, intercept=-1.0
    )
    z = 2.0 * np.log(0.3 / 0.7) + 0.5 * np.log(0.8 / 0.2) - 1.0
    assert join(constants, 0.3, 0.8) == pytest.approx(1 / (1 + np.exp(-z)))


def test_the_identity_leaves_a_score_as_it_is() -> None:
    constants = region_joining(Region.FRACTURE)
    assert join(constants, [0.01, 0.5, 0.93], 0.0) == pytest.approx([0.01, 0.5, 0.93])


def test_the_ends_of_the_scale_stay_finite_and_in_order() -> None:
    scores = join(region_joining(Region.MASS), [0.0, 0.5, 1.0], [0.0, 0.5, 1.0])
    assert np.isfinite(scores).all()
    assert (np.diff(scores) > 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_joining_counts_for_the_two_networks_it_was_fitted_to_only() -> None:
    rescorings = loaded(a_joining(classifier_sha="11" * 32, detector_sha="22" * 32))
    found = rescorings.of(model("11" * 32), model("22" * 32))
    assert found is not None
    assert found.used.name == "one--other"
    assert rescorings.of(model("22" * 32), model("11" * 32)) is None
    assert rescorings.of(None, model("22" * 32)) is None
    assert rescorings.of(model("11" * 32), None) is None


def test_models_without_a_joining_are_logged_once_and_named_by_the_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rescorings = loaded(a_joining())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert rescorings.of(model("22" * 32), model()) is None
    assert [record.message for record in caplog.records] == ["no rescoring for these models"]
    status = rescorings.status(model("22" * 32), model())
    assert status.in_use is None
    assert "222222222222" in status.detail
    in_use = rescorings.status(model(), model()).in_use
    assert in_use is not None
    assert in_use.name == "one--other"


def test_without_a_joining_nothing_is_asked_for_beyond_and_nothing_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rescorings = load_rescorings(tmp_path)
    assert rescorings.min_score is None
    assert rescorings.of(model(), model()) is None
    assert not caplog.records
    assert "No rescoring is installed" in rescorings.status(model(), model()).detail


def test_all_joinings_of_a_folder_are_read_and_the_lowest_score_is_asked_for(
    tmp_path: Path,
) -> None:
    write_joining(tmp_path, a_joining(min_score=0.02))
    write_joining(tmp_path, a_joining(name="two--other", classifier_sha="11" * 32))
    (tmp_path / "README.md").write_text("no rescoring")
    rescorings = load_rescorings(tmp_path)
    assert rescorings.min_score == 0.02
    found = rescorings.of(model("11" * 32), model())
    assert found is not None
    assert found.manifest.name == "two--other"


def broken(change: dict[str, Any]) -> str:
    return json.dumps(json.loads(a_joining().model_dump_json()) | change)


def with_region(index: int, **changes: Any) -> str:
    manifest = json.loads(a_joining().model_dump_json())
    manifest["regions"][index] |= changes
    return json.dumps(manifest)


BROKEN = {
    "no JSON": ("{", "Invalid JSON"),
    "unknown region": (with_region(0, region="Kerley"), "regions.0.region: Input should be"),
    "missing region": (broken({"regions": []}), "each of the 15 is due once; missing: Atelectasis"),
    "twice": (with_region(0, region="Mass", finding="Mass"), "missing: Atelectasis"),
    "another finding": (with_region(0, finding="Mass"), "Atelectasis cannot be rescored with Mass"),
    "no finding": (with_region(1, probability_weight=1.0), "names no finding"),
    "order turned": (with_region(0, score_weight=-1.0), "greater than 0"),
    "misspelt": (broken({"min_skore": 0.1}), "min_skore: Extra inputs"),
    "another role": (broken({"role": "detector"}), "role: Input should be 'rescoring'"),
    "no number": (with_region(0, intercept="NaN"), "regions.0.intercept"),
}


@pytest.mark.parametrize(("content", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_joining_is_a_sentence_with_its_file(
    tmp_path: Path, content: str, says: str
) -> None:
    path = write_joining(tmp_path, a_joining())
    path.write_text(content)
    with pytest.raises(RescoringError) as caught:
        load_rescorings(tmp_path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} is no rescoring: ")
    assert says in sentence
    assert "\n" not in sentence


def test_two_joinings_of_the_same_networks_are_refused(tmp_path: Path) -> None:
    write_joining(tmp_path, a_joining())
    write_joining(tmp_path, a_joining(name="copy"))
    with pytest.raises(RescoringError, match="joins the same two networks as"):
        load_rescorings(tmp_path)


def test_the_gateway_says_what_is_wrong_and_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXR_GATEWAY_RESCORING_DIR", str(tmp_path / "nowhere"))
    # The process that a gateway is for itself would keep writing to this test's stderr.
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    assert main([]) == 2
    sentence = f"The gateway cannot start: There is no folder of rescorings at {tmp_path}"
    assert sentence in capsys.readouterr().err


def test_what_is_shipped_can_be_read() -> None:
    rescorings = load_rescorings(SHIPPED)
    for path in SHIPPED.glob("*/manifest.json"):
        manifest = RescoringManifest.model_validate_json(path.read_bytes())
        rescoring = rescorings.of(manifest.classifier, manifest.detector)
        assert rescoring is not None
        assert rescoring.regions[Region.FRACTURE].finding is None
        assert rescoring.regions[Region.DIFFUSE_NODULE].finding is Finding.NODULE
