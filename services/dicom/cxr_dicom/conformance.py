"""The tables of docs/conformance.md that follow from the code."""

from collections.abc import Iterable

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)

from cxr_dicom.fetching import QUERY_MODELS
from cxr_dicom.scp import (
    DROPPED,
    IMPLEMENTATION_UID,
    IMPLEMENTATION_VERSION,
    STORED,
    TRANSFER_SYNTAXES,
)
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.dimse import SENT_CLASSES

_LIMITS = ("max_associations", "max_pdu_bytes", "max_object_mb", "network_timeout_s")
_CONFIGURED = ("ae_title", "host", "dicom_port", "hl7_port", "peers_file", "drop_others")


def network_services() -> str:
    """Every SOP class, as user and as provider (PS3.2, the overview's table)."""
    rows = [
        *((kind, "yes", "") for kind in SENT_CLASSES),
        *((kind, "relayed under pseudonyms", "yes") for kind in STORED if kind not in SENT_CLASSES),
        *((kind, "yes", "") for kind in QUERY_MODELS),
        (StorageCommitmentPushModel, "yes", "yes"),
        (Verification, "yes", "yes"),
    ]
    table = [
        (UID(kind).name, as_user, "yes" if kind in STORED else as_provider)
        for kind, as_user, as_provider in rows
    ]
    return _table(("SOP class", "user (SCU)", "provider (SCP)"), table)


def implementation() -> str:
    """Class UID and version name."""
    own = [(IMPLEMENTATION_UID, IMPLEMENTATION_VERSION)]
    return _table(("implementation class UID", "implementation version name"), own)


def accepted() -> str:
    """Presentation contexts that are accepted, with the count of classes that are dropped."""
    kinds = [
        (Verification, "SCP"),
        *((kind, "SCP") for kind in STORED),
        (StorageCommitmentPushModel, "SCP, and SCU for its answers"),
    ]
    rows: list[tuple[object, ...]] = [(UID(kind).name, kind, role) for kind, role in kinds]
    rows.append((f"{len(DROPPED)} other storage classes", "", "SCP; acknowledged and dropped"))
    return _table(("SOP class", "UID", "role"), rows)


def stored_syntaxes() -> str:
    """Transfer syntaxes of images, in the order of preference."""
    syntaxes = [(UID(one).name, one) for one in TRANSFER_SYNTAXES]
    return _table(("transfer syntax", "UID"), syntaxes)


def requested() -> str:
    """Presentation contexts that are asked for."""
    kinds = [
        *((kind, "SCU") for kind in SENT_CLASSES),
        (StorageCommitmentPushModel, "SCU, and SCP"),
        (Verification, "SCU"),
        *((model, "SCU") for model in QUERY_MODELS),
    ]
    rows = [(UID(kind).name, kind, role) for kind, role in kinds]
    return _table(("SOP class", "UID", "role"), rows)


def sent_syntaxes() -> str:
    """Transfer syntaxes of results."""
    sent = [(UID(one).name, one) for one in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)]
    return _table(("transfer syntax", "UID"), sent)


def limits() -> str:
    """Of associations, with their settings."""
    return _defaults(_LIMITS)


def configured() -> str:
    """What a site sets first."""
    return _defaults(_CONFIGURED)


def _defaults(names: Iterable[str]) -> str:
    fields = DicomSettings.model_fields
    rows = [(f"`CXR_DICOM_{name.upper()}`", _said(fields[name].default)) for name in names]
    return _table(("setting", "default"), rows)


def _said(value: object) -> object:
    return "none" if value is None else value


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
