"""DICOM: the grey of every stored value, by numbers, in every transfer syntax."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, RLELossless

from cxr_gateway.imaging import read_upload
from support.dicom_images import NATIVE, compressed_dicom, dicom, sample

# 0..4095 in 64 x 64 pixels, row by row: the value of pixel (y, x) is 64 y + x.
TWELVE = np.arange(4096, dtype=np.uint16).reshape(64, 64)
FULL = {"WindowCenter": 2048, "WindowWidth": 4096}


def grey_of(values: npt.NDArray[Any], **tags: Any) -> npt.NDArray[np.uint8]:
    return read_upload(dicom(values, **tags)).grey


def at(grey: npt.NDArray[np.uint8], *stored: int) -> list[int]:
    """The grey of the pixels of TWELVE that hold `stored`."""
    return [int(grey.flat[value]) for value in stored]


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
def test_each_uncompressed_syntax_gives_the_same_greys(syntax: UID) -> None:
    grey = grey_of(TWELVE, bits=12, syntax=syntax, **FULL)
    # LINEAR with centre 2048 and width 4096: ((v - 2047.5) / 4095 + 0.5) * 255.
    expected = np.rint((TWELVE - 2047.5) / 4095 * 255 + 127.5)
    assert np.array_equal(grey, expected)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("kind", ["u1", "u2", "i2"])
def test_a_lossless_syntax_gives_the_greys_of_the_uncompressed_file(syntax: UID, kind: str) -> None:
    values = (TWELVE >> 4 if kind == "u1" else TWELVE - 2000 if kind == "i2" else TWELVE).astype(
        kind
    )
    tags: dict[str, Any] = {"WindowCenter": 100, "WindowWidth": 300}
    bits = 8 if kind == "u1" else 12
    packed = read_upload(compressed_dicom(values, syntax, bits=bits, **tags)).grey
    assert np.array_equal(packed, grey_of(values, bits=bits, **tags))
    assert len(np.unique(packed)) > 50


def test_lossy_jpeg_2000_is_nearly_the_same() -> None:
    packed = read_upload(compressed_dicom(TWELVE, JPEG2000, bits=12, j2k_psnr=[60], **FULL)).grey
    plain = grey_of(TWELVE, bits=12, **FULL)
    assert np.abs(packed.astype(int) - plain).max() <= 4


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("is_signed", [False, True])
def test_the_full_window_of_each_depth_runs_from_black_to_white(bits: int, is_signed: bool) -> None:
    low = -(1 << bits - 1) if is_signed else 0
    values = np.linspace(low, low + (1 << bits) - 1, 64 * 64).round().reshape(64, 64)
    grey = grey_of(
        values.astype("i2" if is_signed else "u2"),
        bits=bits,
        WindowCenter=low + (1 << bits - 1),
        WindowWidth=1 << bits,
    )
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert np.abs(grey - (values - low) / ((1 << bits) - 1) * 255).max() <= 0.51


@pytest.mark.parametrize("syntax", NATIVE[:3], ids=lambda syntax: syntax.name)
def test_bits_above_the_stored_ones_are_no_part_of_the_value(syntax: UID) -> None:
    dirty = (TWELVE | 0xA000).astype(np.uint16)
    assert np.array_equal(
        grey_of(dirty, bits=12, syntax=syntax, **FULL), grey_of(TWELVE, bits=12, **FULL)
    )


def test_the_sign_of_12_stored_bits_is_their_own_highest_bit() -> None:
    signed = TWELVE.astype(np.int16) - 2048
    dirty = (signed & 0x0FFF).astype(np.int16)  # the upper bits are 0, not the sign
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    assert np.array_equal(grey_of(dirty, bits=12, **window), grey_of(signed, bits=12, **window))
    assert at(grey_of(dirty, bits=12, **window), 0, 2048, 4095) == [0, 128, 255]


def test_8_bits_with_the_full_window_come_out_as_they_are() -> None:
    values = (TWELVE >> 4).astype(np.uint8)
    assert np.array_equal(grey_of(values, WindowCenter=128, WindowWidth=256), values)


def test_monochrome1_is_turned() -> None:
    plain = grey_of(TWELVE, bits=12, **FULL)
    turned = grey_of(TWELVE, bits=12, PhotometricInterpretation="MONOCHROME1", **FULL)
    assert at(turned, 0, 4095) == [255, 0]
    assert np.abs(turned.astype(int) + plain - 255).max() <= 1


# Centre 1000, width 400, as PS3.3 C.11.2.1 defines the three functions.
WINDOWS: Mapping[str, dict[int, int]] = {
    # black up to c - 0.5 - (w-1)/2 = 800, white above c - 0.5 + (w-1)/2 = 1199
    "LINEAR": {799: 0, 800: 0, 900: 64, 1000: 128, 1100: 192, 1199: 255, 1200: 255},
    # ((v - 1000) / 400 + 0.5) * 255
    "LINEAR_EXACT": {800: 0, 900: 64, 1000: 128, 1100: 191, 1200: 255, 1300: 255},
    # 255 / (1 + exp(-4 (v - 1000) / 400))
    "SIGMOID": {0: 0, 800: 30, 900: 69, 1000: 128, 1100: 186, 1200: 225, 4000: 255},
}


@pytest.mark.parametrize("function", WINDOWS)
def test_each_window_function_gives_the_standards_greys(function: str) -> None:
    grey = grey_of(TWELVE, bits=12, WindowCenter=1000, WindowWidth=400, VOILUTFunction=function)
    assert at(grey, *WINDOWS[function]) == list(WINDOWS[function].values())


def test_the_first_of_several_windows_is_shown() -> None:
    grey = grey_of(TWELVE, bits=12, WindowCenter=[1000, 3000], WindowWidth=[400, 10])
    assert at(grey, 800, 1199) == [0, 255]


def test_a_window_counts_in_rescaled_values() -> None:
    tags = {"RescaleSlope": "0.5", "RescaleIntercept": "-500"}
    grey = grey_of(TWELVE, bits=12, WindowCenter=0, WindowWidth=400, **tags)
    # rescaled = v / 2 - 500: -200 is stored as 600, 199 as 1398.
    assert at(grey, 600, 1000, 1398) == [0, 128, 255]


def test_a_falling_rescale_without_a_window_turns_the_image() -> None:
    grey = grey_of(TWELVE, bits=12, RescaleSlope="-1", RescaleIntercept="4095")
    assert at(grey, 0, 4095) == [255, 0]


def lut(entries: npt.NDArray[np.uint16], first: int, bits: int, vr: str = "US") -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.LUTData = entries.tolist()
    item["LUTDescriptor"].VR = vr
    item["LUTData"].VR = "US"
    return [item]


def test_a_voi_lut_is_looked_up_and_held_at_its_ends() -> None:
    entries = (np.arange(1024) ** 2 // 16).astype(np.uint16)
    entries[-1] = 65535
    grey = grey_of(TWELVE, bits=12, VOILUTSequence=lut(entries, 1000, 16), **FULL)
    assert at(grey, 0, 999, 1000, 2023, 4095) == [0, 0, 0, 255, 255]
    assert at(grey, 1512) == [round(float(entries[512]) / 65535 * 255)]


def test_a_voi_lut_that_fills_12_of_its_16_bits_still_reaches_white() -> None:
    entries = np.arange(4096, dtype=np.uint16)
    grey = grey_of(TWELVE, bits=12, VOILUTSequence=lut(entries, 0, 16))
    assert at(grey, 0, 2048, 4095) == [0, 128, 255]


def test_a_modality_lut_comes_before_the_window() -> None:
    entries = np.arange(4096, dtype=np.uint16)[::-1].copy()
    sequence = lut(entries, 0, 16)
    sequence[0].ModalityLUTType = "US"
    grey = grey_of(TWELVE, bits=12, ModalityLUTSequence=sequence, **FULL)
    assert at(grey, 0, 4095) == [255, 0]


def test_without_a_window_the_half_percent_ends_are_black_and_white() -> None:
    grey = grey_of(TWELVE, bits=12)
    low, high = np.percentile(TWELVE, [0.5, 99.5], method="inverted_cdf").astype(float)
    expected = np.rint(np.clip((TWELVE - low) / (high - low), 0, 1) * 255)
    assert np.abs(grey - expected).max() <= 1
    assert at(grey, 0, 4095) == [0, 255]


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 60000, "WindowWidth": 10},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
)
def test_a_window_that_shows_nothing_is_ignored(tags: dict[str, Any]) -> None:
    assert np.array_equal(grey_of(TWELVE, bits=12, **tags), grey_of(TWELVE, bits=12))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_has_no_say_in_the_window(photometric: str) -> None:
    values = TWELVE.copy()
    values[:32] = 60000
    values[32:] = values[32:] % 1000 + 500
    grey = grey_of(values, PixelPaddingValue=60000, PhotometricInterpretation=photometric)
    assert grey[:32].max() == 0
    assert np.percentile(grey[32:], [1, 99]) == pytest.approx([0, 255], abs=4)


def test_a_range_of_padding_and_a_signed_one_in_unsigned_clothes_are_padding() -> None:
    values = (TWELVE.astype(np.int16)) - 1000
    values[0] = -2000
    values[1] = -1990
    tags = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}
    grey = grey_of(values, **tags, **{"WindowCenter": 0, "WindowWidth": 8000})
    assert grey[:2].max() == 0
    assert grey[2, 0] == round(((128 - 1000 + 0.5) / 7999 + 0.5) * 255)


def test_an_image_of_one_value_is_one_grey_and_no_error() -> None:
    assert len(np.unique(grey_of(np.full((64, 64), 300, np.uint16), bits=12))) == 1


# Real files of compressors that cannot be run here, against the uncompressed values that pydicom's
# authors keep beside them.
TWINS = [
    ("MR_small_RLE.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_implicit.dcm", "MR_small.dcm"),
    ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ("emri_small_jpeg_ls_lossless.dcm", "emri_small.dcm"),
    ("JPEG2000.dcm", "JPEG2000_UNC.dcm"),
]


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(("packed", "plain"), TWINS)
def test_real_compressed_files_show_what_their_uncompressed_twins_show(
    packed: str, plain: str
) -> None:
    one, other = read_upload(sample(packed)), read_upload(sample(plain))
    assert np.array_equal(one.grey, other.grey)
    assert np.ptp(one.grey) > 100


@pytest.mark.parametrize(
    ("name", "size", "mean"),
    [
        ("JPGExtended.dcm", (1024, 256), 32.2),
        ("JPEG-LL.dcm", (1024, 256), 30.8),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", (768, 1024), 17.4),
    ],
)
def test_real_jpeg_files_are_decoded(name: str, size: tuple[int, int], mean: float) -> None:
    grey = read_upload(sample(name)).grey
    assert grey.shape == size
    assert grey.mean() == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize("other", ["RG1_UNCR", "RG1_J2KI", "RG1_J2KR"])
def test_the_sample_radiograph_is_the_same_image_however_it_is_packed(other: str) -> None:
    plain, packed = read_upload(sample("RG1_UNCI.dcm")), read_upload(sample(other + ".dcm"))
    assert plain.refused is None
    assert packed.refused is None
    assert packed.grey.shape == (1955, 1841)
    difference = np.abs(packed.grey.astype(np.int16) - plain.grey)
    assert difference.mean() < 1.0
    assert np.percentile(difference, 99.9) <= 4
    assert 100 < packed.grey.mean() < 220
    assert packed.metadata.view == "PA"
