"""The process that decodes files of others: `decoders.py` starts it and hands it each file.

It gets a descriptor to read the file from, one of a size that is fixed to put the pixels into, and
answers with what is known of the image, or why it is refused. When it has loaded all that it needs
it gives up the rest for good: its environment is empty, it opens no file, no socket and no
process, writes nothing, and has an end to its memory and time. What a hole in a codec gives to a
crafted file is that, and the file itself.
"""

import codecs
import ctypes
import errno
import importlib
import json
import mmap
import os
import resource
import socket
import struct
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.charset import python_encoding
from pydicom.pixels.decoders.base import get_decoder

from cxr_gateway.imaging.dicom.pixels import SYNTAXES
from cxr_gateway.imaging.frame import read_frame
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.read import read_upload
from cxr_gateway.imaging.stored import read_stored
from cxr_serving.errors import ServiceError, Unprocessable
from cxr_serving.memory import release_free_memory

LENGTH = struct.Struct(">I")
MAX_REQUEST_BYTES = 4096
# After so many files, or half of the time that it has in all, another takes its place.
_MAX_FILES = 1000
_LIFE_CPU_S = 3600
_DESCRIPTORS = 16

_ALLOWED = (
    "brk", "mremap", "munmap", "madvise", "futex", "sched_yield", "sched_getaffinity",
    "read", "pread64", "lseek", "fstat", "newfstatat", "close", "fcntl",
    "recvfrom", "recvmsg", "sendto", "sendmsg",
    "clock_gettime", "gettimeofday", "getrusage", "getrandom", "getpid", "gettid",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "exit", "exit_group",
)  # fmt: skip
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_EQUAL, _MASKED_EQUAL = 4, 7


class _Comparison(ctypes.Structure):
    """libseccomp's `struct scmp_arg_cmp`."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


# Of these, only what an argument says: memory that is not code, limits of this process alone.
_NO_CODE = (2, _MASKED_EQUAL, mmap.PROT_EXEC, 0)
_COMPARED = {"mmap": _NO_CODE, "mprotect": _NO_CODE, "prlimit64": (0, _EQUAL, 0, 0)}


def main(memory_bytes: int, cpu_s: int) -> None:
    """Decode what comes through standard input, a socket, until its other end is closed.

    Args:
        memory_bytes: of address space, in all.
        cpu_s: of a processor, for one file.
    """
    connection = socket.socket(fileno=0)
    _preload()
    release_free_memory()
    held = confine(memory_bytes)
    _send(connection, {"confined_by": held})
    for n_files in range(1, _MAX_FILES + 1):
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 2)
        if not message:
            return
        used = int(time.process_time()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (used + cpu_s, _LIFE_CPU_S))
        try:
            answer = _answer(json.loads(message), *descriptors)
        except MemoryError:
            megabytes = memory_bytes // 1_000_000
            answer = _refused(
                Unprocessable(f"The file needs more than {megabytes} MB of memory to be decoded.")
            )
            answer["spent"] = True
        if n_files == _MAX_FILES or time.process_time() > _LIFE_CPU_S / 2:
            answer["spent"] = True
        for descriptor in descriptors:
            os.close(descriptor)
        _send(connection, answer)


def confine(memory_bytes: int) -> list[str]:
    """Give up all that decoding does not need; the names of what holds from now on.

    libseccomp is where Debian's packages are; without it `seccomp` is missing in what is returned.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # codecs write to it what files say
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, _LIFE_CPU_S),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))
    return ["rlimit", "seccomp"] if _filter_calls() else ["rlimit"]


def _filter_calls() -> bool:
    """Refuse every system call that is not listed, and new privileges; whether that is possible."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    library.seccomp_init.restype = ctypes.c_void_p
    calls: list[tuple[str, Sequence[tuple[int, int, int, int]]]] = [
        *((call, ()) for call in _ALLOWED),
        *((call, (compared,)) for call, compared in _COMPARED.items()),
    ]
    context = ctypes.c_void_p(library.seccomp_init(_REFUSE))
    for call, comparisons in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        arguments = (_Comparison * len(comparisons))(*(_Comparison(*one) for one in comparisons))
        failed = library.seccomp_rule_add_array(
            context, _ALLOW, number, len(comparisons), arguments
        )
        if failed and number >= 0:  # negative: this machine has no such call
            return False
    return bool(library.seccomp_load(context) == 0)


def _preload() -> None:
    """Import what is else imported when a file first needs it: later nothing can be opened."""
    for syntax in SYNTAXES:
        _ = get_decoder(syntax).available_plugins
    for encoding in python_encoding.values():
        with suppress(LookupError):
            codecs.lookup(encoding)
    Image.preinit()
    for module in ("pydicom._private_dict", "PIL.Jpeg2KImagePlugin"):
        importlib.import_module(module)
    _ = imagecodecs.jpeg_decode, imagecodecs.jpeg8_decode, imagecodecs.ljpeg_decode


def _answer(request: dict[str, Any], source: int, pixels: int) -> dict[str, Any]:
    wanted = request.pop("wanted")
    limits = Limits(**request)
    try:
        limits.check_bytes(os.fstat(source).st_size)
        if wanted == "frame":
            values = read_frame(_content(source), limits=limits)
            _put(values, pixels)
            return {"frame": {"shape": values.shape, "dtype": values.dtype.str[1:]}}
        if wanted == "stored":
            levels = read_stored(_content(source), limits=limits)
            _put(levels.values, pixels)
            height, width = levels.values.shape
            greys = levels.greys.model_dump(mode="json")
            return {"stored": {"height": height, "width": width, "greys": greys}}
        decoded = read_upload(_content(source), limits=limits)
    except ServiceError as refusal:
        return _refused(refusal)
    except MemoryError:
        raise
    except Exception as error:
        # Not its text, which may quote the file.
        steps = traceback.extract_tb(error.__traceback__)
        where = [f"{Path(step.filename).name}:{step.lineno}" for step in steps]
        return {"error": f"{type(error).__name__} at {' > '.join(where)}"}
    _put(decoded.grey, pixels)
    height, width = decoded.grey.shape
    return {
        "image": {
            "height": height,
            "width": width,
            "metadata": decoded.metadata.model_dump(mode="json"),
            "patient": decoded.patient.model_dump(mode="json"),
            "refused": decoded.refused,
            "how": dict(decoded.how),
        }
    }


def _put(values: NDArray[Any], pixels: int) -> None:
    # All of its pages at once: one by one they take longer than what is put into them.
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    with mmap.mmap(pixels, values.nbytes, flags=flags) as memory:
        target = np.frombuffer(memory, values.dtype).reshape(values.shape)
        target[:] = values
        del target


def _refused(refusal: ServiceError) -> dict[str, Any]:
    return {
        "refusal": {
            "kind": type(refusal).__name__,
            "detail": refusal.detail,
            "extensions": refusal.extensions,
        }
    }


def _content(source: int) -> bytes:
    pieces, place = list[bytes](), 0
    while piece := os.pread(source, os.fstat(source).st_size - place, place):
        pieces.append(piece)
        place += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    message = json.dumps(answer).encode()
    connection.sendall(LENGTH.pack(len(message)) + message)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
