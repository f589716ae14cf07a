"""What the OpenAPI documents say, held against the services by requests made from the documents.

`CXR_FUZZ_EXAMPLES` is the budget for each operation; `make fuzz` sets a larger one, and then the
requests are others each time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from cxr_classifier.app import create_app as create_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import PROBLEM_MEDIA_TYPE, Problem
from cxr_detector.app import create_app as create_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.app import create_app as create_gateway
from support.fake_gateway import RuleOodDetector, settings_for
from support.images import png
from support.live_gateway import STUDIES, Readers, readers
from support.served_app import served
from support.waiting import eventually

__all__ = ["readers"]
Operation = APIOperation[Any, Any, Any, Any]
USUAL_EXAMPLES = 5
EXAMPLES = int(os.environ.get("CXR_FUZZ_EXAMPLES", USUAL_EXAMPLES))
SERVICES = ("gateway", "classifier", "detector")
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == USUAL_EXAMPLES,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
# The services run in threads of this process, and whatever draws random numbers there, or in what
# an earlier test left running, is taken for a strategy's.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
]
# A random file is not a picture, so what the document allows may well be refused.
# And this gateway is open to its own machine; `test_gateway_permissions.py` asks a closed one.
EXCLUDED: list[Any] = [checks.positive_data_acceptance, checks.ignored_auth]


@contextmanager
def service(name: str, readers: Readers, folder: Path) -> Iterator[tuple[FastAPI, str]]:
    """A service, and the address at which it answers."""
    if name == "classifier":
        app = create_classifier(ClassifierSettings(runtime="onnxruntime", threads=1))
    elif name == "detector":
        app = create_detector(DetectorSettings(runtime="onnxruntime", threads=1))
    else:
        ports = {f"{r}_url": f"http://127.0.0.1:{port}" for r, port in readers.ports.items()}
        app = create_gateway(settings_for(folder / "archive", **ports), ood=RuleOodDetector())
    with served(app) as port:
        url = f"http://127.0.0.1:{port}"
        ready = f"{url}/readyz"
        eventually(lambda: httpx.get(ready, trust_env=False).is_success, "not ready", 120)
        yield app, url


def operations_of(app: FastAPI) -> list[Operation]:
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = list(schema.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(operations) == len(found), "an operation of the document cannot be read"
    return operations


def says_something(operation: Operation) -> bool:
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


def held(case: Case[Any], url: str) -> None:
    """Send a request; its answer is one that the document knows, and an error is a problem body."""
    response = case.call(base_url=url, timeout=30)
    case.validate_response(response, excluded_checks=EXCLUDED)
    if response.status_code >= 400 and case.method != "HEAD":
        assert response.headers["content-type"] == [PROBLEM_MEDIA_TYPE]
        assert Problem.model_validate_json(response.content).status == response.status_code


def fuzzed(operation: Operation, mode: GenerationMode, url: str, **path: Any) -> None:
    """Send requests of one kind for one operation; `path` replaces parameters of its path."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @bounded
    def check(case: Case[Any]) -> None:
        case.path_parameters = {**(case.path_parameters or {}), **path}
        held(case, url)

    check()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_answers_as_its_document_says(
    name: str, mode: GenerationMode, readers: Readers, tmp_path: Path
) -> None:
    with service(name, readers, tmp_path) as (app, url):
        for operation in operations_of(app):
            # Nothing can be wrong in a request that says nothing.
            if mode is GenerationMode.POSITIVE or says_something(operation):
                fuzzed(operation, mode, url)
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200


def test_every_operation_on_a_study_that_is_there_does_so_too(
    readers: Readers, tmp_path: Path
) -> None:
    with service("gateway", readers, tmp_path) as (app, url):
        sent = httpx.post(f"{url}{STUDIES}", files={"file": ("film", png())}, trust_env=False)
        study_id = sent.json()["id"]
        about_it = [one for one in operations_of(app) if "{study_id}" in one.path]
        for operation in (one for one in about_it if one.method != "delete"):
            fuzzed(operation, GenerationMode.POSITIVE, url, study_id=study_id)
        assert httpx.get(f"{url}{STUDIES}/{study_id}", trust_env=False).json() == sent.json()
        [deletion] = [one for one in about_it if one.method == "delete"]
        fuzzed(deletion, GenerationMode.POSITIVE, url, study_id=study_id)
        assert httpx.get(f"{url}{STUDIES}/{study_id}", trust_env=False).status_code == 404
