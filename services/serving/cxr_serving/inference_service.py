"""The frame of an inference service: from an upload to a model's output, bounded at every step."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
from fastapi import FastAPI, Request

from cxr_contracts import ImageSize, ModelManifest
from cxr_serving.admission import Admission
from cxr_serving.batch_size import best_batch_size
from cxr_serving.batching import MicroBatcher
from cxr_serving.disconnect import run_while_connected
from cxr_serving.errors import UnknownCaller
from cxr_serving.imaging import DecodedImage, ImageLimits, decode_grey
from cxr_serving.metrics import BatchMetrics, ServiceMetrics
from cxr_serving.model_folder import ModelFolderError, identity_of
from cxr_serving.runtime import DeviceError
from cxr_serving.service import Readiness
from cxr_serving.settings import MOST_ON_A_GPU, InferenceSettings
from cxr_serving.tracing import Tracing
from cxr_serving.uploads import read_single_file

Prepared = TypeVar("Prepared")
Output = TypeVar("Output")
Output_co = TypeVar("Output_co", covariant=True)
IMAGE_FIELD = "image"
# Boundaries and part headers around the one file.
FORM_OVERHEAD_BYTES = 65_536
_BLANK_PX = 512
_log = logging.getLogger("cxr.inference")


class Predictor(Protocol[Prepared, Output_co]):
    """A loaded model of a service."""

    @property
    def manifest(self) -> ModelManifest:
        """What the model's folder says of it."""
        ...

    @property
    def runtime(self) -> str:
        """`onnxruntime`, `onnxruntime-int8` or `torch`."""
        ...

    @property
    def device(self) -> str:
        """`cpu` or `cuda:N`."""
        ...

    def prepare(self, image: DecodedImage) -> Prepared:
        """The network's input for one image; called in many threads at once."""
        ...

    def predict(self, batch: Sequence[Prepared]) -> Sequence[Output_co]:
        """One output for each input, in order; called in one thread only."""
        ...


class InferenceService(Generic[Prepared, Output]):
    """Loads a model, says when it is ready, and runs uploads through it.

    Args:
        role: `classifier` or `detector`.
        settings: Limits and sizes.
        load: Opens, checks and loads the model; runs in the model's thread.
    """

    def __init__(
        self,
        role: str,
        settings: InferenceSettings,
        load: Callable[[], Predictor[Prepared, Output]],
    ) -> None:
        self.role = role
        self.settings = settings
        self.readiness = Readiness("The model is being loaded.")
        self.metrics = ServiceMetrics()
        self.failed = False
        self.on_failure: Callable[[], None] | None = None
        self._load = load
        self._predictor: Predictor[Prepared, Output] | None = None
        # Of any device, until the model is loaded.
        self._most_at_once = settings.max_batch_size or MOST_ON_A_GPU
        self._limits = ImageLimits(max_pixels=settings.max_pixels)
        self.tracing = Tracing(role, settings.resolved_traces_endpoint)
        self._stages = self.metrics.stages(
            "cxr_inference_stage_seconds", "Stages of a request: upload, decode, prepare, model."
        )
        self._batch_metrics = BatchMetrics(
            self.metrics.registry, self._most_at_once, settings.max_queue_length
        )

    @property
    def predictor(self) -> Predictor[Prepared, Output]:
        """The loaded model. Raises Unavailable as long as there is none."""
        self.readiness.check()
        if self._predictor is None:
            raise RuntimeError("a service without a model says that it is ready")
        return self._predictor

    @property
    def max_batch_size(self) -> int:
        """Most images in one run of the model; measured once it is loaded."""
        return self._batcher.max_batch_size

    @property
    def max_body_bytes(self) -> int:
        """The largest request that is accepted."""
        return self.settings.max_upload_bytes + FORM_OVERHEAD_BYTES

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Start the threads, load the model beside the probes, and end everything in the end."""
        del app
        settings = self.settings
        self._batcher: MicroBatcher[Prepared, Output] = MicroBatcher(
            self._predict,
            max_batch_size=self._most_at_once,
            max_wait_ms=settings.max_wait_ms,
            max_queue_length=settings.max_queue_length,
            name=self.role,
            metrics=self._batch_metrics,
        )
        self._admission = Admission(
            max_requests=settings.max_queue_length + self._most_at_once,
            max_bytes=settings.max_inside_bytes,
            unknown_bytes=self.max_body_bytes,
            retry_after_s=lambda: self._batcher.retry_after_s,
        )
        self._decoders = ThreadPoolExecutor(settings.decode_threads, f"{self.role}-decode")
        await self._batcher.start()
        self._loading = asyncio.create_task(self._load_model(), name=f"{self.role}-load")
        try:
            yield
        finally:
            self.readiness.mark_unready("The service is shutting down.")
            await asyncio.wait([self._loading])
            await self._batcher.close()
            await asyncio.to_thread(self._decoders.shutdown)

    async def loaded(self) -> bool:
        """Wait until the model is loaded, or has failed to; which of the two."""
        await asyncio.wait([self._loading])
        return not self.failed

    async def infer(
        self, request: Request, adapt: Callable[[Prepared], Prepared] = lambda prepared: prepared
    ) -> tuple[ImageSize, Output]:
        """The size of the image in a multipart request, and what the model says of it.

        Args:
            request: With one file.
            adapt: What this request asks of the model beyond its image.

        Raises:
            ServiceError: The request, the file or the state of this service does not allow it.
            ClientDisconnect: The client has gone.
        """
        self._check_caller(request)
        self.readiness.check()
        with self._admission.admit(request):
            with self._stages.measure("upload"):
                upload = await read_single_file(request, IMAGE_FIELD)
            return await run_while_connected(request, self._infer(upload.data, adapt))

    def _check_caller(self, request: Request) -> None:
        expected = self.settings.service_token.get_secret_value()
        given = request.headers.get("authorization", "")
        if expected and not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
            raise UnknownCaller("This service answers its gateway, which has its token.")

    async def _infer(
        self, data: bytes, adapt: Callable[[Prepared], Prepared]
    ) -> tuple[ImageSize, Output]:
        loop = asyncio.get_running_loop()
        traced = copy_context()
        size, prepared = await loop.run_in_executor(self._decoders, traced.run, self._prepare, data)
        with self._stages.measure("model"):
            output = await self._batcher.submit(adapt(prepared))
        return size, output

    def _prepare(self, data: bytes) -> tuple[ImageSize, Prepared]:
        with self._stages.measure("decode"):
            image = decode_grey(data, self._limits)
        with self._stages.measure("prepare"):
            prepared = self.predictor.prepare(image)
        # Only its size goes on: dozens of large images may wait for the model.
        return ImageSize(width=image.width, height=image.height), prepared

    def _predict(self, batch: Sequence[Prepared]) -> Sequence[Output]:
        return self.predictor.predict(batch)

    async def _load_model(self) -> None:
        started = time.perf_counter()
        try:
            predictor = await self._batcher.call(self._load)
            self._batcher.max_batch_size = await self._batcher.call(
                partial(
                    _measured_batch_size, predictor, self.settings.most_at_once(predictor.device)
                )
            )
        except Exception as error:
            self.failed = True
            if isinstance(error, ModelFolderError | DeviceError):
                _log.critical("The %s cannot start: %s", self.role, error)
            else:
                _log.critical("The %s cannot start: %r", self.role, error, exc_info=error)
            self.readiness.mark_unready("The model could not be loaded; the log says why.")
            if self.on_failure is not None:
                self.on_failure()
            return
        self._predictor = predictor
        manifest = predictor.manifest
        self.metrics.name_model(self.role, identity_of(manifest))
        self.readiness.mark_ready()
        _log.info(
            "The %s is ready: %s %s on %s (%s).",
            self.role,
            manifest.name,
            manifest.version,
            predictor.runtime,
            predictor.device,
            extra={
                "load_s": round(time.perf_counter() - started, 2),
                "images_at_once": self.max_batch_size,
            },
        )


def _measured_batch_size(predictor: Predictor[Prepared, Output], most: int) -> int:
    blank = predictor.prepare(DecodedImage(np.zeros((_BLANK_PX, _BLANK_PX), np.uint8), "png"))
    return best_batch_size(lambda size: predictor.predict([blank] * size), most)
