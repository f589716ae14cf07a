"""`python -m deploy.conformance > docs/conformance.md`: what the code supports, in PS3.2's order.

The order is that of its Annex A, which a reader of such statements knows.
"""

# ruff: noqa: E501  # the rows of Markdown tables cannot be broken

import sys

from cxr_dicom import conformance as node
from cxr_gateway.exports.dicom.codes import LOCAL, every_coding
from cxr_serving.product import MANUFACTURER, VERSION


def markdown() -> str:
    """The statement as `docs/conformance.md`."""
    rows = sorted({(one.scheme, one.value, one.meaning, one.source) for one in every_coding()})
    codes = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"""\
# DICOM conformance statement

Written by `make generate`; the tables are from the code, do not edit them here. {MANUFACTURER},
version {VERSION}. Research use, not a medical device. [integration.md](integration.md) says how to
set it up.

## 1 Overview

Two programs: the *DICOM node* (`cxr-dicom`) receives radiographs and sends results by DIMSE; the
*gateway* takes radiographs by DICOMweb and gives results over HTTP.

{node.network_services()}
DICOMweb (gateway): STOW-RS, QIDO-RS and WADO-RS as origin server; the node is their user agent.
Media storage: none. FHIR and HL7 v2: 4.2.3 and 4.2.4.

## 2 Contents

3 Introduction, 4 Networking, 5 Media interchange, 6 Character sets, 7 Security, 8 Annexes.

## 3 Introduction

For whoever connects a modality, a PACS or a RIS. It says what is offered, not that two systems work
together: that is tried first, with radiographs of nobody. AE, SCU, SCP, SOP class and the rest are
PS3's terms; *radiograph* is a frontal chest radiograph, *result* what was made of one.

## 4 Networking

### 4.1 Implementation model

**Data flow.** A modality or PACS stores a radiograph at the node, or the node fetches it from an
archive. The gateway analyses it; results go to each destination that wants them.

**Functional definition.** The node keeps an instance on disk and in its ledger before it is
acknowledged (0x0000); whatever fails before that is answered 0xA700, and the sender keeps it.
Nothing of DICOM says when a study is complete, so each instance is a study of its own here.

**Sequencing.** Store, analyse, send results, ask for their commitment. A result of an urgent study
goes first. Each step is tried again until it is done, or is known to have failed.

### 4.2 AE specifications

### 4.2.1 The node as acceptor

**SOP classes.**

{node.accepted()}
**Association policies.** Accepted from AE titles in the file of peers only, from their address where
one is given, and by the node's own title. Others are rejected (permanent, calling AE title not
recognised) and logged. An AE that is only a destination may not store (0x0124). One operation at a
time on an association (no asynchronous window).

{node.limits()}
{node.implementation()}
**Transfer syntaxes of stored images, in order of preference.**

{node.stored_syntaxes()}
**C-STORE.** The same instance with the same content is acknowledged and kept once; with another
content it is another. Answers: 0x0000, 0x0124 not authorised, 0xA700 no room or not kept. Nothing is
coerced. An image whose Manufacturer is this system's, or that this node sent out itself, is
acknowledged and not analysed. Objects of other storage classes (other modalities, reports,
presentation states) are acknowledged, noted and dropped, so that an archive may send whole studies;
with `CXR_DICOM_DROP_OTHERS=false` they have no presentation context.

**Storage commitment.** For instances that were received and are kept; the answer comes on an
association of its own to the sender's `host` and `port`. Failure reasons: 0x0112 for what is not
here or was dropped, 0x0119 for what is here under another SOP class.

### 4.2.2 The node as requestor

**SOP classes.**

{node.requested()}
**Transfer syntaxes of what is sent.**

{node.sent_syntaxes()}
**Storage.** 0x0000 and warnings are success; 0xA7xx, 0x0110, 0x0124, 0x0211, a rejected and a broken
association are tried again with growing pauses; anything else is a dead letter with the destination's
text, which a command sends again. A destination of de-identified radiographs is sent those SOP
classes that are accepted here, too. Results of a radiograph without PatientID go only to a
destination with `unidentified = true`, those of one without StudyInstanceUID to none by DICOM.

**Storage commitment.** A destination with `confirm = "commitment"` is asked after each delivery; what
it does not commit itself to is sent again.

**Query and retrieve.** A `[[source]]` is searched at study, series and image level (C-FIND, Study
Root) by modality, study date and body part, and what was not received yet is moved to this node's own
title (C-MOVE), an instance at a time: each once, at most three times if it does not come, within the
source's hourly limit and outside its quiet hours.

### 4.2.3 DICOMweb and FHIR (gateway)

| transaction | request | answer |
|---|---|---|
| STOW-RS | `POST /dicomweb/studies`, `multipart/related; type="application/dicom"`, together as large as one upload may be | `application/dicom+json`: 200 all, 202 some, 409 none; FailureReason 0xC000 for what cannot be read |
| QIDO-RS | `GET /dicomweb/studies`, `.../{{study}}/series`, `.../{{study}}/instances`, `.../{{study}}/series/{{series}}/instances`; studies by StudyInstanceUID, PatientID, AccessionNumber, StudyDate (a range, too), whole values; `limit`, `offset` | `application/dicom+json`, 204 for nothing |
| WADO-RS | `GET /dicomweb/studies/{{study}}`, `.../series/{{series}}`, `.../instances/{{instance}}`, each with `/metadata` | `multipart/related; type="application/dicom"`, Explicit VR Little Endian; one instance as `application/dicom`, too; metadata as `application/dicom+json` |
| results | `GET /api/v1/studies/{{id}}/structured-report/findings.dcm`, `.../boxes.dcm` (`kind=3d` or `2d`), `/presentation-state.dcm`, `/secondary-capture.dcm`, `/heat-map.dcm`, `/summary.dcm` | `application/dicom` |
| FHIR | `GET /fhir/R4/DiagnosticReport/{{id}}` and `.../$everything` (`form=transaction` for a server that stores it) | `application/fhir+json`: R4, or R5 for `Accept: application/fhir+json; fhirVersion=5.0` |

QIDO-RS and WADO-RS find and give what was made here, not the radiographs: those are in the archive
that they came from.

The node is a DICOMweb client where a destination or source says `protocol = "dicomweb"`: STOW-RS an
instance at a time (FailureReason 0xA7xx and 0x0110, 5xx, 401, 403, 408, 429 are tried again, others
are dead letters), QIDO-RS for confirmation and searching, WADO-RS for fetching.

### 4.2.4 HL7 v2 (version 2.5.1, MLLP)

| message | direction | |
|---|---|---|
| ORU^R01 | out (UTF-8), to a destination with `protocol = "hl7"` | MSH, PID, OBR, TQ1, OBX; OBX-11 and OBR-25 are P. AA and CA are success, AR, CR and silence are tried again, AE and CE are dead letters |
| ORM^O01, OMI^O23 | in, on `CXR_DICOM_HL7_PORT`, from those named in `[[order]]` | accession (IPC-1, OBR-18, OBR-3, ORC-3), patient (PID-3, 5, 7, 8), study (IPC-3, ZDS-1), priority (TQ1-9, ORC-7.6, OBR-27.6, OBR-5), time (TQ1-7, ORC-7.4, OBR-36, OBR-6), ORC-1 CA, DC, OC, OD end it. Answered AA once it is kept. Character sets of table 0211 by MSH-18 |

A radiograph that lacks patient or accession gets them from its order: found by accession number, by
study, or by patient and time, if exactly one order is left and nothing that both say differs. What
was filled in stands in its Original Attributes Sequence (reason COERCE). Its SOP Instance UID stays.

### 4.3 Network interfaces

TCP over IPv4 or IPv6, TLS by 7.

### 4.4 Configuration

{node.configured()}
AE titles, addresses and rules of peers are in the file of peers: [integration.md](integration.md).
All settings: [settings.md](settings.md).

## 5 Media interchange

None.

## 6 Character sets

Read: every character set that pydicom knows; UTF-8 is read as such where a file names none, ASCII or a
Latin one. Written: ISO_IR 192.

## 7 Security

TLS 1.2 or newer on the DICOM port (PS3.15, B.12; `CXR_DICOM_TLS_CERTIFICATE`), with certificates of
peers where `CXR_DICOM_TLS_CA` is set, and towards peers with `tls = true`. Rejected and malformed
associations and refused stores are logged with AE title and address. De-identification: PS3.15's
basic profile ([privacy.md](privacy.md)).

## 8 Annexes

### 8.1 Objects that are made

All carry patient and study of their source (Patient, General Study and Patient Study modules),
refer to its instance, say who made them (Manufacturer, Contributing Equipment with each model's
name, version and hash), and are written in UTF-8 (ISO_IR 192). UIDs follow from study and models:
the same result has the same UID.

| object | SOP class | what is in it |
|---|---|---|
| report of findings | Comprehensive 3D SR, or Comprehensive SR | TID 1500; for the study its status, priority and remarks; for each finding its probability, thresholds and level of evidence (TID 1501) |
| report of boxes | the same | TID 1500 with a planar region (TID 1410) for each box: a closed polyline in the pixels of the file, the finding, the algorithm (TID 4019) |
| presentation state | Grayscale Softcopy Presentation State | boxes and labels, one line with priority and the three strongest findings |
| summary page | Secondary Capture (RGB, uncompressed) | radiograph, boxes, findings, priority, models; no patient |
| heat map | Secondary Capture (RGB, uncompressed) | where the classifier saw evidence for its strongest finding; the report of findings that goes along refers to it (130401, DCM, Visual explanation) |
| summary as a document | Encapsulated PDF | the summary page |

There are two reports because published viewers fail on a report in which a group of a box holds a
number, or in which boxes and groups without a place stand together. A study without a box has no
report of boxes. Reports are complete, unverified and not final.

Not made: segmentations, key object selections.

### 8.2 Private attributes

None.

### 8.3 Coded terminology and templates

PS3.16: TID 1500, 1501, 1410, 1600, 4019. `{LOCAL}` is our own scheme, for what no public one could be
verified to say.

| scheme | code | meaning | read in |
|---|---|---|---|
{codes}
### 8.4 Grayscale image consistency

Nothing is displayed by the node. A presentation state takes over the window or table of its image.

### 8.5 Standard extended, specialised and private SOP classes

None.

### 8.6 Private transfer syntaxes

None.
"""


if __name__ == "__main__":
    sys.stdout.write(markdown())
