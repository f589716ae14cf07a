"""What an operator can get wrong: one sentence where it belongs, and nothing comes up half."""

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from cxr_detector.fused import is_fused, member_folders
from cxr_serving.model_folder import choose_model, open_model_folder
from support.compose_stack import PASSWORD, ROOT, ComposeStack, eventually, inside, write_overlay

StackMaker = Callable[..., ComposeStack]


def logged(stack: ComposeStack, service: str) -> str:
    return "".join(container.logs().decode() for container in stack.containers(service))


def shown_by_ps(stack: ComposeStack, service: str) -> str:
    lines = stack.compose("ps").stdout.splitlines()
    return " ".join(line for line in lines if service in line)


def a_served_network() -> Path:
    """An ONNX file that the default detector reads, its own or that of one it was fused from."""
    served = open_model_folder(choose_model(ROOT / "models/detector"), "detector")
    networks = member_folders(served) if is_fused(served.manifest.architecture) else [served]
    return (networks[0].path / networks[0].manifest.onnx.path).relative_to(ROOT)


def test_without_the_secret_nothing_is_even_made(stack_of: StackMaker) -> None:
    for secret in (None, ""):
        stack = stack_of(secret=secret)
        refused = stack.compose("up", "--detach", "--no-build", check=False)
        assert refused.returncode != 0
        assert "is not set - put one into .env" in refused.stdout
        assert "Traceback" not in refused.stdout
        assert stack.containers() == []


def test_a_port_in_use_stops_everything_before_it_starts(stack_of: StackMaker) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        stack = stack_of(port=holder.getsockname()[1])
        refused = stack.compose("up", "--detach", "--no-build", check=False)
        assert refused.returncode != 0
        assert str(stack.port) in refused.stdout
        assert "in use" in refused.stdout
        assert stack.running() == set()
        assert "frontend" in shown_by_ps(stack, "frontend")


def test_a_gateway_that_is_published_to_others_needs_to_know_who_may_come_in(
    stack_of: StackMaker,
) -> None:
    stack = stack_of(settings={"CXR_BIND_ADDRESS": "0.0.0.0"})
    stack.compose("up", "--detach", "--no-build", check=False)
    said = "Others reach it at 0.0.0.0, and it would ask nobody who they are"
    eventually(lambda: said in logged(stack, "gateway"), stack.told())
    assert "Traceback" not in logged(stack, "gateway")
    assert stack.get("/api/v1/studies").status_code == 503


def test_a_closed_system_lets_in_whoever_has_a_key(stack_of: StackMaker) -> None:
    stack = stack_of(settings={"CXR_BIND_ADDRESS": "0.0.0.0", "CXR_ACCESS": "closed"})
    stack.up()
    assert stack.get("/api/v1/studies").status_code == 401
    command = ("keys", "create", "--role", "viewer", "--name", "a system")
    status, said = inside(stack.container("gateway"), "python", "-m", "cxr_gateway", *command)
    assert status == 0, said
    [key] = re.findall(r"cxr_\w{12}_[\w-]{43}", said)
    headers = {"Authorization": f"Bearer {key}"}
    assert stack.get("/api/v1/studies", headers=headers).json()["total"] == 0


def test_a_model_that_is_not_what_its_manifest_says_keeps_the_gateway_from_starting(
    stack_of: StackMaker, tmp_path: Path
) -> None:
    altered = tmp_path / "model.onnx"
    network = a_served_network()
    shutil.copy(ROOT / network, altered)
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    altered.chmod(0o644)
    mount = f"{altered}:/app/{network}:ro"
    overlay = write_overlay(tmp_path / "altered.yml", {"detector": {"volumes": [mount]}})
    stack = stack_of(overlays=[overlay])
    refused = stack.compose("up", "--detach", "--no-build", check=False)
    assert refused.returncode != 0
    [sentence] = {
        line.partition("The detector cannot start: ")[2]
        for line in logged(stack, "detector").splitlines()
        if "cannot start" in line
    }
    assert "has the sha256" in sentence
    assert "will not be served" in sentence
    assert "Traceback" not in logged(stack, "detector")
    assert "gateway" not in stack.running()
    assert "Up (healthy)" not in shown_by_ps(stack, "detector")
    answer = stack.get("/readyz")
    assert answer.status_code == 503
    assert "gateway does not answer" in answer.json()["detail"]


def test_a_changed_password_is_told_by_the_gateway(stack_of: StackMaker) -> None:
    stack = stack_of()
    stack.up()
    # A password that the database must refuse.
    # pragma: allowlist nextline secret
    stack.secret = "another"
    stack.compose("up", "--detach", "--no-build", "--no-deps", "gateway", check=False)
    eventually(lambda: "password authentication failed" in logged(stack, "database"), stack.told())
    eventually(lambda: stack.health("frontend") == ["unhealthy"], stack.told())
    sentences = [line for line in logged(stack, "gateway").splitlines() if "cannot start" in line]
    assert all("password authentication failed" in sentence for sentence in sentences)
    assert sentences
    assert "Traceback" not in logged(stack, "gateway")
    stack.secret = PASSWORD
    stack.up()


def test_a_database_of_a_newer_schema_is_left_as_it_is(
    stack_of: StackMaker, radiographs: Iterator[bytes]
) -> None:
    stack = stack_of()
    stack.up()
    study = stack.post(next(radiographs)).json()

    def at_revision(revision: str) -> str:
        change = f"UPDATE alembic_version SET version_num = '{revision}' RETURNING version_num"
        # Not one that a gateway of before may use.
        floor = f"UPDATE schema_floor SET revision = '{revision}' RETURNING revision"
        select = "SELECT version_num FROM alembic_version"
        asked = ("psql", "-U", "cxr", "-d", "cxr", "-Atc", f"{select}; {change}; {floor}")
        status, said = inside(stack.container("database"), *asked)
        assert status == 0, said
        return said.split()[0]

    ours = at_revision("9999")
    stack.compose("restart", "gateway")
    told = "it was migrated by a newer gateway. Run that one, or restore a backup."
    eventually(lambda: told in logged(stack, "gateway"), stack.told())
    assert "Traceback" not in logged(stack, "gateway")
    assert stack.get("/readyz").status_code == 503
    assert "Up (healthy)" not in shown_by_ps(stack, "gateway")
    assert at_revision(ours) == "9999"
    # It is started again and again.
    eventually(lambda: stack.get("/readyz").status_code == 200, stack.told())
    assert stack.get(f"/api/v1/studies/{study['id']}").json() == study


def test_an_archive_that_has_run_full_refuses_the_radiograph_and_keeps_nothing(
    stack_of: StackMaker, tmp_path: Path, radiographs: Iterator[bytes]
) -> None:
    # Room for one upload at the start, which is what a gateway asks for; then somebody takes it.
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=10001,gid=10001,mode=0700"}
    overlay = write_overlay(
        tmp_path / "small.yml", {}, volumes={"archive": {"driver_opts": options}}
    )
    stack = stack_of(overlays=[overlay])
    stack.up()
    filler = "/var/lib/cxr/archive/somebody-elses"
    # It ends with an error, for it writes until nothing fits.
    inside(stack.container("gateway"), "dd", "if=/dev/zero", f"of={filler}", "bs=64k")
    refused = stack.post(next(radiographs))
    assert refused.status_code == 507
    assert "no room left" in refused.json()["detail"]
    assert stack.get("/api/v1/studies").json()["total"] == 0
    inside(stack.container("gateway"), "rm", filler)
    assert stack.post(next(radiographs)).status_code == 201


def test_a_volume_with_less_room_than_an_upload_keeps_the_gateway_from_starting(
    stack_of: StackMaker, tmp_path: Path
) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=8m,uid=10001,gid=10001,mode=0700"}
    overlay = write_overlay(
        tmp_path / "tiny.yml", {}, volumes={"archive": {"driver_opts": options}}
    )
    stack = stack_of(overlays=[overlay])
    stack.compose("up", "--detach", "--no-build", check=False)
    told = "MB are free on this volume, less than the 50 MB of one upload; make room."
    eventually(lambda: told in logged(stack, "gateway"), stack.told())
    assert "Traceback" not in logged(stack, "gateway")
    assert stack.get("/readyz").status_code == 503


def test_an_archive_that_cannot_even_be_begun_keeps_the_gateway_from_starting(
    stack_of: StackMaker, tmp_path: Path
) -> None:
    # One inode: the folder itself.
    options = {"type": "tmpfs", "device": "tmpfs", "o": "nr_inodes=1,uid=10001,gid=10001,mode=0700"}
    overlay = write_overlay(
        tmp_path / "full.yml", {}, volumes={"archive": {"driver_opts": options}}
    )
    stack = stack_of(overlays=[overlay])
    stack.compose("up", "--detach", "--no-build", check=False)
    told = "The gateway cannot start: The archive has no room left"
    eventually(lambda: told in logged(stack, "gateway"), stack.told())
    assert "Traceback" not in logged(stack, "gateway")
    assert stack.get("/readyz").status_code == 503
    assert stack.health("frontend") != ["healthy"]
