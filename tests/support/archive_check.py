"""What must hold of an archive after whatever happened to it: nothing lost, twice, or half.

It is checked from outside, by the API of a gateway that has been started again over it and by the
folder itself, against a ledger of every answer that clients got.
"""

import io
import json
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from cxr_gateway.archive.models import owned_by
from cxr_gateway.core.schemas import ImageSource, Study, StudyStatus
from support.live_gateway import STUDIES, Gateway
from support.uploading import Ledger


@dataclass
class Verdict:
    """Sentences about what is wrong; empty lists are a whole archive."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of them."""
        return [*self.lost, *self.doubled, *self.half]


def checked(gateway: Gateway, ledger: Ledger, *, clock_is_true: bool = True) -> Verdict:
    """The verdict on the archive of a gateway that has just been started over it, alone.

    Args:
        gateway: swept the archive as it started, and nobody has uploaded since.
        ledger: every upload that the archive has had; each content was kept in the end.
        clock_is_true: whether ids must sort by arrival.
    """
    verdict = Verdict()
    studies = _listed(gateway)
    _check_contents(verdict, studies, ledger)
    _check_answers(verdict, gateway, studies, ledger)
    for study in studies.values():
        _check_images(verdict, gateway, study)
    _check_folder(verdict, gateway, studies)
    return verdict


def _listed(gateway: Gateway) -> dict[str, Study]:
    studies: dict[str, Study] = {}
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = gateway.client.get(STUDIES, params=query).raise_for_status().json()
        for item in page["items"]:
            found = gateway.client.get(f"{STUDIES}/{item['id']}").raise_for_status()
            studies[item["id"]] = Study.model_validate_json(found.content)
        cursor = page["next_cursor"]
        if cursor is None:
            assert len(studies) == page["total"]
            return studies


def _check_contents(verdict: Verdict, studies: dict[str, Study], ledger: Ledger) -> None:
    """Each content that was kept has exactly one study."""
    found: dict[str, list[str]] = {}
    for study in studies.values():
        found.setdefault(study.content_sha256, []).append(study.id)
    for sha256, ids in found.items():
        if len(ids) > 1:
            verdict.doubled.append(f"one content has the studies {ids}")
        if sha256 not in ledger.sha256.values():
            verdict.half.append(f"study {ids} has a content that nobody sent")
    for content, sha256 in ledger.sha256.items():
        if sha256 not in found:
            verdict.lost.append(f"radiograph {content} has no study")


def _check_answers(
    verdict: Verdict, gateway: Gateway, studies: dict[str, Study], ledger: Ledger
) -> None:
    """Every 2xx names a study that is there, with the file's bytes, as it was last answered."""
    answers: dict[str, list[bytes]] = {}
    contents: dict[str, set[int]] = {}
    for attempt in ledger.kept():
        study_id = json.loads(attempt.body)["id"]
        answers.setdefault(study_id, []).append(attempt.body)
        contents.setdefault(study_id, set()).add(attempt.content)
    for study_id, told in answers.items():
        if len(contents[study_id]) != 1:
            verdict.half.append(
                f"study {study_id} was answered to radiographs {contents[study_id]}"
            )
        if study_id not in studies:
            verdict.lost.append(f"study {study_id} was answered 2xx and is not there")
            continue
        original = gateway.client.get(f"{STUDIES}/{study_id}/original")
        if original.content != ledger.radiographs[min(contents[study_id])]:
            verdict.lost.append(f"study {study_id}: its original is {original.status_code}")
        complete = studies[study_id].status is StudyStatus.COMPLETE
        if complete and gateway.client.get(f"{STUDIES}/{study_id}").content not in told:
            verdict.half.append(f"study {study_id} is not as it was answered")


def _check_images(verdict: Verdict, gateway: Gateway, study: Study) -> None:
    """Both images can be made and read, and a complete study says all that it has to."""
    for name in ("image.png", "overlay.png"):
        answer = gateway.client.get(f"{STUDIES}/{study.id}/{name}")
        if answer.status_code != 200:
            verdict.half.append(f"study {study.id}: its {name} is {answer.status_code}")
            continue
        with Image.open(io.BytesIO(answer.content)) as decoded:
            decoded.load()
    if study.status is StudyStatus.COMPLETE and (len(study.findings) != 14 or study.problems):
        verdict.half.append(f"study {study.id} is called complete and is not")


def _check_folder(verdict: Verdict, gateway: Gateway, studies: dict[str, Study]) -> None:
    """Nothing has arrived and stayed, and each study's folder is there and holds its own files."""
    for path in (gateway.archive / "incoming").iterdir():
        verdict.half.append(f"{path.name} has arrived and belongs to nothing")
    folders = {path.name: path for path in (gateway.archive / "studies").glob("*/*")}
    for name in folders.keys() - studies.keys():
        verdict.half.append(f"folder {name} belongs to no study")
    for name in studies.keys() - folders.keys():
        verdict.half.append(f"study {name} has no folder")
    for name in folders.keys() & studies.keys():
        source = ImageSource(studies[name].image.source)
        owned = [owned_by(source, revision) for revision in range(1, 100)]
        for path in folders[name].iterdir():
            if not any(owns(path.name) for owns in owned):
                verdict.half.append(f"study {name} has a file {path.name}")
