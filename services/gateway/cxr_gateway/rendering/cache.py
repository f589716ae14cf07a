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
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_contracts import Finding, Region
from cxr_gateway.analysis.analyzer import Analyzer
from cxr_gateway.archive import (
    GREYS_NAME,
    IMAGE_NAME,
    PIXELS_NAME,
    Archive,
    StoredFile,
    StoredStudy,
)
from cxr_gateway.core.background import guarded, idle_for, in_background
from cxr_gateway.core.locks import NamedLocks
from cxr_gateway.core.schemas import Box, StoredGreys, Study
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import DecodedImage, Limits, StoredImage
from cxr_gateway.rendering import Turn, render_heatmap, render_image, render_overlay, render_pixels
from cxr_gateway.rendering.corners import Corners, corners_of
from cxr_serving.errors import NotFound

_MAX_WAITING = 256


@dataclass(frozen=True)
class Look:
    """How a person looks at a study.

    Attributes:
        window: the stored levels that are black and white; None as `image.png` shows them.
        inverted: black and white exchanged.
        boxes: whether any are drawn.
        hidden: regions that are not.
        least_score: boxes of a lower score are not.
        heatmap: whose map is laid over the image.
        opacity: of that map, 0 to 1.
        mirrored: left and right exchanged, before it is turned.
        turned: clockwise, in degrees: 0, 90, 180 or 270.
        identifiers: whether patient and study stand in the corners.
    """

    window: tuple[float, float] | None = None
    inverted: bool = False
    boxes: bool = True
    hidden: frozenset[Region] = frozenset()
    least_score: float = 0.0
    heatmap: Finding | None = None
    opacity: float = 0.5
    mirrored: bool = False
    turned: int = 0
    identifiers: bool = False

    def shows(self, box: Box) -> bool:
        """Whether `box` is drawn where any is."""
        return box.finding not in self.hidden and box.score >= self.least_score


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

    async def pixels(self, study_id: str, department: str | None) -> StoredFile:
        """The greys of the file itself, as a 16-bit PNG."""
        return await self._pixels(await self._archive.get(study_id, department), PIXELS_NAME)

    async def greys(self, study_id: str, department: str | None) -> StoredGreys:
        """What these greys are."""
        kept = await self._pixels(await self._archive.get(study_id, department), GREYS_NAME)
        read = partial(self._archive.files.read, kept.study_id, kept.name)
        return StoredGreys.model_validate_json(await self._archive.in_thread(read))

    async def view(self, study_id: str, department: str | None, look: Look) -> bytes:
        """The overlay as a person looks at the study; it is made anew each time.

        Raises:
            NotFound: no such study, or it has no heat map of the finding.
        """
        stored = await self._archive.get(study_id, department)
        grid = next((cam.values for cam in stored.cams if cam.finding is look.heatmap), None)
        if look.heatmap is not None and grid is None:
            raise NotFound(f"This study has no heat map of {look.heatmap.value}.")
        return await self._analyzer.in_thread(partial(self._view, stored, look, grid))

    def _view(self, stored: StoredStudy, look: Look, grid: list[list[float]] | None) -> bytes:
        if look.window is None:
            grey = self._decoded(stored).grey
        else:
            grey = windowed(self._stored(stored).values, *look.window)
        study = stored.study
        shown = [box for box in study.boxes if look.boxes and look.shows(box)]
        heatmap = None
        if grid is not None:
            png = render_heatmap(grid, study.image.width, study.image.height)
            heatmap = faded(png, look.opacity)
        grey = 255 - grey if look.inverted else grey
        turn = Turn(look.turned // 90, look.mirrored)
        size = study.image.width, study.image.height
        boxes = [turn.box(box, size) for box in shown]
        above = None if heatmap is None else turn.image(heatmap)
        turned_study = study.model_copy(update={"boxes": boxes})
        corners = corners_of(study) if look.identifiers else None
        return overlay_png(turn.array(grey), turned_study, above, turn.told, corners)

    async def heatmap(self, study_id: str, finding: Finding, department: str | None) -> StoredFile:
        """Where the evidence for `finding` lies; NotFound if the study has no map of it."""
        stored = await self._archive.get(study_id, department)
        grid = next((cam.values for cam in stored.cams if cam.finding == finding), None)
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
            stored, stored.overlay, lambda: overlay_png(self._decoded(stored).grey, stored.study)
        )

    async def _pixels(self, stored: StoredStudy, name: str) -> StoredFile:
        # Both are made at once: decoding is what takes time.
        def make() -> bytes:
            found = self._stored(stored)
            made = {
                PIXELS_NAME: render_pixels(found.values),
                GREYS_NAME: found.greys.model_dump_json().encode(),
            }
            wanted = made.pop(name)
            for other, content in made.items():
                self._archive.files.write(stored.id, other, content)
            return wanted

        return await self._kept(stored, name, make)

    async def _kept(self, stored: StoredStudy, name: str, make: Callable[[], bytes]) -> StoredFile:
        files = self._archive.files
        found = StoredFile(stored.id, name, "image/png", f"{stored.id}-{name}")
        async with self._making.hold(found.tag):
            if not await self._archive.in_thread(files.has, stored.id, name):
                png = await self._analyzer.in_thread(make)
                await self._archive.in_thread(files.write, stored.id, name, png)
        return found

    def _decoded(self, stored: StoredStudy) -> DecodedImage:
        with self._archive.files.opened(stored.id, stored.original) as file:
            return self._analyzer.decoder.decode(file, self._limits)

    def _stored(self, stored: StoredStudy) -> StoredImage:
        with self._archive.files.opened(stored.id, stored.original) as file:
            return self._analyzer.decoder.stored(file, self._limits)


def windowed(values: NDArray[np.uint16], black: float, white: float) -> NDArray[np.uint8]:
    """Stored greys, uint16 [H, W], between two levels: `black` is 0 and `white` 255."""
    levels = np.arange(1 << 16, dtype=np.float64)
    shown = np.clip((levels - black) / max(white - black, 1e-6), 0.0, 1.0) * 255.0
    lookup: NDArray[np.uint8] = np.rint(shown).astype(np.uint8)
    grey: NDArray[np.uint8] = lookup[values]
    return grey


def faded(png: bytes, opacity: float) -> Image.Image:
    """A transparent PNG as RGBA, `opacity` (0 to 1) of it."""
    image = Image.open(BytesIO(png)).convert("RGBA")
    image.putalpha(image.getchannel("A").point([round(level * opacity) for level in range(256)]))
    return image


def overlay_png(
    grey: NDArray[np.uint8],
    study: Study,
    laid_over: Image.Image | None = None,
    told: str | None = None,
    corners: Corners | None = None,
) -> bytes:
    """A study's overlay, with a note of what is missing or why it was rejected.

    `told` is said first: whoever looks at a turned image has to know that it is.
    """
    notes = [] if told is None else [told]
    notes += [problem.detail for problem in study.problems]
    if study.ood.reason is not None:
        notes.append(study.ood.reason)
    if study.calibrated is False:
        notes.append("Not calibrated here: nobody measured the imported classifier on this site.")
    return render_overlay(
        grey,
        boxes=study.boxes,
        findings=study.findings,
        triage=study.triage,
        models=study.models,
        received_at=study.received_at,
        note=" ".join(notes) or None,
        laid_over=laid_over,
        corners=corners,
    )
