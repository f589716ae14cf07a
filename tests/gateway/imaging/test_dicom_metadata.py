"""What a DICOM file says of the patient, as text that can be shown."""

import logging
import struct
import warnings
from typing import Any

import numpy as np
import pytest

from cxr_gateway.core.schemas import DicomMetadata
from cxr_gateway.imaging import read_upload
from cxr_gateway.imaging.dicom.metadata import iso_date, readable_name
from support.dicom_images import STUDY_UID, dicom, sample
from support.images import radiograph_like

RADIOGRAPH = radiograph_like(64, 64)


def patient(**tags: Any) -> DicomMetadata:
    return read_upload(dicom(RADIOGRAPH, **tags)).patient


def raw_patient(tag: int, vr: str, value: bytes) -> DicomMetadata:
    """The facts of a file with an element that pydicom would not write, before all others."""
    data = dicom(RADIOGRAPH, StudyInstanceUID=None)
    start = data.index(b"\x08\x00\x16\x00UI")
    head = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value))
    return read_upload(data[:start] + head + value + data[start:]).patient


def test_the_facts_of_a_complete_file_are_read() -> None:
    assert patient(
        PatientID="4711",
        IssuerOfPatientID="NORTH",
        PatientName="Doe^Jane^Ann^Prof.^MD",
        PatientBirthDate="19520229",
        PatientSex="F",
        AccessionNumber="A-1",
        StudyDate="20040826",
    ) == DicomMetadata(
        patient_id="4711",
        issuer_of_patient_id="NORTH",
        name="Prof. Jane Ann Doe, MD",
        birth_date="1952-02-29",
        sex="F",
        accession_number="A-1",
        study_date="2004-08-26",
        study_instance_uid=STUDY_UID,
        sop_instance_uid=STUDY_UID + ".1",
    )


def test_what_a_file_does_not_say_is_none() -> None:
    facts = patient(PatientID="", PatientBirthDate="")
    assert (facts.patient_id, facts.name, facts.birth_date, facts.sex) == (None,) * 4


def test_the_real_sample_says_what_is_in_it() -> None:
    facts = read_upload(sample("RG1_UNCI.dcm")).patient
    assert facts.study_date == "2004-08-26"
    assert facts.study_instance_uid is not None
    assert facts.study_instance_uid.startswith("1.")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("20240229", "2024-02-29"),
        ("2004.08.26", "2004-08-26"),
        ("20230229", None),
        ("00000000", None),
        ("2004", None),
        ("20040826-20050101", None),
        ("２００４０８２６", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_iso_or_nothing(written: str | None, read: str | None) -> None:
    assert iso_date(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Doe^Jane", "Jane Doe"),
        ("Doe", "Doe"),
        ("^^^Dr.", "Dr."),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Tarou Yamada (山田 太郎, やまだ たろう)"),
        ("Same^Name=Same^Name", "Name Same (Same Name)"),
        ("^^^^", None),
        (" ", None),
        (None, None),
    ],
)
def test_a_name_is_in_the_order_of_speech(written: str | None, read: str | None) -> None:
    assert readable_name(written) == read


def test_a_name_in_its_own_character_set_is_decoded() -> None:
    facts = patient(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    assert facts.name == "Jörg Müller"


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_markup_is_text_and_what_holds_control_characters_is_left_out() -> None:
    assert raw_patient(0x00100020, "LO", b"<b>1</b>").patient_id == "<b>1</b>"
    facts = raw_patient(0x00100020, "LO", b"<b>1</b>\x00\x1b[31m\x07\r\n2 ")
    assert facts.patient_id is None


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_what_is_too_long_is_left_out_and_never_cut() -> None:
    assert raw_patient(0x00100020, "LO", b"9" * 5000).patient_id is None
    assert raw_patient(0x00100010, "PN", b"x" * 60 + b"=" + b"y" * 5000).name is None


@pytest.mark.parametrize(
    ("tag", "vr"), [(0x00100030, "DA"), (0x00080020, "DA"), (0x00100020, "LO"), (0x0020000D, "UI")]
)
def test_bytes_that_are_no_such_value_do_not_make_a_radiograph_unreadable(
    tag: int, vr: str
) -> None:
    facts = raw_patient(tag, vr, b"\xff\xfe\x80rubbish!")
    assert facts.birth_date is None
    assert facts.study_date is None


def test_an_odd_value_of_a_patient_is_neither_logged_nor_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        raw_patient(0x0020000D, "UI", b"secret-number")
        raw_patient(0x00100040, "CS", b"secret-sex-that-is-too-long-for-it")
        raw_patient(0x00100030, "DA", b"secretday!")
    assert "secret" not in caplog.text
    assert [str(warning.message) for warning in seen if "secret" in str(warning.message)] == []


def test_values_that_overflow_are_no_numbers() -> None:
    grey = read_upload(dicom(RADIOGRAPH, WindowCenter="1e300", WindowWidth="1e300")).grey
    assert grey.dtype == np.uint8
