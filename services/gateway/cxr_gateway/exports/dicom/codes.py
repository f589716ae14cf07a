"""Every code that a result carries, and where it was read; nothing here is guessed.

A test looks up each code of DICOM's context groups in pydicom's dictionary, which is made from the
standard. Where no code could be verified, our own scheme says what the model says, in its words.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cxr_contracts import Finding, Level, Region

# A private scheme, as PS3.16 section 8.2 asks for: 99 and a name.
LOCAL = "99CXR"
LOCAL_NAME = "Open chest X-ray reader: findings and properties"

STANDARD = "PS3.16 context groups, as in pydicom's dictionary"
MEDDRA = "MedDRA to SNOMED CT map (SNOMED International), in HL7's adverse event guide"
SNOMED = "SNOMED CT fully specified name, in HL7 implementation guides"
OURS = "our own: no code of a public scheme could be verified"


@dataclass(frozen=True, slots=True)
class Coding:
    """A coded concept and where it comes from."""

    value: str
    scheme: str
    meaning: str
    source: str


def _local(value: str, meaning: str) -> Coding:
    return Coding(value, LOCAL, meaning, OURS)


_ATELECTASIS = Coding("46621007", "SCT", "Atelectasis", MEDDRA)
_CARDIOMEGALY = Coding("8186001", "SCT", "Cardiomegaly", MEDDRA)
_CONSOLIDATION = Coding("95436008", "SCT", "Lung consolidation", MEDDRA)
_EFFUSION = Coding("60046008", "SCT", "Pleural effusion", STANDARD)
_EMPHYSEMA = Coding("87433001", "SCT", "Pulmonary emphysema", SNOMED)
_FIBROSIS = Coding("51615001", "SCT", "Pulmonary fibrosis", MEDDRA)
_INFILTRATE = Coding("112121", "DCM", "Infiltrate", STANDARD)
_MASS = Coding("4147007", "SCT", "Mass", STANDARD)
_NODULE = Coding("27925004", "SCT", "Nodule", STANDARD)
_PNEUMONIA = Coding("233604007", "SCT", "Pneumonia", SNOMED)
_PNEUMOTHORAX = Coding("36118008", "SCT", "Pneumothorax", STANDARD)
_PLEURAL_THICKENING = _local("pleural-thickening", "Pleural thickening")

FINDINGS: dict[Finding, Coding] = {
    Finding.ATELECTASIS: _ATELECTASIS,
    Finding.CARDIOMEGALY: _CARDIOMEGALY,
    Finding.EFFUSION: _EFFUSION,
    Finding.INFILTRATION: _INFILTRATE,
    Finding.MASS: _MASS,
    Finding.NODULE: _NODULE,
    Finding.PNEUMONIA: _PNEUMONIA,
    Finding.PNEUMOTHORAX: _PNEUMOTHORAX,
    Finding.CONSOLIDATION: _CONSOLIDATION,
    Finding.EDEMA: Coding("19242006", "SCT", "Pulmonary edema", STANDARD),
    Finding.EMPHYSEMA: _EMPHYSEMA,
    Finding.FIBROSIS: _FIBROSIS,
    Finding.PLEURAL_THICKENING: _PLEURAL_THICKENING,
    # NIH's label does not say of which kind.
    Finding.HERNIA: _local("hernia", "Hernia seen on a chest radiograph"),
}
REGIONS: dict[Region, Coding] = {
    Region.ATELECTASIS: _ATELECTASIS,
    Region.CALCIFICATION: Coding("18115005", "SCT", "Pathologic calcification", STANDARD),
    Region.CARDIOMEGALY: _CARDIOMEGALY,
    Region.CONSOLIDATION: _CONSOLIDATION,
    Region.DIFFUSE_NODULE: _local("diffuse-nodule", "Diffuse nodules"),
    Region.EFFUSION: _EFFUSION,
    Region.EMPHYSEMA: _EMPHYSEMA,
    Region.FIBROSIS: _FIBROSIS,
    Region.FRACTURE: _local("fracture", "Fracture"),
    Region.INFILTRATION: _INFILTRATE,
    Region.MASS: _MASS,
    Region.NODULE: _NODULE,
    Region.PLEURAL_THICKENING: _PLEURAL_THICKENING,
    Region.PNEUMONIA: _PNEUMONIA,
    Region.PNEUMOTHORAX: _PNEUMOTHORAX,
}


def finding_code(finding: Finding) -> Coding:
    """The code of a classifier's finding; of a label of a model's own, one of our scheme."""
    return FINDINGS.get(finding) or _own(finding)


def region_code(region: Region) -> Coding:
    """The code of a detector's region; as `finding_code`."""
    return REGIONS.get(region) or _own(region)


def _own(label: Finding | Region) -> Coding:
    # Prefixed, so that it is no concept of ours, whatever it is called.
    return _local(f"own-{label.value}", label.value.replace("_", " "))


PROBABILITY = Coding("122157", "DCM", "Probability", STANDARD)
COMMENT = Coding("121106", "DCM", "Comment", STANDARD)
ARTIFICIAL_INTELLIGENCE = Coding("123110", "DCM", "Artificial Intelligence", STANDARD)
VISUAL_EXPLANATION = Coding("130401", "DCM", "Visual explanation", STANDARD)
IMAGE_REGION = Coding("111030", "DCM", "Image Region", STANDARD)
STUDY_UID = Coding("110180", "DCM", "Study Instance UID", STANDARD)
BOUNDED_BY = Coding("75958009", "SCT", "Bounded by", STANDARD)
CHEST = Coding("816094009", "SCT", "Chest", STANDARD)

POSSIBLE_THRESHOLD = _local("possible-threshold", "Probability from which it is possible")
LIKELY_THRESHOLD = _local("likely-threshold", "Probability from which it is likely")
EVIDENCE = _local("evidence-level", "Level of evidence")
STATUS = _local("analysis-status", "Status of the analysis")
PRIORITY = _local("priority", "Priority of reading")
# Of context group 100, which TID 1500 asks for, and which has no radiography of the chest.
IMAGING_PROCEDURE = Coding("363679005", "SCT", "Imaging procedure", STANDARD)
STATUSES = {
    name: _local(f"status-{name}", meaning)
    for name, meaning in {
        "complete": "Both inference services answered",
        "partial": "One inference service did not answer",
        "failed": "No inference service answered",
        "rejected": "Not a frontal chest radiograph; not analysed",
    }.items()
}
LEVELS = {level: _local(f"level-{level.value}", level.value.capitalize()) for level in Level}
PRIORITIES = {
    name: _local(f"priority-{name}", meaning)
    for name, meaning in {"urgent": "Urgent", "soon": "Soon", "routine": "Routine"}.items()
}


def every_coding() -> Iterator[Coding]:
    """All of them, for whoever checks them."""
    yield from FINDINGS.values()
    yield from REGIONS.values()
    yield from STATUSES.values()
    yield from PRIORITIES.values()
    yield from LEVELS.values()
    yield from (PROBABILITY, COMMENT, ARTIFICIAL_INTELLIGENCE, BOUNDED_BY, CHEST)
    yield from (VISUAL_EXPLANATION, IMAGE_REGION, STUDY_UID)
    yield from (POSSIBLE_THRESHOLD, LIKELY_THRESHOLD, EVIDENCE, STATUS, PRIORITY, IMAGING_PROCEDURE)
