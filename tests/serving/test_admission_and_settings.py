"""Requests are turned away before their body is read; settings that are misspelt are named."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import Request

from cxr_classifier.settings import ClassifierSettings
from cxr_detector.loading import load_predictor
from cxr_detector.settings import DetectorSettings
from cxr_serving.admission import Admission
from cxr_serving.errors import Overloaded
from cxr_serving.process import settings_or_exit
from cxr_serving.runtime import choose_runtime


def request(length: int | None) -> Request:
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return Request({"type": "http", "headers": headers})


def admission(max_requests: int = 3, max_bytes: int = 1000) -> Admission:
    return Admission(
        max_requests=max_requests, max_bytes=max_bytes, unknown_bytes=600, retry_after_s=lambda: 4
    )


def test_no_more_requests_than_the_limit_are_inside() -> None:
    limit = admission(max_requests=2)
    with limit.admit(request(1)), limit.admit(request(1)):
        with pytest.raises(Overloaded) as refusal, limit.admit(request(1)):
            pass
        assert refusal.value.retry_after_s == 4
    with limit.admit(request(1)):
        pass


def test_no_more_bytes_than_the_limit_are_inside() -> None:
    limit = admission()
    with (
        limit.admit(request(500)),
        limit.admit(request(500)),
        pytest.raises(Overloaded),
        limit.admit(request(1)),
    ):
        pass


def test_a_body_of_unknown_length_counts_as_a_large_one() -> None:
    limit = admission()
    with limit.admit(request(None)), pytest.raises(Overloaded), limit.admit(request(None)):
        pass


def test_a_lone_request_is_let_in_however_large() -> None:
    with admission().admit(request(5000)):
        pass


def test_a_request_that_fails_leaves_its_place() -> None:
    limit = admission(max_requests=1)
    for _ in range(3):
        with contextlib.suppress(ValueError), limit.admit(request(1)):
            raise ValueError
    with limit.admit(request(1)):
        pass


def test_the_services_have_their_own_ports_and_models() -> None:
    classifier, detector = ClassifierSettings(), DetectorSettings()
    assert (classifier.port, detector.port) == (8001, 8002)
    assert classifier.model_dir == Path("models/classifier/lite0-cxr")
    assert (detector.model_dir, detector.model) == (Path("models/detector"), None)
    assert classifier.host == "127.0.0.1"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_DETECTOR_MAX_QUEUE_LENGTH", "5")
    monkeypatch.setenv("CXR_DETECTOR_THREADS", "3")
    settings = DetectorSettings()
    assert (settings.max_queue_length, settings.model_threads) == (5, 3)


def test_a_detector_is_asked_for_by_its_name(
    monkeypatch: pytest.MonkeyPatch, detector_folder: Path, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        shutil.copytree(detector_folder, tmp_path / name)
    manifest = tmp_path / "other/manifest.json"
    manifest.write_text(manifest.read_text().replace("random-detector", "other"))
    (tmp_path / "DEFAULT").write_text("one")
    monkeypatch.setenv("CXR_DETECTOR_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("CXR_DETECTOR_RUNTIME", "onnxruntime")
    assert load_predictor(DetectorSettings()).manifest.name == "random-detector"
    monkeypatch.setenv("CXR_DETECTOR_MODEL", "other")
    assert load_predictor(DetectorSettings()).manifest.name == "other"
    monkeypatch.setenv("CXR_DETECTOR_MODEL", "../one")
    with pytest.raises(ValueError, match=r"model\n.*should match pattern"):
        DetectorSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("CXR_CLASSIFIER_MAX_QUEUE_LENGHT", "5"), ("CXR_CLASSIFIER_RUNTIME", "tensorrt")],
)
def test_a_misspelt_setting_ends_the_process_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        settings_or_exit(ClassifierSettings)
    assert end.value.code == 2
    assert name in capsys.readouterr().err


def test_a_chosen_runtime_is_taken_without_looking_at_the_machine() -> None:
    assert choose_runtime("onnxruntime") == "onnxruntime"
    assert choose_runtime("torch") == "torch"


def test_importing_the_services_imports_no_pytorch() -> None:
    code = (
        "import sys, cxr_classifier.app, cxr_detector.app;"
        "print([name for name in ('torch', 'timm', 'ultralytics') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
