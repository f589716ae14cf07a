"""What the OpenAPI documents say, held against the services by requests made from the documents.

`CXR_FUZZ_EXAMPLES` is the budget for each operation; `make fuzz` sets a larger one, and then the
requests are others each time.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
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
from cxr_gateway.access.permissions import PERMISSIONS
from cxr_gateway.app import create_app as create_gateway
from cxr_gateway.core.principal import Principal, PrincipalKind, Role
from cxr_gateway.core.tokens import now
from support.access import closed_settings
from support.fake_gateway import RuleOodDetector, settings_for
from support.fake_oidc import FakeOidcProvider
from support.images import png
from support.live_gateway import STUDIES, FakeServices, services
from support.served_app import served
from support.waiting import eventually

__all__ = ["services"]
Operation = APIOperation[Any, Any, Any, Any]
USUAL_EXAMPLES = 5
# Everybody may ask these; what they refuse is a sign-in or a token, and no role.
_OF_SIGN_IN = {"startSignIn", "finishSignIn", "signOut", "endSessions"}
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
# A random file is not an image, so what the document allows may well be refused.
# And this gateway is open to its own machine; `test_gateway_permissions.py` asks a closed one.
# Its body is made of DICOM files, and a failure is DICOM JSON: `test_gateway_dicomweb.py` tries it.
# As a role may or may not, it is asked all the same.
STOW = "storeInstances"
schemathesis.serializer.alias("application/dicom", "application/octet-stream")
EXCLUDED: list[Any] = [checks.positive_data_acceptance, checks.ignored_auth]


@contextmanager
def service(
    name: str, services: FakeServices, folder: Path, models: Mapping[str, Path]
) -> Iterator[tuple[FastAPI, str]]:
    """A service, and the address at which it answers."""
    if name == "classifier":
        app = create_classifier(
            ClassifierSettings(model_dir=models[name], runtime="onnxruntime", threads=1)
        )
    elif name == "detector":
        app = create_detector(
            DetectorSettings(model_dir=models[name], runtime="onnxruntime", threads=1)
        )
    else:
        ports = {f"{r}_url": f"http://127.0.0.1:{port}" for r, port in services.ports.items()}
        app = create_gateway(settings_for(folder / "archive", **ports), ood=RuleOodDetector())
    with served(app) as port:
        url = f"http://127.0.0.1:{port}"
        ready = f"{url}/readyz"
        eventually(lambda: httpx.get(ready, trust_env=False).is_success, "not ready", 120)
        yield app, url


@pytest.fixture(scope="session")
def models(classifier_folder: Path, detector_folder: Path) -> dict[str, Path]:
    """Small ones: requests are what is tried here."""
    return {"classifier": classifier_folder, "detector": detector_folder}


def operations_of(app: FastAPI) -> list[Operation]:
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = list(schema.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(operations) == len(found), "an operation of the document cannot be read"
    return operations


def name_of(operation: Operation) -> str:
    return str(operation.definition.raw.get("operationId"))


def says_something(operation: Operation) -> bool:
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


def held(case: Case[Any], url: str) -> None:
    """Send a request; its answer is one that the document knows, and an error is a problem body."""
    response = case.call(base_url=url, timeout=30)
    case.validate_response(response, excluded_checks=EXCLUDED)
    if response.status_code >= 400 and case.method != "HEAD":
        assert response.headers["content-type"] == [PROBLEM_MEDIA_TYPE]
        problem = Problem.model_validate_json(response.content)
        assert problem.status == response.status_code
        # Of the gateway's catalogue: a type that the document names for this operation and status.
        declared = case.operation.definition.raw["responses"][str(response.status_code)]
        if types := declared["content"][PROBLEM_MEDIA_TYPE].get("examples"):
            assert problem.type.rpartition(":")[2] in types, case.operation.label


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
    name: str,
    mode: GenerationMode,
    services: FakeServices,
    tmp_path: Path,
    models: dict[str, Path],
) -> None:
    with service(name, services, tmp_path, models) as (app, url):
        for operation in operations_of(app):
            if name_of(operation) == STOW:
                continue
            # Nothing can be wrong in a request that says nothing.
            if mode is GenerationMode.POSITIVE or says_something(operation):
                fuzzed(operation, mode, url)
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200


def test_every_operation_on_a_study_that_is_there_does_so_too(
    services: FakeServices, tmp_path: Path
) -> None:
    with service("gateway", services, tmp_path, {}) as (app, url):
        sent = httpx.post(f"{url}{STUDIES}", files={"file": ("radiograph", png())}, trust_env=False)
        study_id = sent.json()["id"]
        about_it = [one for one in operations_of(app) if "{study_id}" in one.path]
        for operation in (one for one in about_it if one.method != "delete"):
            fuzzed(operation, GenerationMode.POSITIVE, url, study_id=study_id)
        assert httpx.get(f"{url}{STUDIES}/{study_id}", trust_env=False).json() == sent.json()
        [deletion] = [
            one for one in about_it if one.method == "delete" and one.path.endswith("{study_id}")
        ]
        fuzzed(deletion, GenerationMode.POSITIVE, url, study_id=study_id)
        assert httpx.get(f"{url}{STUDIES}/{study_id}", trust_env=False).status_code == 404


@pytest.mark.parametrize("role", list(Role))
def test_every_operation_answers_each_role_as_its_rule_says(
    role: Role, services: FakeServices, tmp_path: Path, security_database_url: str | None
) -> None:
    ports = {f"{r}_url": f"http://127.0.0.1:{port}" for r, port in services.ports.items()}
    limits = {"requests_per_minute": 10**9, "failures_per_minute": 10**9}
    closed = closed_settings(tmp_path / "archive", security_database_url, **limits, **ports)
    app = create_gateway(closed, ood=RuleOodDetector(), provider=FakeOidcProvider().opener)
    with served(app) as port:
        url, roles = f"http://127.0.0.1:{port}", frozenset({role})
        keys = app.state.gateway.authenticator.keys
        key = keys.create("a system", roles, None, now() + timedelta(days=1))[1]
        asker = Principal(PrincipalKind.KEY, "a system", roles, None)
        for operation in operations_of(app):
            name = name_of(operation)
            allowed = None if name in _OF_SIGN_IN else PERMISSIONS[name].allows(asker)
            asked_as(key, operation, url, allowed)


def asked_as(key: str, operation: Operation, url: str, allowed: bool | None) -> None:
    """Send requests with a key: refused as forbidden, every one of them, or none; None says no."""
    known = [checks.status_code_conformance] if name_of(operation) == STOW else None

    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @bounded
    def check(case: Case[Any]) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        response = case.call(base_url=url, timeout=30, headers=headers, allow_redirects=False)
        if allowed:
            assert response.status_code not in (401, 403), operation.label
        elif allowed is not None:
            assert response.status_code == 403, operation.label
        case.validate_response(response, checks=known, excluded_checks=EXCLUDED)

    check()
