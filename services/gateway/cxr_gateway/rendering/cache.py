"""The images of a study, made once from the archived original and result, then kept.

None is made while a client waits for an analysis. A worker makes image and overlay when the gateway
has been idle for a moment; an image that is asked for earlier is made at once. Either way it
follows from what is archived alone, so it does not matter when it is made. A new analysis of a
study has new images.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from cxr_contracts import Finding
from cxr_gateway.analysis.analyzer import Analyzer
from cxr_gateway.archive import IMAGE_NAME, Archive, StoredFile, StoredStudy
from cxr_gateway.core.background import guarded, idle_for, in_background
from cxr_gateway.core.locks import NamedLocks
from cxr_gateway.core.schemas import Study
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import DecodedImage, Limits, read_upload
from cxr_gateway.rendering import render_heatmap, render_image, render_overlay
from cxr_serving.errors import NotFound

_MAX_WAITING = 256


class RenderedImages:
    """Finds or makes images; NotFound for a study that is not there, or another department's."""

    def __init__(self, archive: Archive, analyzer: Analyzer, settings: GatewaySettings) -> None:
        self._archive = archive
        self._analyzer = analyzer
        # What was accepted once can be drawn later, whatever the limits are by then.
        self._limits = Limits(max_bytes=1 << 40, max_pixels=1 << 40)
        self._idle_s = settings.rendering_idle_s
        self._making = NamedLocks()
        self._waiting: asyncio.Queue[StoredStudy] = asyncio.Queue(_MAX_WAITING)

    async def image(self, study_id: str, department: str | None) -> StoredFile:
        """The rendered radiograph."""
        return await self._image(await self._archive.get(study_id, department))

    async def overlay(self, study_id: str, department: str | None) -> StoredFile:
        """The radiograph with boxes, findings, priority and models burnt in."""
        return await self._overlay(await self._archive.get(study_id, department))

    async def heatmap(self, study_id: str, finding: Finding, department: str | None) -> StoredFile:
        """Where the evidence for `finding` lies; NotFound if the study has no map of it."""
        stored = await self._archive.get(study_id, department)
        grid = next((cam.values for cam in stored.cams if cam.finding is finding), None)
        if grid is None:
            raise NotFound(f"This study has no heat map of {finding.value}.")
        metadata = stored.study.image
        make = partial(render_heatmap, grid, metadata.width, metadata.height)
        return await self._kept(stored, stored.heatmap(finding), make)

    async def original(
        self, study_id: str, department: str | None
    ) -> tuple[StoredStudy, StoredFile]:
        """The file as it was uploaded."""
        stored = await self._archive.get(study_id, department)
        media_type, tag = stored.original_media_type, stored.content_sha256
        return stored, StoredFile(stored.id, stored.original, media_type, tag)

    def expect(self, stored: StoredStudy) -> None:
        """Have the images of a new analysis made in an idle moment; if too many wait, later."""
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(stored)

    @asynccontextmanager
    async def made_when_idle(self, idle: asyncio.Event) -> AsyncIterator[None]:
        """Run the worker that makes expected images while nobody is being served."""
        async with in_background(partial(self._work, idle)):
            yield

    async def _work(self, idle: asyncio.Event) -> None:
        while True:
            stored = await self._waiting.get()
            for make in (self._image, self._overlay):
                await idle_for(idle, self._idle_s)
                # One that fails is made, or fails with its reason, when somebody asks for it.
                await guarded(partial(make, stored), "an image could not be rendered ahead")

    async def _image(self, stored: StoredStudy) -> StoredFile:
        return await self._kept(
            stored, IMAGE_NAME, lambda: render_image(self._decoded(stored).grey)
        )

    async def _overlay(self, stored: StoredStudy) -> StoredFile:
        return await self._kept(
            stored, stored.overlay, lambda: _overlay_png(self._decoded(stored), stored.study)
        )

    async def _kept(self, stored: StoredStudy, name: str, make: Callable[[], bytes]) -> StoredFile:
        files = self._archive.files
        found = StoredFile(stored.id, name, "image/png", f"{stored.id}-{name}")
        async with self._making.hold(found.tag):
            if not await self._archive.in_thread(files.has, stored.id, name):
                png = await self._analyzer.in_thread(make)
                await self._archive.in_thread(files.write, stored.id, name, png)
        return found

    def _decoded(self, stored: StoredStudy) -> DecodedImage:
        content = self._archive.files.read(stored.id, stored.original)
        return read_upload(content, limits=self._limits)


def _overlay_png(decoded: DecodedImage, study: Study) -> bytes:
    notes = [problem.detail for problem in study.problems]
    if study.ood.reason is not None:
        notes.append(study.ood.reason)
    return render_overlay(
        decoded.grey,
        boxes=study.boxes,
        top_findings=study.top_findings,
        triage=study.triage,
        models=study.models,
        received_at=study.received_at,
        note=" ".join(notes) or None,
    )
