"""DICOM files for tests: written here with known values, or taken from pydicom's packages."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom.data
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
STUDY_UID = "1.2.826.0.1.3680043.8.498.1"


def sample(name: str) -> bytes:
    """A file of pydicom's own test data or of the package `pydicom-data`."""
    path = pydicom.data.get_testdata_file(name)
    assert path, f"{name} is missing: install requirements/dev.txt"
    return Path(str(path)).read_bytes()


def dicom_dataset(values: npt.NDArray[Any], *, bits: int | None = None, **tags: Any) -> Dataset:
    """A digital chest radiograph of `values` [H, W]; `tags` are set last, None deletes one.

    Args:
        values: uint8, int8, uint16 or int16, as they are to be stored.
        bits: BitsStored; all bits of the type by default.
        tags: elements by keyword.
    """
    ds = Dataset()
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = STUDY_UID + ".1"
    ds.StudyInstanceUID = STUDY_UID
    ds.Modality = "DX"
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = "PA"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape[:2]
    ds.BitsAllocated = 8 * values.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    ds.PixelData = values.astype(values.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    for keyword, value in tags.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def dicom_bytes(ds: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """`ds` as a file of an uncompressed or deflated `syntax`, not checked for being sensible."""
    if syntax == ExplicitVRBigEndian and ds.get("BitsAllocated") == 16 and "PixelData" in ds:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "1.2.3")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3.4")
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom(values: npt.NDArray[Any], *, syntax: UID = ExplicitVRLittleEndian, **tags: Any) -> bytes:
    """A file of `dicom_dataset(values, **tags)`."""
    return dicom_bytes(dicom_dataset(values, **tags), syntax)


def compressed_dicom(values: npt.NDArray[Any], syntax: UID, **tags: Any) -> bytes:
    """`values` compressed by the encoder that pydicom has for `syntax`."""
    options = {key: tags.pop(key) for key in ("j2k_psnr", "j2k_cr") if key in tags}
    ds = dicom_dataset(values, **tags)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(syntax, generate_instance_uid=False, **options)
    return dicom_bytes(ds, syntax)
