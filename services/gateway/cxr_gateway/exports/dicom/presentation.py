"""A grayscale presentation state: boxes and labels that most viewers lay over the radiograph."""

import copy
from io import BytesIO
from typing import Any

import numpy as np
from highdicom import VOILUT, ModalityLUT, ModalityLUTTransformation
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from cxr_gateway.core.schemas import Box, Study
from cxr_gateway.exports.dicom.codes import region_code
from cxr_gateway.exports.dicom.identity import (
    contributing,
    equipment,
    finish,
)
from cxr_gateway.exports.dicom.source import Source
from cxr_gateway.exports.dicom.uids import SERIES_NUMBERS, uid_of
from cxr_gateway.exports.notice import NOTICE
from cxr_gateway.exports.stored_pixels import box_in_stored_pixels
from cxr_gateway.imaging.dicom.display import Transformations
from cxr_serving.errors import Unprocessable

_PIXEL = AnnotationUnitsValues.PIXEL
_DISPLAY = AnnotationUnitsValues.DISPLAY
_MAX_LABEL = 64


def presentation_state(study: Study, source: Source) -> bytes:
    """Boxes with finding and score in the radiograph's own pixels, and a line that says whose.

    Raises:
        Unprocessable: the source is not a grey image, which this kind of object needs.
    """
    header = source.header
    if header.get("SamplesPerPixel") != 1 or not str(
        header.get("PhotometricInterpretation")
    ).startswith("MONOCHROME"):
        raise Unprocessable("A presentation state can be made of a grey radiograph only.")
    layer = GraphicLayer("AI", order=1, description=NOTICE[:64])
    marks = [_marked(study, source, number, box) for number, box in enumerate(study.boxes, 1)]
    line = TextObject(_line(study), units=_DISPLAY, bounding_box=(0.01, 0.94, 0.99, 0.99))
    annotation = GraphicAnnotation(
        referenced_images=[header],
        graphic_layer=layer,
        graphic_objects=[graphic for graphic, _ in marks] or None,
        text_objects=[line, *(text for _, text in marks)],
    )
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=[_without_groups(header)],
        series_instance_uid=uid_of(study, "pr", "series"),
        series_number=SERIES_NUMBERS["pr"],
        sop_instance_uid=uid_of(study, "pr"),
        instance_number=1,
        content_label="AI_FINDINGS",
        content_description=NOTICE[:64],
        series_description="AI boxes, research use",
        graphic_layers=[layer],
        graphic_annotations=[annotation],
        contributing_equipment=contributing(study),
        **_transformed(source.shown),
        **{
            name: value
            for name, value in equipment(study).items()
            # This kind of object has a creation date of its own instead.
            if name not in ("content_date", "content_time")
        },
    )
    # Without it a laterality would be asked for, which a chest does not have.
    state.BodyPartExamined = "CHEST"
    finish(state, study, source)
    state.PresentationCreationDate = state.InstanceCreationDate
    state.PresentationCreationTime = state.InstanceCreationTime
    out = BytesIO()
    state.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _without_groups(header: Dataset) -> Dataset:
    """The image with empty groups of its frames, which the library looks for by the SOP class."""
    image = copy.deepcopy(header)
    image.NumberOfFrames = 1
    image.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    image.PerFrameFunctionalGroupsSequence = Sequence([Dataset()])
    return image


def _transformed(shown: Transformations) -> dict[str, Any]:
    """How values become greys, as arguments of the library, which copies less and forgives less."""
    found: dict[str, Any] = {}
    if shown.modality is not None:
        table = ModalityLUT("US", shown.modality.first, shown.modality.entries)
        found["modality_lut_transformation"] = ModalityLUTTransformation(modality_lut=table)
    elif shown.rescale is not None:
        slope, intercept = shown.rescale
        found["modality_lut_transformation"] = ModalityLUTTransformation(
            rescale_slope=_decimal(slope), rescale_intercept=_decimal(intercept), rescale_type="US"
        )
    if shown.voi is not None:
        tables = [VOILUT(shown.voi.first, shown.voi.entries)]
        found["voi_lut_transformations"] = [SoftcopyVOILUTTransformation(voi_luts=tables)]
    elif shown.windows:
        centres, widths = (
            list(map(_decimal, values)) for values in zip(*shown.windows, strict=True)
        )
        window = SoftcopyVOILUTTransformation(
            window_center=centres, window_width=widths, voi_lut_function=shown.function
        )
        found["voi_lut_transformations"] = [window]
    return found


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)


def _marked(
    study: Study, source: Source, number: int, box: Box
) -> tuple[GraphicObject, TextObject]:
    left, top, right, bottom = box_in_stored_pixels(box, study.image)
    columns, rows = int(source.header.Columns), int(source.header.Rows)
    # Pixel coordinates begin at 1, at the corner of the first pixel at 0.5; within the image.
    outline = np.clip(
        [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)],
        0.0,
        (columns, rows),
    )
    graphic = GraphicObject(
        GraphicTypeValues.POLYLINE,
        outline,
        units=_PIXEL,
        tracking_id=f"box {number}",
        tracking_uid=uid_of(study, "tracking", f"box {number}"),
    )
    label = f"{region_code(box.finding).meaning} {box.score:.2f}"[:_MAX_LABEL]
    anchor = (float(outline[0][0]), float(outline[0][1]))
    return graphic, TextObject(label, units=_PIXEL, anchor_point=anchor, anchor_point_visible=False)


def _line(study: Study) -> str:
    if study.ood.reason is not None:
        return f"Not analysed: {study.ood.reason} {NOTICE}"
    found = [
        f"{one.finding.value.replace('_', ' ')} {one.level.value} ({one.probability:.2f})"
        for one in study.top_findings
    ]
    priority = "" if study.triage is None else f"{study.triage.priority.value.upper()}: "
    return f"{priority}{', '.join(found) or 'no probabilities'}. {NOTICE}"
