"""Whether a DICOM file's own tags say that it is no frontal chest radiograph.

Codes decide by value and scheme, never by their meaning, which is for display and may be in any
language (PS3.3, section 8.3). Free text refuses only what is clearly another part of the body.
Whatever is silent, unclear or unknown refuses nothing: then the image itself decides.
"""

import unicodedata
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cxr_gateway.imaging.dicom.tags import code_string, items, tag_name
from cxr_serving.product import MANUFACTURER

# Projection radiography by its defined terms (CR, DX, RG, RF) and by what senders write for it
# (DR, XR); OT says nothing, and secondary captures of radiographs come with it.
_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "DR", "XR", "OT"})
_MODALITY_NAMES = {
    "CT": "computed tomography", "MR": "magnetic resonance", "US": "ultrasound",
    "MG": "mammography", "NM": "nuclear medicine", "PT": "positron emission tomography",
    "XA": "angiography", "IO": "a dental radiograph", "PX": "a dental panorama",
    "SEG": "a segmentation", "RTDOSE": "a dose map", "ECG": "an electrocardiogram",
    "ES": "endoscopy", "OP": "an eye photograph", "SM": "a microscope slide",
    "XC": "a photograph", "BMD": "bone densitometry",
}  # fmt: skip

# Stems of words for the chest and what is seen on its radiograph, without accents.
_CHEST_STEMS = (
    "CHEST", "THORA", "TORAX", "TORAC", "LUNG", "RIB", "PULMO", "PULMAO", "HEART", "POITRINE",
    "POUMON", "BRUST", "PECHO", "PETTO", "STERN", "CLAVIC", "KLATKAPIERSIOWA",
)  # fmt: skip
# Of another part: the defined terms of PS3.16, annex L, that radiography uses, and the same words
# in German, Spanish, Portuguese, French and Italian. Stems, found anywhere in the value.
_OTHER_STEMS = (
    "SKULL", "SCHADEL", "CRANEO", "CRANE", "CRANIO", "BRAIN", "HEAD", "KOPF", "CABEZA", "CABECA",
    "SINUS", "ORBIT", "NASAL", "FACIAL", "MANDIB", "MAXILL", "TEETH", "TOOTH", "DENTAL", "JAW",
    "NECK", "CUELLO", "SPINE", "WIRBEL", "COLUMNA", "COLUNA", "RACHIS", "COLONNA", "SACRUM",
    "SACRO", "COCCYX", "ABDOM", "BAUCH", "PELVI", "BECKEN", "BASSIN", "BACINO", "HUFTE", "CADERA",
    "QUADRIL", "HANCHE", "ANCA", "KNEE", "RODILLA", "JOELHO", "GENOU", "GINOCCHIO", "PATELLA",
    "FEMUR", "THIGH", "TIBIA", "FIBULA", "ANKLE", "TOBILLO", "TORNOZELO", "CHEVILLE", "CAVIGLIA",
    "SPRUNGGELENK", "FOOT", "FUSS", "CALCAN", "HAND", "WRIST", "HANDGELENK", "MUNECA", "POIGNET",
    "FINGER", "THUMB", "DAUMEN", "ELBOW", "ELLBOGEN", "COUDE", "GOMITO", "COTOVELO", "FOREARM",
    "UNTERARM", "HUMERUS", "OBERARM", "SHOULDER", "SCHULTER", "HOMBRO", "OMBRO", "EPAULE",
    "SPALLA", "SCAPULA", "UPPEREXTREMITY", "LOWEREXTREMITY", "BREAST", "MAMMA",
)  # fmt: skip
# Whole values: too short to be looked for within others.
_OTHER_WORDS = frozenset(
    {
        "CSPINE", "TSPINE", "LSPINE", "HWS", "BWS", "LWS", "HIP", "LEG", "ARM", "TOE", "EAR",
        "EYE", "EXTREMITY", "KNIE", "PIE", "MANO", "MAO", "MAIN", "PIED", "PIEDE", "EXTREMITIES",
    }
)  # fmt: skip
_CHEST_CONCEPTS = (
    "Chest", "Thorax", "Lung", "Rib", "Heart", "Cardiac", "Pulmon", "Mediastinum", "Bronch",
    "Sternum", "Clavic", "Trachea", "Pleura", "WholeBody", "Torso", "Trunk",
)  # fmt: skip
# Retired from the context groups and still sent: structure of the thorax.
_RETIRED_CHEST_CODES = frozenset({("SCT", "51185008"), ("SRT", "T-D3000"), ("SNM3", "T-D3000")})

_LATERAL_VIEWS = frozenset(
    {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LATL", "LATR", "LLATERAL", "RLATERAL"}
)
_OBLIQUE_VIEWS = frozenset({"RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBL", "OBLIQUE"})
_VIEW_OF_CONCEPT = {"AnteroPosterior": "AP", "PosteroAnterior": "PA"}


def refusal_by_tags(ds: Dataset) -> str | None:
    """The reason, naming tag and value; None if the tags leave it open."""
    return _by_maker(ds) or _by_modality(ds) or _by_body_part(ds) or _by_view(ds)


def view_of(ds: Dataset) -> str | None:
    """`PA`, `AP` or what the file says: ViewPosition, else the view code or its meaning."""
    told = code_string(ds, "ViewPosition")
    if told is not None:
        return told
    concept, meaning = _coded(ds, "ViewCodeSequence", "4010")
    return _VIEW_OF_CONCEPT.get(concept or "", meaning)


def _by_maker(ds: Dataset) -> str | None:
    """One of our own results: an archive may send all that it has, and nothing goes in circles."""
    maker = code_string(ds, "Manufacturer")
    if maker != MANUFACTURER:
        return None
    return f"{tag_name('Manufacturer')} is {maker}; only radiographs of the chest are read."


def _by_modality(ds: Dataset) -> str | None:
    modality = (code_string(ds, "Modality") or "").upper()
    if not modality or modality in _MODALITIES:
        return None
    name = _MODALITY_NAMES.get(modality)
    told = f"{modality}, {name}" if name else modality
    return f"{tag_name('Modality')} is {told}; only radiographs of the chest are read."


def _by_body_part(ds: Dataset) -> str | None:
    keyword = "BodyPartExamined"
    part = code_string(ds, keyword)
    if part is None:
        keyword = "AnatomicRegionSequence"
        concept, part = _coded(ds, keyword, "4", "4009", "4031")
        if concept is not None:
            if concept.startswith(_CHEST_CONCEPTS) or "Chest" in concept:
                return None
            return f"{tag_name(keyword)} is {part}; only radiographs of the chest are read."
    letters = _letters(part)
    if any(stem in letters for stem in _CHEST_STEMS):
        return None
    if letters in _OTHER_WORDS or any(stem in letters for stem in _OTHER_STEMS):
        return f"{tag_name(keyword)} is {part}; only radiographs of the chest are read."
    return None


def _by_view(ds: Dataset) -> str | None:
    keyword = "ViewPosition"
    view, kind = code_string(ds, keyword), None
    if view is not None:
        kind = _kind_of_view(_letters(view))
    else:
        keyword = "ViewCodeSequence"
        concept, view = _coded(ds, keyword, "4010")
        kind = _kind_of_view(_letters(view if concept is None else concept))
    if kind is not None:
        return f"{tag_name(keyword)} is {view}, {kind} view; only frontal radiographs are read."
    # The rows of a lateral radiograph run to the patient's front or back (PS3.3, C.7.6.1.1.1).
    orientation = (code_string(ds, "PatientOrientation") or "").upper()
    if view is None and orientation in ("A", "P"):
        return (
            f"{tag_name('PatientOrientation')} is {orientation}, a lateral view; only frontal "
            "radiographs are read."
        )
    return None


def _kind_of_view(letters: str) -> str | None:
    if "DECUB" in letters:
        return None
    if letters in _OBLIQUE_VIEWS or "OBLIQUE" in letters:
        return "an oblique"
    return "a lateral" if letters in _LATERAL_VIEWS or "LATERAL" in letters else None


def _coded(ds: Dataset, keyword: str, *context_groups: str) -> tuple[str | None, str | None]:
    """The first code of a code sequence: pydicom's name of the concept, and what to call it.

    The concept is None where the code is in none of the context groups (PS3.16): its meaning, or
    else its value, is then all there is.
    """
    found = items(ds, keyword)
    if not found:
        return None, None
    value = next(
        filter(None, (code_string(found[0], f"{form}CodeValue") for form in ("", "Long"))), None
    )
    scheme = code_string(found[0], "CodingSchemeDesignator")
    # The data set's character set holds in its items (PS3.5, 6.1).
    meaning = code_string(found[0], "CodeMeaning")
    concept = None
    if value is not None and scheme is not None:
        concept = _concept(value, scheme, context_groups)
    return concept, meaning or value


@lru_cache(maxsize=4096)
def _concept(value: str, scheme: str, context_groups: tuple[str, ...]) -> str | None:
    if (scheme, value) in _RETIRED_CHEST_CODES:
        return "Chest"
    asked = Code(value, scheme, "")  # equal across SNOMED CT's and SNOMED RT's designators
    for group in context_groups:
        collection = getattr(codes, f"cid{group}")
        for name in collection.dir():
            if getattr(collection, name) == asked:
                return str(name)
    return None


def _letters(value: str | None) -> str:
    """Upper-case letters and digits without accents."""
    plain = unicodedata.normalize("NFKD", (value or "").upper())
    return "".join(character for character in plain if character.isalnum())
