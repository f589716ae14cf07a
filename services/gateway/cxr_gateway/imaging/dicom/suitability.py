"""Whether a DICOM file's own tags say that it is no frontal chest radiograph.

A silent or unclear tag refuses nothing: then the picture itself decides, in the gate.
"""

from pydicom.dataset import Dataset

from cxr_gateway.imaging.dicom.tags import code_meaning, tag_name, text

# Projection radiography by its defined terms (CR, DX, RG, RF) and by what senders write for it
# (DR, XR); OT says nothing, and secondary captures of films come with it.
_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "DR", "XR", "OT"})
_MODALITY_NAMES = {
    "CT": "computed tomography", "MR": "magnetic resonance", "US": "ultrasound",
    "MG": "mammography", "NM": "nuclear medicine", "PT": "positron emission tomography",
    "XA": "angiography", "IO": "a dental film", "PX": "a dental panorama",
    "SEG": "a segmentation", "RTDOSE": "a dose map", "ECG": "an electrocardiogram",
    "ES": "endoscopy", "OP": "an eye photograph", "SM": "a microscope slide",
    "XC": "a photograph", "BMD": "bone densitometry",
}  # fmt: skip
# The defined terms for the chest and its parts, and the word in the languages senders use.
_CHEST_WORDS = (
    "CHEST", "THORA", "TORAX", "TORAC", "LUNG", "RIB", "PULMO", "HEART", "POITRINE", "POUMON",
    "CAGETHORACIQUE", "LUNGE",
)  # fmt: skip
# Values that name no body part.
_UNKNOWN_PARTS = frozenset({"", "UNKNOWN", "OTHER", "NONE", "NA", "UNSPECIFIED", "DEFAULT"})
_LATERAL_VIEWS = frozenset(
    {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LATL", "LATR", "LLATERAL", "RLATERAL"}
)
_OBLIQUE_VIEWS = frozenset({"RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBL", "OBLIQUE"})


def refusal_by_tags(ds: Dataset) -> str | None:
    """The reason, naming tag and value; None if the tags leave it open."""
    return _by_modality(ds) or _by_body_part(ds) or _by_view(ds)


def view_of(ds: Dataset) -> str | None:
    """`PA`, `AP` or what the file says: ViewPosition, else the view code's meaning."""
    return text(ds, "ViewPosition") or code_meaning(ds, "ViewCodeSequence")


def _by_modality(ds: Dataset) -> str | None:
    modality = (text(ds, "Modality") or "").upper()
    if not modality or modality in _MODALITIES:
        return None
    name = _MODALITY_NAMES.get(modality)
    told = f"{modality}, {name}" if name else modality
    return f"{tag_name('Modality')} is {told}; only radiographs of the chest are read."


def _by_body_part(ds: Dataset) -> str | None:
    keyword = "BodyPartExamined"
    part = text(ds, keyword)
    if part is None:
        keyword = "AnatomicRegionSequence"
        part = code_meaning(ds, keyword)
    letters = _letters(part)
    if letters in _UNKNOWN_PARTS or any(word in letters for word in _CHEST_WORDS):
        return None
    return f"{tag_name(keyword)} is {part}; only radiographs of the chest are read."


def _by_view(ds: Dataset) -> str | None:
    keyword = "ViewPosition"
    view = text(ds, keyword)
    if view is None:
        keyword = "ViewCodeSequence"
        view = code_meaning(ds, keyword)
    letters = _letters(view)
    if "DECUB" in letters:
        return None
    if letters in _LATERAL_VIEWS or "LATERAL" in letters:
        return f"{tag_name(keyword)} is {view}, a lateral view; only frontal films are read."
    if letters in _OBLIQUE_VIEWS or "OBLIQUE" in letters:
        return f"{tag_name(keyword)} is {view}, an oblique view; only frontal films are read."
    # The rows of a lateral film run to the patient's front or back (PS3.3, C.7.6.1.1.1).
    orientation = (text(ds, "PatientOrientation") or "").upper()
    if not letters and orientation in ("A", "P"):
        return (
            f"{tag_name('PatientOrientation')} is {orientation}, a lateral view; only frontal "
            "films are read."
        )
    return None


def _letters(value: str | None) -> str:
    return "".join(character for character in (value or "").upper() if character.isalnum())
