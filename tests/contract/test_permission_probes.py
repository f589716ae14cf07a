"""Random requests of every role and department: none gets what it may not."""

import json
import os
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cxr_gateway.access.permissions import Operation, Operations
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.principal import Role
from support.access import client_as, closed_gateway, closed_settings
from support.dicom_images import dicom
from support.fake_gateway import RunningGateway
from support.images import radiograph_like

STUDIES = "/api/v1/studies"
PROBES = int(os.environ.get("CXR_PROBES", "2000"))
DEPARTMENTS = ("radiology", "surgery", None)
# These begin or end a sign-in, and have tests of their own.
_OF_SIGN_IN = {"startSignIn", "finishSignIn", "signOut", "endSessions", "get_page"}
# Of a webhook: the message is never sent, for nobody may.
_DELIVERY = "msg_" + "0" * 24
_RESULTS = "1.2.3.9"


@dataclass(frozen=True)
class Asker:
    """A key's client, and what may be seen and done with it."""

    client: httpx.AsyncClient
    roles: frozenset[Role]
    department: str | None

    def sees(self, thing: "Thing") -> bool:
        """Whether the department's rule lets it."""
        return self.department is None or self.department == thing.department


@dataclass(frozen=True)
class Thing:
    """Something of a department, by the names with which a path leads to it."""

    department: str | None
    names: Mapping[str, str]
    is_there: bool = True


def path_to(operation: Operation, study: Thing, webhook: Thing) -> str:
    """A path of the operation; the things are those that it names."""
    fixed = {"finding": "Mass", "role": "classifier", "delivery_id": _DELIVERY, "name": "conflict"}
    path = operation.path
    for name, value in (fixed | dict(study.names) | dict(webhook.names)).items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{entry_id}", "00000000-0000-4000-8000-000000000000")


def named_by(operation: Operation, study: Thing, webhook: Thing) -> Thing | None:
    """What a path of the operation leads to."""
    for thing in (study, webhook):
        if any(f"{{{name}}}" in operation.path for name in thing.names):
            return thing
    return None


def role_sets(random_: random.Random) -> list[frozenset[Role]]:
    singles = [frozenset({role}) for role in Role]
    pairs = [frozenset(random_.sample(list(Role), 2)) for _ in range(3)]
    return [*singles, *pairs]


async def sent(gateway: RunningGateway, department: str | None, number: int) -> Thing:
    uids = {
        "study_uid": f"1.2.3.{number}",
        "series_uid": f"1.2.3.{number}.1",
        "instance_uid": f"1.2.3.{number}.1.1",
    }
    content = dicom(
        radiograph_like(64, 48, seed=number).astype(np.uint16),
        StudyInstanceUID=uids["study_uid"],
        SeriesInstanceUID=uids["series_uid"],
        SOPInstanceUID=uids["instance_uid"],
        PatientID=f"patient-{number}",
    )
    async with client_as(gateway, Role.INTEGRATOR, department=department) as client:
        files = {"file": ("a.dcm", content, "application/dicom")}
        answer = await client.post(STUDIES, files=files)
        assert answer.status_code == 201, answer.text
        return Thing(department, {"study_id": answer.json()["id"], **uids})


async def registered(gateway: RunningGateway, department: str | None) -> Thing:
    async with client_as(gateway, Role.ADMIN, department=department) as client:
        # An address that nobody has; it is the registration that counts.
        new = {"url": "http://127.0.0.1:9/", "events": ["study.deleted"]}
        answer = await client.post("/api/v1/webhooks", json=new)
        assert answer.status_code == 201, answer.text
        return Thing(department, {"webhook_id": answer.json()["id"]})


def absent() -> Thing:
    uids = dict.fromkeys(("study_uid", "series_uid", "instance_uid"), _RESULTS)
    return Thing(None, {"study_id": new_study_id(), **uids}, is_there=False)


def told_of(answer: httpx.Response, things: list[Thing]) -> list[Thing]:
    """Of which things an answer says anything, in whatever form."""
    return [one for one in things if any(name in answer.text for name in one.names.values())]


@pytest.mark.slow
async def test_no_probe_gets_what_its_role_and_department_may_not(
    tmp_path: Path, security_database_url: str | None
) -> None:
    random_ = random.Random(20261128)
    settings = closed_settings(
        tmp_path / "archive",
        security_database_url,
        requests_per_minute=10**9,
        webhook_allow=["127.0.0.1"],
        event_stream_max_s=0.02,
    )
    async with closed_gateway(settings) as gateway, AsyncExitStack() as stack:
        both = [*DEPARTMENTS, *DEPARTMENTS]
        studies = [await sent(gateway, one, number) for number, one in enumerate(both, 101)]
        webhooks = [await registered(gateway, department) for department in DEPARTMENTS]
        askers = [
            Asker(
                await stack.enter_async_context(client_as(gateway, *roles, department=department)),
                roles,
                department,
            )
            for roles in role_sets(random_)
            for department in DEPARTMENTS
        ]
        operations = [one for one in Operations(gateway.app.routes) if one.id not in _OF_SIGN_IN]
        answered = dict.fromkeys((operation.id for operation in operations), 0)
        for _ in range(PROBES):
            asker, operation = random_.choice(askers), random_.choice(operations)
            study, webhook = random_.choice([*studies, absent()]), random_.choice(webhooks)
            thing = named_by(operation, study, webhook)
            if (
                operation.id in ("deleteStudy", "deleteWebhook")
                and Role.ADMIN in asker.roles
                and (thing is None or asker.sees(thing))
            ):
                continue  # it would be gone
            method = random_.choice(sorted(operation.methods))
            answer = await asker.client.request(method, path_to(operation, study, webhook))
            probe = (method, str(answer.url), asker.roles, asker.department, answer.status_code)
            rule = operation.rule
            if not rule.for_everybody and rule.roles and rule.roles.isdisjoint(asker.roles):
                assert answer.status_code == 403, probe
                continue
            assert answer.status_code not in (401, 403), probe
            answered[operation.id] += answer.status_code < 300
            if thing is not None and not (thing.is_there and asker.sees(thing)):
                # A search finds nothing; all else says that it is not there.
                assert answer.status_code in (404, 422) or is_empty(answer), probe
            if operation.id == "listAuditEntries":
                # It has what a department's people asked for, also what they did not get.
                if asker.department is not None:
                    entries = {item["department"] for item in answer.json()["items"]}
                    assert entries <= {asker.department}, probe
                continue
            # A refusal repeats the path that was asked for, and says nothing of other things.
            foreign = [one for one in studies + webhooks if not asker.sees(one) and one != thing]
            assert told_of(answer, foreign) == [], probe
        # It was no wall: what can be had without a body was had.
        assert sum(answered.values()) > PROBES / 10
        assert {"listChanges", "listWebhooks", "searchDicomStudies", "streamEvents"} <= {
            name for name, count in answered.items() if count
        }


def is_empty(answer: httpx.Response) -> bool:
    """Whether a search has found nothing."""
    found: Any = None
    if answer.headers.get("content-type", "").startswith("application/dicom+json"):
        found = json.loads(answer.text or "[]")
    return answer.status_code == 204 or found == []
