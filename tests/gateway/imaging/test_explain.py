"""`cxr-gateway explain`: what is made of a file, told without naming the patient."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from cxr_gateway.cli import main
from support.dicom_images import compressed_dicom, dicom, sample
from support.images import encoded, example_image

CHEST = example_image("no-finding")
TWELVE = CHEST.astype(np.uint16) * 16


@pytest.fixture
def explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Any:
    """From bytes to what the command prints, in a folder that has no archive."""
    monkeypatch.setenv("CXR_GATEWAY_ARCHIVE_DIR", str(tmp_path / "none"))

    def run(data: bytes, *options: str) -> str:
        path = tmp_path / "file"
        path.write_bytes(data)
        assert main(["explain", str(path), *options]) == 0
        assert not (tmp_path / "none").exists()
        return capsys.readouterr().out

    return run


def test_a_dicom_file_is_told_from_its_tags_to_the_decision(explained: Any) -> None:
    told = json.loads(
        explained(
            compressed_dicom(
                TWELVE,
                JPEG2000Lossless,
                bits=12,
                WindowCenter=2048,
                WindowWidth=4096,
                RescaleSlope="1",
                RescaleIntercept="0",
                PatientOrientation=["R", "F"],
                PatientID="4711",
                PatientName="Somebody^Else",
            ),
            "--json",
        )
    )
    assert told["file"]["kind"] == "dicom"
    assert told["tags"]["BodyPartExamined (0018,0015)"] == "CHEST"
    assert told["tags"]["WindowWidth (0028,1051)"] == "4096.0"
    assert told["reading"]["transfer syntax"].endswith("(1.2.840.10008.1.2.4.90)")
    assert told["reading"]["decoder"] in ("pillow", "pylibjpeg")
    assert told["reading"]["stored values"] == f"uint16, {TWELVE.min()} to {TWELVE.max()}"
    assert "WindowCenter (0028,1050) 2048" in told["reading"]["shown by"]
    assert told["image"] == {
        "stored": "512 x 512",
        "displayed": "512 x 512",
        "pixels": "square",
        "orientation": "mirrored left to right",
        "view": "PA",
    }
    assert len(told["notes"]) == 1
    assert told["quality"]["effective_px"] >= 120
    assert told["ood"]["score"] > told["ood"]["threshold"]
    assert told["outcome"] == "accepted"
    assert told["tags"]["PatientID (0010,0020)"] == "present"
    assert "4711" not in json.dumps(told)
    assert "Somebody" not in json.dumps(told)


def test_a_refusal_is_told_with_the_tags_that_led_to_it(explained: Any) -> None:
    told = json.loads(explained(dicom(CHEST, BitsStored=9), "--json"))
    assert told["tags"]["BitsStored (0028,0101)"] == "9"
    assert (told["outcome"], told["status"]) == ("refused", 422)
    assert "BitsStored" in told["reason"]


@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        (sample("RG3_UNCI.dcm"), "rejected", "BodyPartExamined"),
        (dicom(CHEST, Modality="MG"), "rejected", "mammography"),
        (encoded(CHEST // 32 * 32), "rejected", "levels of grey"),
        (encoded(np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)), "rejected", ""),
        (encoded(Image.fromarray(CHEST), "GIF"), "refused", "a GIF image"),
        (b"", "refused", ""),
        (encoded(CHEST), "accepted", "-"),
    ],
    ids=["leg", "modality", "quality", "ood", "kind", "empty", "ordinary"],
)
def test_every_decision_is_told_as_an_upload_would_meet_it(
    explained: Any, data: bytes, outcome: str, reason: str
) -> None:
    *_, decided, why = explained(data).splitlines()
    if outcome == "refused":
        *_, decided, _, why = explained(data).splitlines()
    assert decided == f"outcome: {outcome}"
    assert why.startswith("reason: ")
    assert reason in why


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "/nowhere/at-all.dcm"]) == 1
    assert "cannot be read" in capsys.readouterr().err
