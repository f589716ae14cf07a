"""`python -m benchmarks.pictures`: the documentation's pictures, of the real page.

A system of its own reads the page's synthetic examples, as DICOM files of patients who do not
exist; `frontend/scripts/pictures.mjs` takes the pictures.
"""

import io
import os
import subprocess
import tempfile
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from benchmarks.stack import ROOT, Stack

_EXAMPLES = ROOT / "frontend/public/examples"
# The file, whose, and when; the last is the one that is opened, with an earlier one before it.
_STUDIES = (
    ("synthetic-no-finding.png", "SYN-002", "20260302"),
    ("synthetic-mass.png", "SYN-003", "20260411"),
    ("synthetic-no-finding.png", "SYN-001", "20260105"),
    ("synthetic-effusion.png", "SYN-001", "20260530"),
)
_BITS = 12


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        with httpx.Client(base_url=stack.url, timeout=60.0, trust_env=False) as client:
            for number, (file, patient, date) in enumerate(_STUDIES):
                content = _dicom(_EXAMPLES / file, patient, date, number)
                answer = client.post("/api/v1/studies", files={"file": (f"{number}.dcm", content)})
                answer.raise_for_status()
            opened = answer.json()["id"]
        subprocess.run(
            ["node", "scripts/pictures.mjs"],
            cwd=ROOT / "frontend",
            env={
                **os.environ,
                "CXR_BASE_URL": stack.url,
                "CXR_STUDY": opened,
                "CXR_PICTURES": str(ROOT / "docs"),
            },
            check=True,
        )


def _dicom(path: Path, patient: str, date: str, number: int) -> bytes:
    """A synthetic image as a digital radiograph of a patient who does not exist."""
    values = np.asarray(Image.open(path).convert("L"), np.uint16) << (_BITS - 8)
    ds = Dataset()
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[patient, date])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[patient, date, "study"])
    ds.PatientID, ds.PatientName, ds.StudyDate = patient, f"Synthetic {patient[-1]}", date
    ds.AccessionNumber = f"A{number:04d}"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "DX", "CHEST", "PA"
    ds.PatientOrientation = ["L", "F"]
    ds.ImagerPixelSpacing = [0.35, 0.35]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, _BITS, _BITS - 1, 0
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.PixelData = values.astype("<u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


if __name__ == "__main__":
    main()
