"""Results as DICOM objects: what they say, where boxes lie, and that validators find no error."""

import re
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from cxr_contracts import Finding, Region
from cxr_gateway.core.schemas import ImageSource, Study
from cxr_gateway.exports.dicom.catalogue import catalogue
from cxr_gateway.exports.dicom.codes import FINDINGS, LOCAL, REGIONS, STANDARD, every_coding
from cxr_gateway.exports.dicom.results import ReportKind, Result, make_result
from cxr_gateway.imaging import read_upload
from cxr_gateway.imaging.decoders import InProcessDecoder
from cxr_serving.errors import NotFound, Unprocessable
from cxr_serving.product import MANUFACTURER
from support.archived_studies import HEIGHT, KINDS, NAMES, WIDTH, box, original, stored, study
from support.dicom_node import program

HERE = InProcessDecoder()
_EVERYWHERE = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
               "StudyID", "StudyDate", "StudyTime", "AccessionNumber")  # fmt: skip


def made(
    result: Result, content: bytes | None = None, kind: ReportKind = "3d", **changed: Any
) -> Dataset:
    """A result of a study of `content`, read back."""
    content = content or original()
    exported = make_result(stored(study(**changed)), content, result, HERE, kind=kind)
    return pydicom.dcmread(BytesIO(exported.content))


def items(ds: Dataset, meaning: str) -> list[Dataset]:
    """Content items of this name, wherever in the tree."""
    found = []
    for item in ds.get("ContentSequence", []):
        names = item.get("ConceptNameCodeSequence")
        if names and names[0].CodeMeaning == meaning:
            found.append(item)
        found += items(item, meaning)
    return found


@pytest.mark.parametrize("result", list(Result))
@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_filed_with_its_patient_and_study(result: Result, name: str) -> None:
    charset, written = NAMES[name]
    content = original(SpecificCharacterSet=charset.split("\\"), PatientName=written)
    ds = made(result, content)
    source = pydicom.dcmread(BytesIO(content))
    for keyword in _EVERYWHERE:
        assert str(ds[keyword].value) == str(source[keyword].value), keyword
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert ds.Manufacturer == MANUFACTURER
    models = [item.ManufacturerModelName for item in ds.ContributingEquipmentSequence]
    # The library names itself, too, in what it makes.
    assert models[:3] == ["ood-cxr", "lite0-nih14", "fused-both"]
    assert models[3:] in ([], ["highdicom"])


def test_the_kinds_are_of_their_classes() -> None:
    assert made(Result.FINDINGS).SOPClassUID == Comprehensive3DSRStorage
    assert made(Result.BOXES, kind="2d").SOPClassUID == ComprehensiveSRStorage
    assert made(Result.PRESENTATION_STATE).SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    capture = made(Result.SECONDARY_CAPTURE)
    assert capture.SOPClassUID == SecondaryCaptureImageStorage
    assert capture.pixel_array.shape[2] == 3
    assert capture.BurnedInAnnotation == "NO"


def test_the_findings_say_probability_threshold_and_priority() -> None:
    ds = made(Result.FINDINGS)
    groups = items(ds, "Measurement Group")
    assert len(groups) == 1 + len(Finding)
    said = {
        items(group, "Finding")[0].ConceptCodeSequence[0].CodeMeaning: (
            float(items(group, "Probability")[0].MeasuredValueSequence[0].NumericValue),
            items(group, "Level of evidence")[0].ConceptCodeSequence[0].CodeMeaning,
        )
        for group in groups[1:]
    }
    assert said["Mass"] == (0.72, "Likely")
    assert said["Pneumothorax"] == (0.05, "Unlikely")
    [priority] = items(ds, "Priority of reading")
    assert priority.ConceptCodeSequence[0].CodeMeaning == "Soon"
    [comment] = items(ds, "Comment")
    assert "Mass is likely." in comment.TextValue
    assert "Research use" in comment.TextValue
    assert ds.VerificationFlag == "UNVERIFIED"


def test_each_model_is_named_as_an_algorithm_that_is_artificial_intelligence() -> None:
    ds = made(Result.BOXES)
    names = {item.TextValue for item in items(ds, "Algorithm Name")}
    versions = {item.TextValue for item in items(ds, "Algorithm Version")}
    families = {i.ConceptCodeSequence[0].CodeMeaning for i in items(ds, "Algorithm Family")}
    assert (names, versions, families) == ({"fused-both"}, {"1"}, {"Artificial Intelligence"})


def test_a_box_lies_where_the_detector_drew_it() -> None:
    groups = items(made(Result.BOXES), "Measurement Group")
    regions = [items(group, "Image Region")[0] for group in groups]
    points = [10, 20, 40.5, 20, 40.5, 50.25, 10, 50.25, 10, 20]
    assert regions[0].GraphicData == points
    assert regions[0].GraphicType == "POLYLINE"
    source = regions[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert source.ReferencedSOPInstanceUID == pydicom.dcmread(BytesIO(original())).SOPInstanceUID
    # A number within a group of a box breaks viewers that draw boxes.
    kinds = {item.ValueType for group in groups for item in group.ContentSequence}
    assert "NUM" not in kinds
    state = made(Result.PRESENTATION_STATE).GraphicAnnotationSequence[0]
    assert state.GraphicObjectSequence[0].GraphicData == points
    assert "Mass 0.61" in [text.UnformattedTextValue for text in state.TextObjectSequence]


@pytest.mark.parametrize(
    "tags",
    [
        *({"PatientOrientation": [rows, columns]} for rows in "LR" for columns in "FH"),
        *({"PatientOrientation": [rows, columns]} for rows in "FH" for columns in "LR"),
        {"PixelAspectRatio": ["2", "1"]},
        {"PixelAspectRatio": ["1", "2"], "PatientOrientation": ["H", "R"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("result", [Result.BOXES, Result.PRESENTATION_STATE])
def test_a_box_of_a_turned_or_stretched_radiograph_lies_on_the_files_own_pixels(
    result: Result, tags: dict[str, Any]
) -> None:
    """A bright rectangle of the file is found as displayed, boxed there, and sent back."""
    values = np.zeros((HEIGHT, WIDTH), np.uint16)
    values[30:40, 70:90] = 4000
    content = original(values, **tags)
    decoded = read_upload(content)
    rows, columns = np.nonzero(decoded.grey > 128)
    corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    shown = box(Region.MASS, 0.5, *map(float, corners))
    ds = made(result, content, image=decoded.metadata, boxes=[shown])
    if result is Result.BOXES:
        points = items(ds, "Image Region")[0].GraphicData
    else:
        points = ds.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicData
    found = min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    # Stretching blurs an edge by less than a pixel.
    assert found == pytest.approx((70, 30, 90, 40), abs=1.0)


def test_the_same_study_and_models_give_the_same_file_and_others_another_uid() -> None:
    for result in Result:
        first = make_result(stored(study()), original(), result, HERE).content
        assert make_result(stored(study()), original(), result, HERE).content == first
    uids = {
        made(result, kind=kind).SOPInstanceUID
        for result in (Result.FINDINGS, Result.BOXES)
        for kind in ("3d", "2d")
    }
    uids.add(made(Result.FINDINGS, **KINDS["partial"]).SOPInstanceUID)
    assert len(uids) == 5


def test_the_heat_map_is_an_image_that_the_report_refers_to_where_it_goes_along() -> None:
    image = made(Result.HEAT_MAP)
    assert image.SOPClassUID == SecondaryCaptureImageStorage
    assert "mass" in image.DerivationDescription
    pixels = image.pixel_array
    # Where there is evidence, colour; where there is none, the radiograph's grey.
    colours = pixels[..., 0].astype(int) - pixels[..., 2]
    assert colours[:HEIGHT, -10:].max() > 50
    assert not colours[:10, :10].any()
    exported = make_result(stored(study()), original(), Result.FINDINGS, HERE, explained=True)
    report = pydicom.dcmread(BytesIO(exported.content))
    [explained] = items(report, "Visual explanation")
    assert explained.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    [group] = [
        one for one in items(report, "Measurement Group") if explained in one.ContentSequence
    ]
    assert items(group, "Finding")[0].ConceptCodeSequence[0].CodeMeaning == "Mass"
    alone = made(Result.FINDINGS)
    assert items(alone, "Visual explanation") == []
    assert alone.SOPInstanceUID != report.SOPInstanceUID
    with pytest.raises(NotFound, match="no heat map"):
        made(Result.HEAT_MAP, **KINDS["partial"])


def test_the_summary_is_a_pdf_of_one_page() -> None:
    ds = made(Result.PDF)
    assert ds.SOPClassUID == EncapsulatedPDFStorage
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"
    content = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page\n") == 1
    reference = ds.SourceInstanceSequence[0].ReferencedSOPInstanceUID
    assert reference == pydicom.dcmread(BytesIO(original())).SOPInstanceUID


def test_the_catalogue_names_what_is_made() -> None:
    for changed in KINDS.values():
        for entry in catalogue(stored(study(**changed))):
            ds = made(entry.result, **changed)
            assert ds.SOPClassUID == entry.sop_class_uid
            assert ds.SOPInstanceUID == entry.sop_instance_uid
            assert ds.SeriesInstanceUID == entry.series_instance_uid
            assert ds.SeriesNumber == entry.series_number
            assert ds.SeriesDescription == entry.series_description
            assert ds.InstanceNumber == entry.instance_number
            assert ds.Modality == entry.modality


def test_a_rejected_study_says_why_and_has_no_finding() -> None:
    ds = made(Result.FINDINGS, **KINDS["rejected"])
    assert items(ds, "Probability") == []
    assert "The image is blank." in items(ds, "Comment")[0].TextValue
    with pytest.raises(NotFound, match="no boxes"):
        made(Result.BOXES, **KINDS["rejected"])


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_without_a_study_to_file_it_in_there_is_no_result(missing: str) -> None:
    with pytest.raises(Unprocessable, match=missing):
        made(Result.FINDINGS, original(**{missing: None}))


def test_a_png_has_no_dicom_study() -> None:
    image = study().image.model_copy(update={"source": ImageSource.PNG})
    with pytest.raises(Unprocessable, match="did not come as a DICOM file"):
        make_result(stored(study(image=image)), b"", Result.FINDINGS, HERE)


@pytest.mark.parametrize(
    "odd",
    [
        {"PatientSex": "female"},
        {"PatientBirthDate": "unknown"},
        {"StudyTime": "noon"},
        {"PatientName": "X" * 70},
        {"WindowCenter": None, "WindowWidth": None},
        {"PatientID": None, "PatientName": None, "StudyDate": None, "AccessionNumber": None},
    ],
)
def test_odd_tags_of_the_source_are_no_reason_to_give_no_result(odd: dict[str, Any]) -> None:
    content = original(**odd)
    for result in Result:
        assert made(result, content).StudyInstanceUID


def test_every_code_is_of_the_standard_or_names_its_source() -> None:
    for coding in every_coding():
        assert coding.source
        if coding.source == STANDARD:
            scheme: Any = concepts[coding.scheme]
            known = [row for row in scheme.values() if coding.value in row]
            meanings = {row[coding.value][0].lower() for row in known}
            assert coding.meaning.lower() in meanings, coding
        elif coding.scheme == LOCAL:
            assert re.fullmatch(r"[a-z-]{1,64}", coding.value)
        else:
            assert coding.scheme == "SCT"
            assert coding.value.isdigit()
    assert set(FINDINGS) == set(Finding)
    assert set(REGIONS) == set(Region)


def is_made(result: Result, of: Study) -> bool:
    """Whether there is such a result: not every study has boxes, or a heat map."""
    if result is Result.BOXES:
        return bool(of.boxes)
    return result is not Result.HEAT_MAP or bool(of.heatmaps)


def written(folder: Path, kinds: dict[str, dict[str, Any]], names: dict[str, Any]) -> list[Path]:
    """Every result of studies of these kinds and of patients of these names, as files."""
    paths = []
    for kind, changed in kinds.items():
        for name, (charset, text) in names.items():
            content = original(SpecificCharacterSet=charset.split("\\"), PatientName=text)
            for result in Result:
                if not is_made(result, study(**changed)):
                    continue
                for report in ("3d", "2d") if result.value in ("findings", "boxes") else ("3d",):
                    path = folder / f"{kind}-{name}-{result.value}-{report}.dcm"
                    made = stored(study(**changed))
                    ds = make_result(made, content, result, HERE, kind=report, explained=True)
                    path.write_bytes(ds.content)
                    paths.append(path)
    return paths


@pytest.mark.slow
def test_dciodvfy_finds_no_error_in_any_result(tmp_path: Path) -> None:
    for path in written(tmp_path, KINDS, NAMES):
        said = subprocess.run(
            [program("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False
        )
        errors = [line for line in said.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], path.name
        assert said.returncode == 0, said.stderr


def table(count: int, first: int, bits: int) -> Dataset:
    """A lookup table from black to white."""
    item = Dataset()
    item.LUTDescriptor = [count % (1 << 16), first, bits]
    values = np.linspace(0, 2**bits - 1, count)
    item.LUTData = values.astype("u1" if bits == 8 else "<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US" if first >= 0 else "SS", "OW"
    return item


def modality_table() -> Dataset:
    item = table(4096, 0, 16)
    item.ModalityLUTType = "OD"
    return item


_NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}
_OF_FRAMES = "1.2.840.10008.5.1.4.1.1.7.3"
# Files that a gateway reads, and whose tags a library for results would stumble over.
ODD_SOURCES: dict[str, dict[str, Any]] = {
    "computed-radiography": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR"},
    "fluoroscopy": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2", "Modality": "RF"},
    "secondary-capture": {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"},
    "class-of-frames": {"SOPClassUID": _OF_FRAMES, "NumberOfFrames": "1", **_NO_WINDOW},
    "class-of-frames-and-table": {"SOPClassUID": _OF_FRAMES, "VOILUTSequence": [table(64, 0, 12)]},
    "big-endian": {"syntax": ExplicitVRBigEndian, "VOILUTSequence": [table(4096, 0, 16)]},
    "deflated": {"syntax": DeflatedExplicitVRLittleEndian},
    "implicit": {"syntax": ImplicitVRLittleEndian, "ModalityLUTSequence": [modality_table()]},
    "table-and-window": {"VOILUTSequence": [table(4096, 0, 12)]},
    "table-of-bytes": {"VOILUTSequence": [table(256, 0, 8)]},
    "table-from-below-zero": {"VOILUTSequence": [table(4096, -5, 16)]},
    "table-of-65536": {"VOILUTSequence": [table(65536, 0, 16)], **_NO_WINDOW},
    "modality-table": {"ModalityLUTSequence": [modality_table()], "RescaleSlope": "1"},
    "slope-alone": {"RescaleSlope": "2"},
    "odd-rescale": {"RescaleSlope": "1", "RescaleIntercept": "0", "RescaleType": "log E rel"},
    "centre-alone": {"WindowWidth": None},
    "width-0": {"WindowWidth": "0"},
    "windows-that-do-not-match": {"WindowCenter": ["1", "2"], "WindowWidth": "3"},
    "windows": {"WindowCenter": ["1.33333333333", "2"], "WindowWidth": ["3", "4.66666666666"]},
    "unknown-function": {"VOILUTFunction": "MAGIC"},
    "sigmoid": {"VOILUTFunction": "SIGMOID"},
    "no-time-of-day": {"StudyTime": "256199"},
    "nobody": dict.fromkeys(("PatientName", "PatientID", "PatientBirthDate", "PatientSex")),
    "no-study-date": dict.fromkeys(("StudyDate", "StudyTime", "AccessionNumber", "StudyID")),
    "control-characters": {"PatientName": "A\nB^C", "StudyDescription": "a\r\nb"},
}


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD_SOURCES)
def test_dciodvfy_finds_no_error_in_results_of_an_odd_source(odd: str, tmp_path: Path) -> None:
    content = original(**ODD_SOURCES[odd])
    for result in Result:
        path = tmp_path / f"{result.value}.dcm"
        exported = make_result(stored(study()), content, result, HERE, explained=True)
        path.write_bytes(exported.content)
        said = subprocess.run(
            [program("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False
        )
        assert "Error" not in said.stderr, result.value


def test_a_presentation_state_shows_the_image_as_it_is_displayed_here() -> None:
    def shown(**tags: Any) -> Dataset:
        state = made(Result.PRESENTATION_STATE, original(**tags))
        for voi in state.get("SoftcopyVOILUTSequence", []):
            state.update(voi)
        return state

    assert (shown().WindowCenter, shown().WindowWidth) == (2048, 4096)
    # The table before the window, and all of its bits.
    by_table = shown(VOILUTSequence=[table(4096, 0, 12)])
    assert "WindowCenter" not in by_table
    entries = np.frombuffer(by_table.VOILUTSequence[0].LUTData, "<u2")
    assert (entries.size, entries[0], entries[-1]) == (4096, 0, 65535)
    assert shown(RescaleSlope="2").RescaleSlope == 2
    assert "RescaleSlope" not in shown(RescaleSlope="0", RescaleIntercept="1")
    assert "WindowCenter" not in shown(WindowWidth="0")


def test_a_name_in_undeclared_utf_8_is_the_same_in_its_results() -> None:
    content = original(PatientName="Müller^Zoë")
    for said in (b"ISO_IR 100", b"ISO_IR 6  "):
        ds = made(Result.FINDINGS, content.replace(b"ISO_IR 192", said))
        assert ds.PatientName == "Müller^Zoë"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_dcentvfy_finds_results_and_source_to_be_of_one_patient_and_study(
    kind: str, name: str, tmp_path: Path
) -> None:
    charset, text = NAMES[name]
    source = original(SpecificCharacterSet=charset.split("\\"), PatientName=text)
    # It compares bytes, so the source is written in the character set of its results.
    ds = pydicom.dcmread(BytesIO(source))
    ds.decode()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.save_as(tmp_path / "source.dcm")
    # A report with a heat map and the same without are two.
    paths = written(tmp_path, {kind: KINDS[kind]}, {name: NAMES[name]})
    said = subprocess.run(
        [program("dcentvfy"), str(tmp_path / "source.dcm"), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Error" not in said.stderr + said.stdout, said.stderr
    assert said.returncode == 0


# It compiles the standard's templates at each start: half a minute of one core.
_JAVA = (
    *("-Djdk.xml.xpathExprGrpLimit=0", "-Djdk.xml.xpathExprOpLimit=0"),
    *("-Djdk.xml.xpathTotalOpLimit=0", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx2g"),
)


@pytest.mark.slow
def test_pixelmeds_validator_finds_no_error_in_any_report(tmp_path: Path) -> None:
    reports = [
        path
        for path in written(tmp_path, KINDS, {"unicode": NAMES["unicode"]})
        if "findings" in path.stem or "boxes" in path.stem
    ]
    program("DicomSRValidator")
    validator = Path(__file__).parents[2] / "support/ValidateReports.java"
    said = subprocess.run(
        ["java", *_JAVA, "-cp", "/usr/share/java/pixelmed.jar", str(validator), *map(str, reports)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("Root Template Validation Complete") == len(reports)
    assert [line for line in said.stdout.splitlines() if line.startswith("Error")] == []


def test_highdicom_reads_the_reports_back() -> None:
    content = make_result(stored(study()), original(), Result.BOXES, HERE).content
    report = highdicom.sr.srread(BytesIO(content))
    groups = report.content.get_planar_roi_measurement_groups()  # type: ignore[attr-defined]
    assert [group.finding_type.meaning for group in groups] == ["Mass", "Pleural thickening"]
