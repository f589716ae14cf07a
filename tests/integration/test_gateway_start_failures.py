"""A gateway that cannot start: one sentence in its log, nothing left listening."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def started(tmp_path: Path, **settings: str) -> list[str]:
    """The errors that a gateway with these settings logs; it has to end by itself."""
    given = {"archive_dir": str(tmp_path / "archive"), "port": "0", "database_timeout_s": "2"}
    environment = {f"CXR_GATEWAY_{k.upper()}": v for k, v in (given | settings).items()}
    finished = subprocess.run(
        [sys.executable, "-m", "cxr_gateway"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # 2: what it stands on; 3: a part of the running service.
    assert finished.returncode in {2, 3}, finished.stderr
    assert "Traceback" not in finished.stderr
    lines = [json.loads(line) for line in finished.stderr.splitlines()]
    return [line["message"] for line in lines if line["level"] == "error"]


def test_an_ood_detector_that_is_not_what_its_manifest_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models/ood/ood-cxr", tmp_path / "ood")
    (tmp_path / "ood/model.onnx").write_bytes(b"something else")
    [sentence, _] = started(tmp_path, ood_model_dir=str(tmp_path / "ood"))
    assert sentence.startswith("The gateway cannot start: ")
    assert "ood/model.onnx" in sentence
    assert "has 14 bytes and its manifest says" in sentence


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    [sentence] = started(tmp_path, database_url="postgresql+psycopg://cxr@127.0.0.1:1/cxr")
    assert sentence.startswith("The gateway cannot start: The archive's database is ")
    assert "Connection refused" in sentence
    assert "\n" not in sentence


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    place = str(tmp_path / "file/archive")
    [sentence] = started(tmp_path, archive_dir=place)
    assert sentence.startswith("The gateway cannot start: The archive's folder cannot be used")
    assert place in sentence
