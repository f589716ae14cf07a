"""Who may send, and where results go: a TOML file that an operator writes.

[[sender]]
ae_title = "CR1"
address = "10.1.2.0/24"      # optional: where it must come from
host = "10.1.2.3"            # optional: where its storage commitments are answered
port = 104

[[destination]]
name = "pacs"
ae_title = "ORTHANC"
host = "10.1.2.9"
port = 4242
objects = ["sr", "presentation-state", "secondary-capture"]

A destination has a `protocol`: `dicom`, as here and by default, `dicomweb`, `hl7` or `fhir`.
`[[order]]` says who may send orders (HL7 v2), `[[source]]` what is fetched from an archive.
docs/integration.md explains every line.
"""

import ipaddress
import tomllib
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from cxr_dicom.settings import AE_TITLE

AeTitle = Annotated[str, Field(pattern=AE_TITLE)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s?#]*[^\s?#/]$")]
Hl7Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{0,50}$")]
Priority = Literal["urgent", "soon", "routine"]


class PeersError(ValueError):
    """The file of peers cannot be used; a sentence for whoever wrote it."""


class ResultObject(StrEnum):
    """What can be delivered of a study as DICOM."""

    SR = "sr"
    PRESENTATION_STATE = "presentation-state"
    SECONDARY_CAPTURE = "secondary-capture"
    HEAT_MAP = "heat-map"
    PDF = "pdf"
    DEIDENTIFIED = "deidentified"  # the radiograph itself, under pseudonyms


_USUAL = frozenset(
    {ResultObject.SR, ResultObject.PRESENTATION_STATE, ResultObject.SECONDARY_CAPTURE}
)


class Confirm(StrEnum):
    """How a destination says that it keeps what it took."""

    NONE = "none"
    COMMITMENT = "commitment"  # DICOM
    QUERY = "query"  # DICOMweb: it is asked whether it has it


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _FromAddress(_Entry):
    """A peer that may be bound to an IP address or a network."""

    address: str | None = None

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            ipaddress.ip_network(value, strict=False)
        return value

    def comes_from(self, address: str) -> bool:
        """Whether a connection from this IP address may be this peer's."""
        if self.address is None:
            return True
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.address, strict=False)


class Sender(_FromAddress):
    """An AE that may store instances here."""

    ae_title: AeTitle
    host: str | None = None
    port: Port | None = None
    tls: bool = False
    # An API key of the gateway, under whose department this sender's radiographs are kept.
    key_file: Path | None = None


class OrderSender(_FromAddress):
    """A system that may send orders (ORM^O01, OMI^O23), by its name in MSH-3."""

    application: Annotated[str, Field(pattern=r"^[^|^~\\&\r\n]{1,227}$")]


class _Web(_Entry):
    """A server that is spoken to over HTTP."""

    url: Url
    # A file, because this one is read by more people than may know a token.
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """What to send with each request.

        Raises:
            OSError: the file of the token cannot be read.
        """
        if self.token_file is None:
            return {}
        return {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}


class _Destination(_Entry):
    """Somebody who gets results: of which studies."""

    name: Name
    senders: frozenset[AeTitle] | None = None
    priorities: frozenset[Priority] | None = None
    statuses: frozenset[Literal["complete", "partial", "rejected"]] = frozenset(
        {"complete", "partial"}
    )
    # Also of radiographs that do not say whose they are.
    unidentified: bool = False

    def wants(self, sender: str, status: str, priority: str | None) -> bool:
        """Whether a study of this sender, status and priority is delivered here."""
        return (
            (self.senders is None or sender in self.senders)
            and status in self.statuses
            and (self.priorities is None or priority in self.priorities)
        )


class _DicomObjects(_Destination):
    """Which objects, for those who take DICOM."""

    objects: Annotated[frozenset[ResultObject], Field(min_length=1)] = _USUAL
    sr: Literal["3d", "2d"] = "3d"
    # Said by whoever knows the modalities: their images show no text about patients.
    no_text_in_images: bool = False

    @model_validator(mode="after")
    def _nobody_is_named_beside_a_pseudonym(self) -> Self:
        if ResultObject.DEIDENTIFIED in self.objects and len(self.objects) > 1:
            raise ValueError(
                "a destination of de-identified radiographs gets nothing else: every other object "
                "names the patient"
            )
        return self


class DicomDestination(_DicomObjects):
    """An AE that results are stored at."""

    protocol: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Port
    tls: bool = False
    confirm: Literal[Confirm.NONE, Confirm.COMMITMENT] = Confirm.NONE


class DicomwebDestination(_DicomObjects, _Web):
    """A DICOMweb service that results are stored at (STOW-RS); `url` is where `/studies` hangs."""

    protocol: Literal["dicomweb"]
    confirm: Literal[Confirm.NONE, Confirm.QUERY] = Confirm.NONE


class Hl7Destination(_Destination):
    """A system that gets ORU^R01 over MLLP."""

    protocol: Literal["hl7"]
    host: str
    port: Port
    tls: bool = False
    application: Hl7Name = ""
    facility: Hl7Name = ""


class FhirDestination(_Destination, _Web):
    """A FHIR server that each result is posted to as a transaction; `url` is its base."""

    protocol: Literal["fhir"]
    version: Literal["4.0", "5.0"] = "4.0"


def _protocol(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("protocol", "dicom"))
    return str(value.protocol)


Destination = DicomDestination | DicomwebDestination | Hl7Destination | FhirDestination
_AnyDestination = Annotated[
    Annotated[DicomDestination, Tag("dicom")]
    | Annotated[DicomwebDestination, Tag("dicomweb")]
    | Annotated[Hl7Destination, Tag("hl7")]
    | Annotated[FhirDestination, Tag("fhir")],
    Discriminator(_protocol),
]


class _Source(_Entry):
    """An archive from which radiographs are fetched: which, how often, and how many at most."""

    name: Name
    modalities: Annotated[tuple[str, ...], Field(min_length=1)] = ("CR", "DX")
    body_parts: tuple[str, ...] = ("CHEST", "THORAX")
    # An instance that does not say its body part is fetched, too.
    unknown_body_part: bool = True
    days: Annotated[int, Field(ge=1, le=60)] = 2
    every_s: Annotated[float, Field(gt=0)] = 300.0
    per_hour: Annotated[int, Field(gt=0)] = 600
    max_waiting: Annotated[int, Field(gt=0)] = 200
    # Local times between which the archive is left alone; may run over midnight.
    quiet_from: time | None = None
    quiet_until: time | None = None

    @model_validator(mode="after")
    def _quiet_hours_have_two_ends(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet_from and quiet_until go together")
        return self

    def is_quiet(self, now: time) -> bool:
        """Whether the archive is to be left alone at this time of day."""
        if self.quiet_from is None or self.quiet_until is None:
            return False
        if self.quiet_from <= self.quiet_until:
            return self.quiet_from <= now < self.quiet_until
        return now >= self.quiet_from or now < self.quiet_until


class DicomSource(_Source):
    """By C-FIND and C-MOVE to this node; the archive has to know it."""

    protocol: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Port
    tls: bool = False


class DicomwebSource(_Source, _Web):
    """By QIDO-RS and WADO-RS."""

    protocol: Literal["dicomweb"]


Source = DicomSource | DicomwebSource
_AnySource = Annotated[
    Annotated[DicomSource, Tag("dicom")] | Annotated[DicomwebSource, Tag("dicomweb")],
    Discriminator(_protocol),
]


class Peers(_Entry):
    """Everybody whom this node knows."""

    sender: tuple[Sender, ...] = ()
    destination: tuple[_AnyDestination, ...] = ()
    order: tuple[OrderSender, ...] = ()
    source: tuple[_AnySource, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what in ("destination", "source"):
            names = [one.name for one in getattr(self, what)]
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"two {what}s are called {', '.join(sorted(twice))}")
        return self

    def destination_of(self, name: str) -> Destination | None:
        """The destination of a name."""
        return next((one for one in self.destination if one.name == name), None)

    @property
    def senders(self) -> dict[str, Sender]:
        """Everybody who may store: senders, and the archives that radiographs are moved from."""
        moved = {
            one.ae_title: Sender(ae_title=one.ae_title, host=one.host, port=one.port, tls=one.tls)
            for one in self.source
            if isinstance(one, DicomSource)
        }
        return moved | {one.ae_title: one for one in self.sender}


def read_peers(path: Path | None) -> Peers:
    """The peers of a file; nobody without one.

    Raises:
        PeersError: the file is missing or not what it should be.
    """
    if path is None:
        return Peers()
    try:
        return Peers.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PeersError(f"{path}: {error}.") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in found["loc"])
        raise PeersError(f"{path}: {where}: {found['msg']}.") from error
