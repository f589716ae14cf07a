"""What clients generated from docs/openapi.json call, in which order, and what comes of it."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

from support.live_gateway import Gateway

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/openapi.json").read_text())
OPERATIONS = [
    operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()
]
# Without an OpenID provider, and without a shadow.
REFUSED = {"startSignIn": 404, "finishSignIn": 404, "endSessions": 404, "getShadowReport": 404}
# First what makes something for others to find; last what takes it away.
_FIRST = ("createStudy", "createStudies", "storeInstances", "putReviewEntry", "writeReport")
_LAST = ("withdrawReviewEntry", "deleteStudy", "deleteWebhook")
# Generated clients read an answer to its end, and this one has none.
_ENDLESS = ("streamEvents",)
_TEXT = {"examination": "", "comparison": "", "findings": "", "impression": "A mass."}
# Nobody listens there: each message is given up, and can be sent again.
WEBHOOK = {"url": "http://127.0.0.1:9/", "events": ["study.deleted"]}
BODIES: dict[str, dict[str, Any]] = {
    "putReviewEntry": {"revision": 1, "verdict": "commented", "comment": "Seen."},
    "setWorklist": {"state": "opened"},
    "putFirstRead": {"findings": [], "comment": "Nothing is seen."},
    "createWebhook": WEBHOOK,
    "writeReport": {"based_on": 0, "revision": 1, "text": _TEXT, "sign": False},
    "endSessions": {"logout_token": "none"},
}


def in_order() -> list[str]:
    """Every operation that comes to an end, once."""
    between = [name for name in OPERATIONS if name not in (*_FIRST, *_LAST, *_ENDLESS)]
    assert {*_FIRST, *_LAST} <= {*OPERATIONS}
    return [*_FIRST, *between, *_LAST]


def arguments(gateway: Gateway, radiograph: bytes) -> dict[str, str]:
    """A value for each parameter that an operation needs; the study is sent for its ids."""
    sent = gateway.post(radiograph).json()
    found = gateway.client.get(f"/dicomweb/studies/{sent['patient']['study_instance_uid']}/series")
    series = found.json()[0]["0020000E"]["Value"][0]
    below = f"{found.url.path}/{series}/instances"
    instance = gateway.client.get(below).json()[0]["00080018"]["Value"][0]
    hook = gateway.client.post("/api/v1/webhooks", json=WEBHOOK).json()["id"]
    tried = gateway.client.post(f"/api/v1/webhooks/{hook}/test").json()
    return {
        "webhook_id": hook,
        "delivery_id": tried["id"],
        "study_id": sent["id"],
        "entry_id": str(uuid.uuid4()),
        "finding": sent["heatmaps"][0],
        "role": "classifier",
        "name": "not-found",
        "study_uid": sent["patient"]["study_instance_uid"],
        "series_uid": series,
        "instance_uid": instance,
        "pixels_reviewed": "true",
    }


def snake(name: str) -> str:
    """`getStudy` as `get_study`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def as_expected(name: str, status: int) -> bool:
    """Whether an operation was answered as it is to be here."""
    return status == REFUSED[name] if name in REFUSED else 200 <= status < 300
