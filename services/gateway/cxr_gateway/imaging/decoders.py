"""Where files of others are decoded: in worker processes that can do nothing else, or here.

    open_decoder(settings)      what `CXR_GATEWAY_DECODERS` says
      WorkerDecoder             a pool of `decoder_worker.py`, a process for each image thread
      InProcessDecoder          in the gateway's own process

Both refuse the same files with the same sentences. A worker that fails, hangs or answers nonsense
is replaced; its file is refused, and nobody else's.
"""

import contextlib
import fcntl
import io
import json
import logging
import math
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, BinaryIO, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_gateway.core.schemas import DicomMetadata, ImageMetadata, StoredGreys
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging.frame import read_frame
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.read import read_upload
from cxr_gateway.imaging.result import DecodedImage, StoredImage
from cxr_gateway.imaging.stored import read_stored
from cxr_serving.errors import (
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)

_Decoded = TypeVar("_Decoded", DecodedImage, StoredImage, NDArray[Any])
_Wanted = Literal["image", "stored", "frame"]

_LOG = logging.getLogger(__name__)
_MODULE = "cxr_gateway.imaging.decoder_worker"
_START_S = 60.0
_LENGTH_BYTES = 4
_MAX_ANSWER_BYTES = 4 << 20
# What was accepted once is decoded whatever the limits are by then; a place has a size.
_MOST_PIXELS = 1 << 30
# Of a pixel, at most: of a frame, three samples of 32 bits.
_PIXEL_BYTES: dict[_Wanted, int] = {"image": 1, "stored": 2, "frame": 12}
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_REFUSALS: dict[str, type[ServiceError]] = {
    error.__name__: error for error in (UnsupportedMedia, Unprocessable, PayloadTooLarge)
}


class Decoder(Protocol):
    """From a file to its image; called in several threads at once."""

    def decode(self, file: BinaryIO, limits: Limits) -> DecodedImage:
        """Decode the whole of `file`, from its start; it stays open.

        Raises:
            UnsupportedMedia, Unprocessable, PayloadTooLarge: as `read_upload`.
            Overloaded: it was not done in time; the same file may be, later.
            Unavailable: there is no decoder.
        """
        ...

    def stored(self, file: BinaryIO, limits: Limits) -> StoredImage:
        """The greys of `file` before any window; as `decode` otherwise."""
        ...

    def frame(self, file: BinaryIO, limits: Limits) -> NDArray[Any]:
        """The first frame of a DICOM file, see `read_frame`; as `decode` otherwise."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def open_decoder(
    settings: GatewaySettings, on_failure: Callable[[], object] = lambda: None
) -> Decoder:
    """The decoder of these settings.

    Args:
        settings: how and within which bounds.
        on_failure: called for each worker that failed.

    Raises:
        Unavailable: no worker starts, or it is not confined as the settings ask.
    """
    if settings.resolved_decoders == "in-process":
        return InProcessDecoder()
    return WorkerDecoder(
        settings.cpu_threads,
        memory_bytes=settings.decoder_memory_mb * 1_000_000,
        cpu_s=settings.decoder_cpu_s,
        needs_filter=settings.resolved_decoders == "confined",
        on_failure=on_failure,
    )


class InProcessDecoder:
    """Decodes where it is called."""

    def decode(self, file: BinaryIO, limits: Limits) -> DecodedImage:
        """See `Decoder`."""
        file.seek(0)
        return read_upload(file.read(), limits=limits)

    def stored(self, file: BinaryIO, limits: Limits) -> StoredImage:
        """See `Decoder`."""
        file.seek(0)
        return read_stored(file.read(), limits=limits)

    def frame(self, file: BinaryIO, limits: Limits) -> NDArray[Any]:
        """See `Decoder`."""
        file.seek(0)
        return read_frame(file.read(), limits=limits)

    def close(self) -> None:
        """Nothing is open."""


_Side = Annotated[int, Field(gt=0)]


class _Image(BaseModel):
    """What a worker says of an image; nothing that it says is believed without its shape."""

    model_config = ConfigDict(extra="forbid")

    height: _Side
    width: _Side
    metadata: ImageMetadata
    patient: DicomMetadata
    refused: str | None
    how: dict[str, str]


class _Stored(BaseModel):
    """Likewise, of the greys before any window."""

    model_config = ConfigDict(extra="forbid")

    height: _Side
    width: _Side
    greys: StoredGreys


class _Frame(BaseModel):
    """Likewise, of the pixels as they are stored."""

    model_config = ConfigDict(extra="forbid")

    shape: tuple[_Side, _Side] | tuple[_Side, _Side, Literal[3]]
    dtype: Literal["u1", "u2", "u4", "i1", "i2", "i4"]


class _Refusal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    detail: str
    extensions: dict[str, int | str]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    image: _Image | None = None
    stored: _Stored | None = None
    frame: _Frame | None = None
    refusal: _Refusal | None = None
    error: str | None = None
    spent: bool = False


class _WorkerFailed(Exception):
    """The worker is gone, or what it says is nonsense."""


class WorkerDecoder:
    """Worker processes, each of them with one file at a time."""

    def __init__(
        self,
        n_workers: int,
        *,
        memory_bytes: int,
        cpu_s: int,
        deadline_s: float | None = None,
        needs_filter: bool = False,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._options = (str(memory_bytes), str(cpu_s))
        self._memory_bytes = memory_bytes
        self._cpu_s = cpu_s
        # Others may have the processor, too.
        self._deadline_s = 10.0 + 6.0 * cpu_s if deadline_s is None else deadline_s
        self._on_failure = on_failure
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        workers = [_Worker(self._options) for _ in range(n_workers)]
        for worker in workers:
            self._idle.put(worker)
        try:
            held = workers[0].wait_until_ready()
            if needs_filter and "seccomp" not in held:
                raise Unavailable(
                    "The decoders cannot be confined: libseccomp is missing, or the kernel refuses "
                    "it. Install it, or set CXR_GATEWAY_DECODERS=worker to go without."
                )
        except Exception:
            self.close()
            raise
        log = _LOG.info if "seccomp" in held else _LOG.warning
        log("decoders run in processes", extra={"processes": n_workers, "confined_by": held})

    def decode(self, file: BinaryIO, limits: Limits) -> DecodedImage:
        """See `Decoder`."""
        return self._decoded(file, lambda worker, source, by: worker.decode(source, limits, by))

    def stored(self, file: BinaryIO, limits: Limits) -> StoredImage:
        """See `Decoder`."""
        return self._decoded(file, lambda worker, source, by: worker.stored(source, limits, by))

    def frame(self, file: BinaryIO, limits: Limits) -> NDArray[Any]:
        """See `Decoder`."""
        return self._decoded(file, lambda worker, source, by: worker.frame(source, limits, by))

    def _decoded(
        self, file: BinaryIO, decode: Callable[["_Worker", int, float], _Decoded]
    ) -> _Decoded:
        worker = self._idle.get()
        try:
            if not worker.alive:
                worker.end()
                worker = _Worker(self._options)
            worker.wait_until_ready()
            with _descriptor(file) as source:
                return decode(worker, source, time.monotonic() + self._deadline_s)
        except TimeoutError:
            worker.end()
            self._failed("not done in time")
            raise Overloaded("The image was not decoded in time; try again.") from None
        except _WorkerFailed:
            ended = worker.end()
            self._failed(ended)
            raise Unprocessable(
                f"The image takes more than {self._cpu_s} s of a processor to be decoded."
                if ended == signal.SIGXCPU.name
                else "The image cannot be decoded: the decoder failed on this file."
            ) from None
        finally:
            if not worker.alive:
                worker.end()
                worker = _Worker(self._options)
            self._idle.put(worker)

    @property
    def idle(self) -> "list[_Worker]":
        """The workers that have nothing to do."""
        return list(self._idle.queue)

    def close(self) -> None:
        """End the workers."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().end()

    def _failed(self, how: str) -> None:
        self._on_failure()
        _LOG.error("a decoder failed and is replaced", extra={"ended": how})


class _Worker:
    """One process, seen from here; begun when made, ready a second later."""

    def __init__(self, options: tuple[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        self._held: list[str] | None = None
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603  # this interpreter, this package
                [sys.executable, "-P", "-s", "-m", _MODULE, *options],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                # Of the environment, which has secrets in it, nothing.
                env={
                    "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
                # Who ends the gateway by Ctrl-C lets it finish what it has begun.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it may get another file."""
        return self._process.poll() is None

    def wait_until_ready(self) -> list[str]:
        """What confines it, once it has started; Unavailable if it does not."""
        if self._held is None:
            try:
                told = json.loads(self._received(time.monotonic() + _START_S))
            except (TimeoutError, _WorkerFailed):
                ended = self.end()
                raise Unavailable(f"The decoder does not start: {ended}.") from None
            self._held = list(told["confined_by"])
        return self._held

    def decode(self, source: int, limits: Limits, deadline: float) -> DecodedImage:
        """Let it decode; _WorkerFailed and TimeoutError are its end."""
        return self._asked(source, limits, deadline, "image", _image)

    def stored(self, source: int, limits: Limits, deadline: float) -> StoredImage:
        """Likewise, the greys before any window."""
        return self._asked(source, limits, deadline, "stored", _stored_image)

    def frame(self, source: int, limits: Limits, deadline: float) -> NDArray[Any]:
        """Likewise, the pixels as they are stored."""
        return self._asked(source, limits, deadline, "frame", _frame)

    def _asked(
        self,
        source: int,
        limits: Limits,
        deadline: float,
        wanted: _Wanted,
        taken: Callable[[_Answer, int], _Decoded | None],
    ) -> _Decoded:
        with _place(min(limits.max_pixels, _MOST_PIXELS) * _PIXEL_BYTES[wanted]) as pixels:
            try:
                request = asdict(limits) | {"wanted": wanted}
                socket.send_fds(self._socket, [json.dumps(request).encode()], [source, pixels])
            except OSError:
                raise _WorkerFailed from None
            said = self._received(deadline)
            try:
                answer = _Answer.model_validate_json(said)
                image = taken(answer, pixels)
            except (ValidationError, OSError, ValueError):
                raise _WorkerFailed from None
        if answer.spent:
            self.end()
        if image is not None:
            return image
        if answer.refusal is not None and answer.refusal.kind in _REFUSALS:
            refusal = answer.refusal
            raise _REFUSALS[refusal.kind](refusal.detail, **refusal.extensions)
        raise RuntimeError(f"the decoder failed: {answer.error}")

    def end(self) -> str:
        """End it, if it still runs; how it ended."""
        self._process.kill()
        code = self._process.wait()
        self._socket.close()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    def _received(self, deadline: float) -> bytes:
        length = int.from_bytes(self._exactly(_LENGTH_BYTES, deadline))
        if length > _MAX_ANSWER_BYTES:
            raise _WorkerFailed
        return self._exactly(length, deadline)

    def _exactly(self, n_bytes: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < n_bytes:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                piece = self._socket.recv(n_bytes - len(received))
            except ConnectionError:
                piece = b""
            if not piece:
                raise _WorkerFailed
            received += piece
        return bytes(received)


@contextmanager
def _descriptor(file: BinaryIO) -> Iterator[int]:
    """To read `file` by: its own, or, where it lies in memory, one of a copy."""
    try:
        own = file.fileno()
    except io.UnsupportedOperation:
        own = None
    if own is not None:
        yield own
        return
    copy = os.memfd_create("upload", os.MFD_CLOEXEC)
    try:
        file.seek(0)
        with open(copy, "wb", closefd=False) as target:
            target.write(file.read())
        yield copy
    finally:
        os.close(copy)


@contextmanager
def _place(n_bytes: int) -> Iterator[int]:
    """Memory for pixels that a worker can fill; what it does not touch costs nothing."""
    descriptor = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, n_bytes)
        yield descriptor
    finally:
        os.close(descriptor)


def _image(answer: _Answer, pixels: int) -> DecodedImage | None:
    """The image, if there is one and what is said of it fits; see `_sealed`."""
    said = answer.image
    if said is None:
        return None
    shape = said.height, said.width
    if shape != (said.metadata.height, said.metadata.width):
        raise ValueError
    grey: Any = np.frombuffer(_sealed(pixels, said.height * said.width), np.uint8).reshape(shape)
    return DecodedImage(grey, said.metadata, said.patient, said.refused, said.how)


def _stored_image(answer: _Answer, pixels: int) -> StoredImage | None:
    """Likewise."""
    said = answer.stored
    if said is None:
        return None
    shape = said.height, said.width
    memory = _sealed(pixels, 2 * said.height * said.width)
    values: Any = np.frombuffer(memory, np.uint16).reshape(shape)
    return StoredImage(values, said.greys)


def _frame(answer: _Answer, pixels: int) -> NDArray[Any] | None:
    """Likewise."""
    said = answer.frame
    if said is None:
        return None
    kind = np.dtype(said.dtype)
    memory = _sealed(pixels, kind.itemsize * math.prod(said.shape))
    values: NDArray[Any] = np.frombuffer(memory, kind).reshape(said.shape)
    return values


def _sealed(pixels: int, n_bytes: int) -> mmap.mmap:
    """The first bytes that the worker wrote; nobody can change them any more.

    Raises:
        OSError: the worker still writes there.
        ValueError: it cannot have written so many.
    """
    if n_bytes > os.fstat(pixels).st_size:
        raise ValueError
    os.ftruncate(pixels, n_bytes)
    # Without, a worker could take away from under us what we read.
    fcntl.fcntl(pixels, fcntl.F_ADD_SEALS, _SEALS)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    return mmap.mmap(pixels, n_bytes, flags=flags, prot=mmap.PROT_READ)
