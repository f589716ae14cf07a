"""The RayJob: fields that KubeRay knows, pods that Kubernetes takes, a command that is ours."""

import shlex
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray

from cxr_screening.cli import make_parser
from support.kubernetes_manifests import FOLDER, Object, objects_of, of_kind

VERSIONS = ("1.29", kubernetes_validate.latest_version())
_TEMPLATE: dict[str, Any] = {"type": "object", "required": ["spec"]}
_PARAMETERS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


def _exactly(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


# What ray.io/v1 says of the fields that are used; the pods are Kubernetes' own.
_GROUP = {"rayStartParams": _PARAMETERS, "template": _TEMPLATE}
_COUNT = {"type": "integer", "minimum": 0}
RAY_JOB = _exactly(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata={"type": "object", "required": ["name"]},
    spec=_exactly(
        ["entrypoint", "rayClusterSpec"],
        entrypoint={"type": "string"},
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=_COUNT,
        backoffLimit=_COUNT,
        rayClusterSpec=_exactly(
            ["headGroupSpec"],
            rayVersion={"type": "string"},
            headGroupSpec=_exactly(["template"], **_GROUP),
            workerGroupSpecs={
                "type": "array",
                "items": _exactly(
                    ["groupName", "maxReplicas", "minReplicas", "template"],
                    groupName={"type": "string"},
                    replicas=_COUNT,
                    minReplicas=_COUNT,
                    maxReplicas=_COUNT,
                    **_GROUP,
                ),
            },
        ),
    ),
)


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return objects_of(FOLDER / "ray")


@pytest.fixture(scope="module")
def spec(objects: list[Object]) -> Any:
    return of_kind(objects, "RayJob")["screening"]["spec"]


def test_the_job_is_one_that_kuberay_knows(objects: list[Object]) -> None:
    jsonschema.validate(of_kind(objects, "RayJob")["screening"], RAY_JOB)


@pytest.mark.parametrize("version", VERSIONS)
def test_its_pods_and_its_volume_are_valid(objects: list[Object], spec: Any, version: str) -> None:
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [
        {"apiVersion": "v1", "kind": "Pod", **group["template"], "metadata": {"name": "pod"}}
        for group in groups
    ]
    for one in [*pods, *of_kind(objects, "PersistentVolumeClaim").values()]:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_command_is_understood_and_the_version_is_that_of_the_lock(spec: Any) -> None:
    program, *arguments = shlex.split(spec["entrypoint"])
    assert program == "cxr-screen"
    options = make_parser().parse_args(arguments)
    assert options.out.startswith("s3://")
    mounts = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert str(options.private) in {one["mountPath"] for one in mounts["volumeMounts"]}
    assert spec["rayClusterSpec"]["rayVersion"] == ray.__version__
