"""Files of others are decoded by processes that can do nothing else, with the same results."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.charset
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import Limits, read_upload
from cxr_gateway.imaging.decoders import Decoder, InProcessDecoder, WorkerDecoder, open_decoder
from cxr_serving.errors import Overloaded, PayloadTooLarge, ServiceError, Unprocessable
from support.dicom_images import compressed_dicom, dicom, sample
from support.images import encoded, radiograph_like
from support.waiting import eventually

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
    pytest.mark.skipif(sys.platform != "linux", reason="there are no workers elsewhere"),
]
GREY = radiograph_like(120, 100)
DEEP = GREY.astype(np.uint16) * 16
LIMITS = Limits(max_bytes=20_000_000, max_pixels=20_000_000)
FILES = {
    "png": encoded(GREY),
    "deep png": encoded(DEEP),
    "colour png": encoded(np.stack([GREY, GREY // 2, GREY], axis=-1)),
    "jpeg": encoded(GREY, "JPEG"),
    "dicom": dicom(DEEP, bits=12, WindowCenter=2048, WindowWidth=4096),
    "big endian": dicom(DEEP, bits=12, syntax=ExplicitVRBigEndian),
    "rle": compressed_dicom(DEEP, RLELossless, bits=12),
    "jpeg 2000": compressed_dicom(DEEP, JPEG2000Lossless, bits=12),
    "jpeg-ls": compressed_dicom(DEEP, JPEGLSLossless, bits=12),
    "jpeg in dicom": sample("color3d_jpeg_baseline.dcm"),
    "12 bit jpeg": sample("JPEG-lossy.dcm"),
    "lossless jpeg": sample("SC_rgb_jpeg_gdcm.dcm"),
    "palette": sample("OBXXXX1A.dcm"),
    "another modality": sample("MR_small_jpeg_ls_lossless.dcm"),
    "cut png": encoded(GREY)[:900],
    "cut dicom": dicom(DEEP, bits=12)[:9000],
    "nothing": b"",
    "a text": b"a text, and no image at all",
    "odd charset": dicom(DEEP, bits=12, SpecificCharacterSet="ISO_IR 58", PatientName="X^Y"),
}


class Failures:
    """Counts what a decoder reports."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> None:
        self.n += 1


failures = Failures()


def decoder_of(
    n_workers: int = 1, memory_mb: int = 2000, cpu_s: int = 10, deadline_s: float = 200
) -> WorkerDecoder:
    return WorkerDecoder(
        n_workers,
        memory_bytes=memory_mb * 1_000_000,
        cpu_s=cpu_s,
        deadline_s=deadline_s,
        needs_filter=True,
        on_failure=failures,
    )


@pytest.fixture(scope="module")
def decoder() -> Iterator[WorkerDecoder]:
    with closing(decoder_of()) as opened:
        yield opened


def outcome(decoder: Any, data: bytes, limits: Limits = LIMITS) -> Any:
    """All that a decoder says of a file, for comparison."""
    try:
        found = decoder.decode(io.BytesIO(data), limits)
    except ServiceError as refusal:
        return type(refusal), refusal.detail, refusal.extensions
    assert found.grey.dtype == np.uint8
    assert not found.grey.flags.writeable
    return found.grey.tolist(), found.metadata, found.patient, found.refused, dict(found.how)


def frame_of(decoder: Decoder, data: bytes) -> Any:
    """A DICOM file's stored values, or why there are none, for comparison."""
    try:
        values = decoder.frame(io.BytesIO(data), LIMITS)
    except ServiceError as refusal:
        return type(refusal), refusal.detail, refusal.extensions
    return values.dtype, values.tolist()


def workers() -> list[int]:
    """The worker processes that this process has."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if "decoder_worker" in Path(f"/proc/{pid}/cmdline").read_text()]


def said_of(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


@pytest.mark.parametrize("kind", FILES)
def test_a_worker_says_what_the_gateway_would(decoder: WorkerDecoder, kind: str) -> None:
    assert outcome(decoder, FILES[kind]) == outcome(InProcessDecoder(), FILES[kind])


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "nothing"])
def test_a_worker_hands_out_the_frame_that_the_gateway_would(
    decoder: WorkerDecoder, kind: str
) -> None:
    found, wanted = (frame_of(one, FILES[kind]) for one in (decoder, InProcessDecoder()))
    assert found == wanted


def test_a_signed_frame_and_one_in_colour_keep_their_kind(decoder: WorkerDecoder) -> None:
    signed = dicom((DEEP.astype(np.int32) - 2048).astype(np.int16), PixelRepresentation=1)
    for file, kind, sides in ((signed, "int16", 2), (FILES["jpeg in dicom"], "uint8", 3)):
        values = decoder.frame(io.BytesIO(file), LIMITS)
        assert (values.dtype.name, values.ndim) == (kind, sides)
    assert decoder.frame(io.BytesIO(signed), LIMITS).min() < 0


@pytest.mark.parametrize("charset", sorted(filter(None, pydicom.charset.python_encoding)))
def test_names_are_read_in_every_character_set(decoder: WorkerDecoder, charset: str) -> None:
    sets = [charset] if "2022" not in charset else ["", charset]
    data = dicom(DEEP, bits=12, SpecificCharacterSet=sets, PatientName="Doe^Jo")
    assert outcome(decoder, data) == outcome(InProcessDecoder(), data)


def test_a_file_on_disk_is_read_where_it_lies(decoder: WorkerDecoder, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES["dicom"])
    with path.open("rb") as file:
        found = decoder.decode(file, LIMITS)
    assert np.array_equal(found.grey, read_upload(FILES["dicom"]).grey)


def test_limits_hold_in_a_worker(decoder: WorkerDecoder) -> None:
    for limits in (Limits(max_bytes=500), Limits(max_pixels=5000)):
        with pytest.raises(PayloadTooLarge):
            decoder.decode(io.BytesIO(FILES["png"]), limits)


def test_a_worker_has_neither_environment_nor_rights(
    decoder: WorkerDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_GATEWAY_SERVICE_TOKEN", "a secret")
    with closing(decoder_of()) as another:
        outcome(another, FILES["png"])
        for pid in workers():
            environment = Path(f"/proc/{pid}/environ").read_text()
            assert {line.split("=")[0] for line in environment.split("\0") if line} == {
                "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
            }  # fmt: skip
            assert said_of(pid, "NoNewPrivs") == "1"
            assert said_of(pid, "Seccomp") == "2"
            opened = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
            assert {name.split(":")[0] for name in opened} == {"socket", "/dev/null"}


_ATTACKS = {
    "open a file": "open('/etc/passwd')",
    "write a file": "open('/tmp/taken', 'w')",
    "write into what is open": "os.write(held, b'x')",
    "list a folder": "os.listdir('/')",
    "remove a file": "os.unlink(path)",
    "use the network": "socket.socket(socket.AF_INET)",
    "use a local socket": "socket.socket(socket.AF_UNIX)",
    "start a process": "os.posix_spawn('/bin/true', ['true'], {})",
    "fork": "os.fork()",
    "start a thread": "threading.Thread(target=print).start()",
    "become another program": "os.execv('/bin/true', ['true'])",
    "end another process": "os.kill(os.getppid(), 0)",
    "change another's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)",
    "make memory code": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "get room without end": "bytearray(3_000_000_000)",
    "raise its limit": "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What each attack comes to in a process that is confined as a worker is."""
    path = tmp_path_factory.mktemp("attacked") / "file"
    path.write_bytes(b"")
    tries = "\n".join(
        f"try:\n    {code}\nexcept BaseException as error:\n"
        f"    said.append({name + ': '!r} + type(error).__name__)\n"
        f"else:\n    said.append({name + ': DONE'!r})"
        for name, code in _ATTACKS.items()
    )
    code = (
        "import mmap, os, resource, socket, sys, threading\n"
        "from cxr_gateway.imaging.decoder_worker import confine\n"
        f"path = {str(path)!r}\n"
        "held = os.open(path, os.O_RDWR)\n"
        "ours = socket.socket(fileno=0)\n"
        "said = [','.join(confine(2_000_000_000))]\n"
        f"{tries}\n"
        "ours.sendall('\\n'.join(said).encode())\n"
    )
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            subprocess.run(
                [sys.executable, "-c", code], stdin=theirs.fileno(), check=False, timeout=60
            )
        said = ours.recv(65536).decode()
    assert path.exists()
    return str(said)


def test_the_filter_is_in_force(attacked: str) -> None:
    assert attacked.splitlines()[0] == "rlimit,seccomp"


@pytest.mark.parametrize("attack", _ATTACKS)
def test_a_worker_that_was_taken_over_cannot(attacked: str, attack: str) -> None:
    said = dict(line.split(": ") for line in attacked.splitlines()[1:])
    assert said[attack] in {
        "PermissionError", "OSError", "RuntimeError", "MemoryError", "ValueError"
    }  # fmt: skip


def test_a_worker_that_crashes_costs_its_own_file_only(decoder: WorkerDecoder) -> None:
    before, said = failures.n, list[Any]()
    with closing(decoder_of(2)) as pool:
        outcome(pool, FILES["png"])
        first, second = (pid for pid in workers() if pid not in _of(decoder))
        os.kill(first, signal.SIGSTOP)
        os.kill(second, signal.SIGSTOP)
        asked = [
            threading.Thread(target=lambda: said.append(outcome(pool, FILES["dicom"])))
            for _ in range(2)
        ]
        for thread in asked:
            thread.start()
        time.sleep(0.3)
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGCONT)
        for thread in asked:
            thread.join()
        refused = [one for one in said if one[0] is Unprocessable]
        assert refused == [
            (Unprocessable, "The image cannot be decoded: the decoder failed on this file.", {})
        ]
        assert outcome(InProcessDecoder(), FILES["dicom"]) in said
        assert failures.n == before + 1
        for _ in range(3):
            assert outcome(pool, FILES["png"]) == outcome(InProcessDecoder(), FILES["png"])


def _of(decoder: WorkerDecoder) -> list[int]:
    return [worker.pid for worker in decoder.idle]


def test_one_that_died_meanwhile_is_replaced_and_refuses_nothing() -> None:
    with closing(decoder_of()) as pool:
        outcome(pool, FILES["png"])
        os.kill(_of(pool)[0], signal.SIGKILL)
        eventually(lambda: not pool.idle[0].alive, "the worker lives on")
        assert outcome(pool, FILES["png"]) == outcome(InProcessDecoder(), FILES["png"])


def test_one_that_hangs_is_ended_and_its_file_may_come_again() -> None:
    with closing(decoder_of(deadline_s=5)) as pool:
        outcome(pool, FILES["png"])
        os.kill(_of(pool)[0], signal.SIGSTOP)
        with pytest.raises(Overloaded, match="not decoded in time"):
            pool.decode(io.BytesIO(FILES["png"]), LIMITS)
        assert outcome(pool, FILES["png"]) == outcome(InProcessDecoder(), FILES["png"])


def test_what_takes_too_much_time_or_memory_is_refused_and_others_go_on() -> None:
    large = encoded(np.zeros((12_000, 12_000), np.uint8) + 7)
    limits = Limits(max_pixels=200_000_000)
    with closing(decoder_of(memory_mb=320, cpu_s=1)) as pool:
        with pytest.raises(Unprocessable, match="needs more than 320 MB of memory"):
            pool.decode(io.BytesIO(large), limits)
        assert outcome(pool, FILES["png"]) == outcome(InProcessDecoder(), FILES["png"])
    slow = dicom(np.zeros((10_000, 10_000), np.uint16), bits=12, WindowCenter=8, WindowWidth=9)
    with closing(decoder_of(memory_mb=6000, cpu_s=1)) as pool:
        with pytest.raises(Unprocessable, match="more than 1 s of a processor"):
            pool.decode(io.BytesIO(slow), Limits(max_bytes=1 << 30, max_pixels=1 << 30))
        assert outcome(pool, FILES["png"]) == outcome(InProcessDecoder(), FILES["png"])


def test_the_largest_image_that_is_accepted_fits_into_a_worker(decoder: WorkerDecoder) -> None:
    largest = dicom(np.zeros((5000, 4900), np.uint16), bits=12)
    assert decoder.decode(io.BytesIO(largest), Limits()).grey.shape == (5000, 4900)


def test_the_settings_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXR_GATEWAY_DECODERS")
    with closing(open_decoder(GatewaySettings(cpu_threads=1))) as usual:
        assert isinstance(usual, WorkerDecoder)
    assert isinstance(open_decoder(GatewaySettings(decoders="in-process")), InProcessDecoder)
