"""Clients that generators make of docs/openapi.json, as it is: every operation called and read."""

import importlib
import importlib.util
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.csharp import CSHARP, compiled_csharp
from support.generated_calls import (
    BODIES,
    OPERATIONS,
    ROOT,
    arguments,
    as_expected,
    in_order,
    snake,
)
from support.live_gateway import Gateway

DOCUMENT = ROOT / "docs/openapi.json"
JAVA_LIBRARIES = Path(os.environ.get("CXR_JAVA_LIBRARIES", "/usr/share/java"))
NEEDED = (
    *("httpclient", "httpcore", "httpmime", "commons-logging", "geronimo-annotation-1.3-spec"),
    *("httpclient5", "httpcore5", "httpcore5-h2"),
)
# What a library of the generator's sends otherwise than the document says: `native` a path for a
# body that is a file, `apache-httpclient` paths for several files of a form. Each has the other's.
MISSED = {"native": {"storeInstances": "409"}, "apache-httpclient": {"createStudies": "422"}}
# Each Java here runs for seconds: what its compiler would win by thinking longer is never used.
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
pytestmark = pytest.mark.slow


def program(name: str) -> str:
    """A command of this environment, or of the machine."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    found = shutil.which(name, path=path)
    assert found is not None, f"{name} is not installed"
    return found


def run(*command: str | Path, folder: Path) -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "PATH": path, "JAVA_TOOL_OPTIONS": SHORT_LIVED},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def test_openapi_python_client(
    gateway: Gateway, radiograph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run(
        *(program("openapi-python-client"), "generate", "--path", DOCUMENT, "--meta", "none"),
        *("--config", ROOT / "docs/openapi-python-client.yml"),
        *("--output-path", "generated_client", "--fail-on-warning"),
        folder=tmp_path,
    )
    assert "WARNING" not in said
    modules = {path.stem: path for path in (tmp_path / "generated_client/api").glob("*/*.py")}
    assert {snake(name) for name in OPERATIONS} == {*modules} - {"__init__"}
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("generated_client").Client
    given = arguments(gateway, radiograph)
    with kind(base_url=str(gateway.client.base_url)) as client:
        for name in in_order():
            path = modules[snake(name)].relative_to(tmp_path).with_suffix("")
            module = importlib.import_module(".".join(path.parts))
            values = _python(module, name, given, radiograph)
            answer = module.sync_detailed(client=client, **values)
            assert as_expected(name, answer.status_code), f"{name}: {answer}"
            assert answer.parsed is not None or not answer.content, f"{name}: {answer}"


def _python(module: Any, name: str, given: Mapping[str, str], radiograph: bytes) -> dict[str, Any]:
    """The arguments of a generated function: those that the operation has."""
    wanted = inspect.signature(module.sync_detailed).parameters
    found: dict[str, Any] = {key: value for key, value in given.items() if key in wanted}
    types = importlib.import_module("generated_client.types")
    models = importlib.import_module("generated_client.models")
    if "role" in found:
        found["role"] = models.GetShadowReportRole(found["role"])
    if "pixels_reviewed" in found:
        found["pixels_reviewed"] = True
    if "body" in wanted:
        found["body"] = _body(wanted["body"], name, radiograph, types, models)
    return found


def _body(wanted: inspect.Parameter, name: str, radiograph: bytes, types: Any, models: Any) -> Any:
    file = types.File(payload=io.BytesIO(radiograph), file_name="a.dcm")
    if name in BODIES:
        made: Callable[[dict[str, Any]], Any] = wanted.annotation.from_dict
        return made(BODIES[name])
    if name == "createStudies":
        return wanted.annotation(file=[file])
    return models.CreateStudyFilesUpload(file=file) if name == "createStudy" else file


@pytest.fixture(scope="session", params=[*MISSED])
def java(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, str]:
    """A library, the sources of a Java client that uses it, and what they are compiled with."""
    library: str = request.param
    folder = tmp_path_factory.mktemp("java")
    options = "openApiNullable=false,hideGenerationTimestamp=true"
    said = run(
        *(program("openapi-generator-cli"), "generate", "-i", DOCUMENT, "-g", "java"),
        *("--library", library, "-o", folder, f"--additional-properties={options}"),
        *("--global-property", "apis,models,supportingFiles,apiDocs=false,modelDocs=false"),
        folder=folder,
    )
    assert "cannot be used as model name" not in said
    package = importlib.util.find_spec("openapi_generator_cli")
    assert package is not None
    assert package.origin is not None
    [generator] = Path(package.origin).parent.glob("*.jar")
    # Jackson is in the generator itself.
    libraries = [JAVA_LIBRARIES / f"{name}.jar" for name in NEEDED]
    assert [path for path in libraries if not path.is_file()] == []
    return library, folder, os.pathsep.join(str(path) for path in [generator, *libraries])


def test_openapi_generator_for_java(
    java: tuple[str, Path, str], gateway: Gateway, radiograph: bytes, tmp_path: Path
) -> None:
    library, folder, libraries = java
    sources = [
        *(folder / "src/main/java").rglob("*.java"),
        ROOT / "tests/support/CallEverything.java",
    ]
    (tmp_path / "sources").write_text("\n".join(str(path) for path in sources))
    compiler = ("javac", "-nowarn", "-Xlint:none", "-proc:none", "-parameters", "-d", tmp_path)
    run(*compiler, "-cp", libraries, "@sources", folder=tmp_path)
    (tmp_path / "a.dcm").write_bytes(radiograph)
    plan = {
        "url": str(gateway.client.base_url),
        "apis": [path.stem for path in (folder / "src/main/java").rglob("api/*Api.java")],
        "operations": in_order(),
        "arguments": arguments(gateway, radiograph),
        "bodies": BODIES,
        "file": str(tmp_path / "a.dcm"),
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    classes = os.pathsep.join((str(tmp_path), libraries))
    said = run("java", "-cp", classes, "CallEverything", "plan.json", folder=tmp_path)
    answers = dict(line.split(" ") for line in said.splitlines() if line.count(" ") == 1)
    assert [*answers] == in_order()
    others = {
        name: status for name, status in answers.items() if not as_expected(name, int(status))
    }
    assert others == MISSED[library]


def test_every_operation_can_be_called_by_one_of_javas_libraries() -> None:
    assert not set.intersection(*(set(one) for one in MISSED.values()))


# Newtonsoft.Json of 2015, which Debian has, does not know it; the client's own settings use it.
_LATER = "does not contain a definition for `NamingStrategy'"


def test_openapi_generator_for_csharp(tmp_path: Path) -> None:
    """Compiled by Mono, all of it; not run, for two libraries are declarations alone."""
    # What Mono's compiler does not read: C# 8 and later.
    options = "targetFramework=net48,nullableReferenceTypes=false"
    run(
        *(program("openapi-generator-cli"), "generate", "-i", DOCUMENT, "-g", "csharp"),
        *("--library", "httpclient", "-o", tmp_path, f"--additional-properties={options}"),
        folder=tmp_path,
    )
    text = "".join(path.read_text() for path in tmp_path.rglob("Api/*Api.cs"))
    missing = [
        name for name in OPERATIONS if f" {name[0].upper()}{name[1:]}WithHttpInfo(" not in text
    ]
    assert missing == []
    sources = [*(tmp_path / "src/Org.OpenAPITools").rglob("*.cs"), CSHARP / "Libraries.cs"]
    said = compiled_csharp(tmp_path / "client.dll", sources, tmp_path)
    assert [line for line in said if _LATER not in line] == []
