"""Kinds of odd DICOM that hospitals have: read as they are meant, or refused with the tag named."""

from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
)

from cxr_gateway.imaging import DecodedImage, read_upload
from cxr_serving.errors import Unprocessable
from support.dicom_images import dicom, dicom_bytes, dicom_dataset
from support.images import radiograph_like

# Odd values are written on purpose, and pydicom says so.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

GREY = radiograph_like(128, 96)
TWELVE = GREY.astype(np.uint16) * 16
FULL_8: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
FULL_12: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
DELIMITER = bytes.fromhex("feffdde000000000")


def read(ds: Dataset) -> DecodedImage:
    return read_upload(dicom_bytes(ds))


def raw(keyword: str, value: bytes, **tags: Any) -> bytes:
    """A file whose text element `keyword` holds exactly `value`."""
    padded = value + b" " * (len(value) % 2)
    filled: dict[str, Any] = {keyword: "8" * len(padded)}
    data = dicom(GREY, **FULL_8, **tags, **filled)
    assert data.count(b"8" * len(padded)) == 1
    return data.replace(b"8" * len(padded), padded)


def compressed(values: npt.NDArray[Any], syntax: UID, stream: bytes, **tags: Any) -> bytes:
    """A file of `syntax` whose one fragment is `stream`."""
    ds = dicom_dataset(values, **tags)
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return dicom_bytes(ds, syntax)


# --- optional display elements ---------------------------------------------------------------


def empty_table() -> list[Dataset]:
    item = Dataset()
    item.add(DataElement(0x00283002, "US", None))
    item.add(DataElement(0x00283006, "OW", None))
    return [item]


@pytest.mark.parametrize(
    "odd",
    [
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": "", "RescaleIntercept": "7"},
        {"RescaleIntercept": ""},
        {"ModalityLUTSequence": empty_table()},
        {"VOILUTSequence": empty_table()},
        {"VOILUTSequence": []},
        {"VOILUTFunction": ""},
    ],
    ids=str,
)
def test_an_empty_display_element_is_absent(odd: dict[str, Any]) -> None:
    image = read(dicom_dataset(GREY, **FULL_8, **odd))
    assert np.array_equal(image.grey, GREY)
    assert image.metadata.notes == []


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", [b"1,0", b"nan", b"inf", b"1\\1", b"one", b"1e999", b"--1"])
def test_a_rescale_that_is_no_number_is_passed_over_with_a_note(keyword: str, value: bytes) -> None:
    image = read_upload(raw(keyword, value))
    assert np.array_equal(image.grey, GREY)
    if keyword == "RescaleSlope":
        assert [
            note for note in image.metadata.notes if note.startswith("RescaleSlope (0028,1053)")
        ]


def table(entries: npt.NDArray[Any], vr: str, data: Any, *, first: int = 0) -> list[Dataset]:
    item = Dataset()
    item.add(DataElement(0x00283002, "US", [len(entries) % 65536, first, 8]))
    item.add(DataElement(0x00283006, vr, data))
    return [item]


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("form", ["bytes in OW", "words in OW", "words in US", "packed in US"])
def test_entries_of_8_bits_are_read_however_they_are_stored(keyword: str, form: str) -> None:
    entries = np.rint(255 * (np.arange(4096) / 4095) ** 0.8).astype(np.uint8)
    vr, data = {
        "bytes in OW": ("OW", entries.tobytes()),
        "words in OW": ("OW", entries.astype("<u2").tobytes()),
        "words in US": ("US", entries.tolist()),
        "packed in US": ("US", entries.view("<u2").tolist()),
    }[form]
    window = FULL_8 if keyword == "ModalityLUTSequence" else {}
    ds = dicom_dataset(TWELVE, bits=12, **{keyword: table(entries, vr, data)}, **window)
    assert np.abs(read(ds).grey.astype(int) - entries[TWELVE]).max() <= 1


def test_a_table_that_is_none_is_passed_over_with_a_note() -> None:
    short = table(np.zeros(4096, np.uint8), "OW", b"\0" * 100)
    image = read(dicom_dataset(GREY, **FULL_8, VOILUTSequence=short))
    assert np.array_equal(image.grey, GREY)
    assert image.metadata.notes == [
        "VOILUTSequence (0028,3010) holds no table and was passed over."
    ]


def test_a_window_that_leaves_few_greys_gives_way_to_the_images_own_values() -> None:
    image = read(dicom_dataset(TWELVE // 16, bits=12, WindowCenter=2048, WindowWidth=4096))
    assert len(np.unique(image.grey)) > 60
    assert [
        note for note in image.metadata.notes if note.startswith("WindowWidth (0028,1051) leaves ")
    ]


# --- containers ------------------------------------------------------------------------------


def jpeg() -> tuple[bytes, npt.NDArray[np.uint8]]:
    stream = bytes(imagecodecs.jpeg_encode(GREY, level=95))
    return stream, imagecodecs.jpeg_decode(stream)


@pytest.mark.parametrize(
    "end", [DELIMITER, b"", bytes(8), bytes.fromhex("feff0de000000000"), b"\0", b"rubbish"]
)
def test_pixel_data_end_where_their_items_end(end: bytes) -> None:
    stream, grey = jpeg()
    data = compressed(GREY, JPEGBaseline8Bit, stream, **FULL_8)
    assert data.endswith(DELIMITER)
    image = read_upload(data[: -len(DELIMITER)] + end)
    assert np.abs(image.grey.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["native", "compressed"])
def test_a_transfer_that_broke_off_is_called_truncated(kind: str, share: float) -> None:
    data = (
        dicom(GREY, **FULL_8)
        if kind == "native"
        else compressed(GREY, JPEGBaseline8Bit, jpeg()[0], **FULL_8)
    )
    with pytest.raises(Unprocessable, match="truncated"):
        read_upload(data[: int(len(data) * share)])


@pytest.mark.parametrize("length", [300, 333, 400, 450])
def test_a_file_cut_within_its_header_is_called_truncated(length: int) -> None:
    with pytest.raises(Unprocessable, match="truncated"):
        read_upload(dicom(GREY, **FULL_8)[:length])


def test_pixel_data_of_no_length_are_called_empty() -> None:
    with pytest.raises(Unprocessable, match=r"PixelData \(7FE0,0010\) is empty"):
        read_upload(dicom(GREY, PixelData=b""))


# --- codecs ----------------------------------------------------------------------------------


def lossless_jpeg(samples: npt.NDArray[np.int64], precision: int, shift: int) -> bytes:
    """ITU-T T.81, annex H: the first predictor, and a Huffman code of 4 bits for each size."""
    kept = samples >> shift
    predicted = np.empty_like(kept)
    predicted[:, 1:] = kept[:, :-1]
    predicted[1:, 0] = kept[:-1, 0]
    predicted[0, 0] = 1 << (precision - shift - 1)
    code = []
    for difference in map(int, (kept - predicted).flat):
        size = abs(difference).bit_length()
        extra = difference if difference > 0 else difference + (1 << size) - 1
        code.append(format(size, "04b") + (format(extra, f"0{size}b") if size else ""))
    bits = "".join(code)
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    rows, columns = samples.shape
    sizes = bytes([0, 0, 0, 14, *[0] * 12]) + bytes(range(14))
    return b"".join(
        [
            b"\xff\xd8",
            b"\xff\xc4" + (3 + len(sizes)).to_bytes(2, "big") + b"\x00" + sizes,
            b"\xff\xc3\x00\x0b" + bytes([precision]),
            rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\x01\x01\x11\x00",
            b"\xff\xda\x00\x08\x01\x01\x00\x01\x00" + bytes([shift]) + scan,
            b"\xff\xd9",
        ]
    )


@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (8, 1), (8, 3), (12, 0), (12, 2), (12, 4)])
def test_a_point_transform_is_undone(bits: int, shift: int) -> None:
    values = GREY if bits == 8 else TWELVE + 5
    window = FULL_8 if bits == 8 else FULL_12
    stream = lossless_jpeg(values.astype(np.int64), bits, shift)
    image = read_upload(compressed(values, JPEGLosslessSV1, stream, bits=bits, **window))
    right = read(dicom_dataset(values >> shift << shift, bits=bits, **window))
    assert np.abs(image.grey.astype(int) - right.grey).max() <= 1


def test_a_scan_header_that_ends_its_spectrum_at_0_is_read() -> None:
    stream = bytearray(imagecodecs.jpeg_encode(TWELVE, level=98, bitspersample=12))
    at = stream.index(b"\xff\xda")
    end_of_spectrum = at + 4 + 1 + 2 * stream[at + 4] + 1
    assert stream[end_of_spectrum] == 63
    right = read_upload(
        compressed(TWELVE, JPEGExtended12Bit, bytes(stream), bits=12, **FULL_12)
    ).grey
    stream[end_of_spectrum] = 0
    image = read_upload(compressed(TWELVE, JPEGExtended12Bit, bytes(stream), bits=12, **FULL_12))
    assert np.abs(image.grey.astype(int) - right).max() <= 1


def test_high_throughput_jpeg_2000_is_exact() -> None:
    stream = bytes(imagecodecs.htj2k_encode(TWELVE, reversible=True))
    image = read_upload(compressed(TWELVE, HTJ2KLossless, stream, bits=12, **FULL_12))
    assert np.array_equal(image.grey, read(dicom_dataset(TWELVE, bits=12, **FULL_12)).grey)


# --- tags that decide ------------------------------------------------------------------------


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "is_refused"),
    [
        ("51185008", "SCT", "Tórax", False),
        ("816094009", "SCT", "胸部", False),
        ("T-D3000", "SRT", "klatka", False),
        ("39607008", "SCT", "płuco", False),
        ("72696002", "SCT", "Chest", True),  # the knee's code, whatever its meaning says
        ("T-D9200", "SRT", "Pied", True),
        ("4711", "99LOCAL", "Thorax", False),
        ("4711", "99LOCAL", "Kniegelenk links", False),  # a local word: the image decides
        ("4711", "99LOCAL", "Left knee", True),
    ],
)
def test_a_region_is_known_by_its_code(
    value: str, scheme: str, meaning: str, *, is_refused: bool
) -> None:
    ds = dicom_dataset(
        GREY,
        BodyPartExamined=None,
        SpecificCharacterSet="ISO_IR 192",
        AnatomicRegionSequence=code(value, scheme, meaning),
        **FULL_8,
    )
    refused = read(ds).refused
    assert (refused is not None) == is_refused
    if is_refused:
        assert meaning in str(refused)


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "kind"),
    [
        ("399173006", "SCT", "Linkes Profil", "a lateral view"),
        ("R-10236", "SRT", "lewy boczny", "a lateral view"),
        ("399135007", "SCT", "schräg", "an oblique view"),
        ("399348003", "SCT", "lateral?", None),  # the code of a frontal view
        ("1", "99LOCAL", "Lateral links", "a lateral view"),
    ],
)
def test_a_view_is_known_by_its_code(
    value: str, scheme: str, meaning: str, kind: str | None
) -> None:
    refused = read(
        dicom_dataset(
            GREY, ViewPosition=None, ViewCodeSequence=code(value, scheme, meaning), **FULL_8
        )
    ).refused
    assert (refused is None) if kind is None else (refused is not None and kind in refused)


@pytest.mark.parametrize(
    ("charset", "codec", "part"),
    [
        ("ISO_IR 100", "latin-1", "TÓRAX"),
        ("GB18030", "gb18030", "胸部"),
        ("ISO_IR 144", "iso8859-5", "ОГК"),
        ("ISO_IR 192", "utf-8", "Rücken?"),
        ("ISO_IR 101", "iso8859-2", "KLATKA PIERSIOWA"),
    ],
)
def test_a_part_in_another_language_lets_the_image_decide(
    charset: str, codec: str, part: str
) -> None:
    data = raw("BodyPartExamined", part.encode(codec), SpecificCharacterSet=charset)
    assert read_upload(data).refused is None


@pytest.mark.parametrize("part", ["SCHÄDEL", "Cráneo", "GENOU D", "LWS", "PELVIS", "LEFT HAND"])
def test_what_is_clearly_another_part_is_refused_in_its_own_letters(part: str) -> None:
    data = raw("BodyPartExamined", part.encode(), SpecificCharacterSet="ISO_IR 192")
    assert f"BodyPartExamined (0018,0015) is {part};" in str(read_upload(data).refused)


# --- who it is -------------------------------------------------------------------------------


def test_a_name_is_whole_in_each_of_its_groups() -> None:
    groups = ["A" * 40 + "^" + "B" * 23, "山" * 30 + "^" + "太" * 30, "や" * 64]
    name = read(
        dicom_dataset(
            GREY, SpecificCharacterSet="ISO_IR 192", PatientName="=".join(groups), **FULL_8
        )
    ).patient.name
    assert name == f"{'B' * 23} {'A' * 40} ({'山' * 30} {'太' * 30}, {'や' * 64})"


@pytest.mark.parametrize(
    ("charset", "name", "read_as"),
    [
        (
            ["", "ISO 2022 IR 58"],
            b"Li^Wei=\x1b$)A" + "李".encode("gb2312") + b"^\x1b$)A" + "伟".encode("gb2312"),
            "Wei Li (李 伟)",
        ),
        (
            ["", "ISO 2022 IR 149"],
            b"Gim^Mina=\x1b$)C" + "김".encode("euc-kr") + b"^\x1b$)C" + "미나".encode("euc-kr"),
            "Mina Gim (김 미나)",
        ),
        (
            ["", "ISO 2022 IR 87"],
            b"Ito^Ken=\x1b$B" + "伊藤".encode("iso2022_jp")[3:-3] + b"\x1b(B^\x1b$B"
            + "健".encode("iso2022_jp")[3:-3] + b"\x1b(B",
            "Ken Ito (伊藤 健)",
        ),
    ],
)  # fmt: skip
def test_code_extensions_leave_no_trace_in_a_name(
    charset: list[str], name: bytes, read_as: str
) -> None:
    data = raw("PatientName", name, SpecificCharacterSet=charset)
    assert read_upload(data).patient.name == read_as


def test_an_identifier_is_never_half_of_itself() -> None:
    two = read_upload(raw("PatientID", b"AB\\12345")).patient
    assert two.patient_id == "AB\\12345"
    long = "HOSPITAL:" + "0123456789" * 12
    assert read_upload(raw("PatientID", long.encode())).patient.patient_id == long
    far_too_long = read_upload(raw("AccessionNumber", b"9" * 600))
    assert far_too_long.patient.accession_number is None
    assert far_too_long.metadata.notes == [
        "AccessionNumber (0008,0050) cannot be shown whole and is left out.",
    ]


# --- how the pixels lie ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (["L", "F"], GREY),
        (["R", "F"], GREY[:, ::-1]),
        (["L", "H"], GREY[::-1]),
        (["R", "H"], GREY[::-1, ::-1]),
        (["F", "L"], GREY.T),
        (["H", "L"], GREY.T[:, ::-1]),
        (["F", "R"], GREY.T[::-1]),
        (["H", "R"], GREY.T[::-1, ::-1]),
        (["LF", "FR"], GREY),
        (["", ""], GREY),
    ],
    ids=str,
)
def test_a_radiograph_hangs_as_usual(orientation: list[str], stored: npt.NDArray[np.uint8]) -> None:
    ds = dicom_dataset(np.ascontiguousarray(stored), PatientOrientation=orientation, **FULL_8)
    image = read(ds)
    assert np.array_equal(image.grey, GREY)
    assert (image.metadata.height, image.metadata.width) == GREY.shape
    assert bool(image.metadata.notes) == (stored is not GREY)


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [
        ({"PixelAspectRatio": ["2", "1"]}, (192, 128)),
        ({"PixelAspectRatio": ["1", "2"]}, (96, 256)),
        ({"PixelSpacing": ["0.2", "0.1"]}, (192, 128)),
        ({"ImagerPixelSpacing": ["0.143", "0.143"]}, (96, 128)),
        ({"PixelAspectRatio": ["0", "1"]}, (96, 128)),
        ({"PixelSpacing": ["100", "1"]}, (96, 128)),
    ],
    ids=str,
)
def test_pixels_become_square(spacing: dict[str, Any], shape: tuple[int, int]) -> None:
    assert read(dicom_dataset(GREY, **spacing, **FULL_8)).grey.shape == shape


def test_raw_detector_values_are_noted() -> None:
    image = read(dicom_dataset(GREY, PresentationIntentType="FOR PROCESSING", **FULL_8))
    assert [note for note in image.metadata.notes if "FOR PROCESSING" in note]
