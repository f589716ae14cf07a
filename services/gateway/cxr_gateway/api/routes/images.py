"""The images of a study: rendered, burnt-in overlay, heat maps, and the file as it came."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from cxr_contracts import Finding, Region
from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep
from cxr_gateway.api.documents import (
    NO_STUDY,
    file_response,
    header,
    png_response,
    problem_responses,
)
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.api.upload import RAW_TYPES
from cxr_gateway.archive import StoredFile
from cxr_gateway.core.schemas import StoredGreys
from cxr_gateway.rendering.cache import Look
from cxr_serving.errors import Overloaded, Unprocessable

router = APIRouter(prefix="/api/v1/studies/{study_id}", tags=["images"])

_PROBLEMS = problem_responses(404, 422, 503, 507, Overloaded)
_MAP_PROBLEMS = problem_responses(
    *(404, 422, 503, 507),
    Overloaded,
    because={404: f"{NO_STUDY} Or it has no heat map of this finding."},
)
_GREYS = {
    "bits": 12,
    "darkest": 0,
    "brightest": 4071,
    "black": 512.0,
    "white": 3583.0,
    "spacing": {"mm": 0.143, "source": "ImagerPixelSpacing"},
    "sided": True,
}
Quarter = Annotated[int, Query(ge=0, le=270, multiple_of=90, description="Clockwise, in degrees.")]
Level = Annotated[float, Field(ge=-65535, le=131070, allow_inf_nan=False)]


def look_of(
    *,
    black: Annotated[Level | None, Query(description="Of `pixels.png`; with `white`.")] = None,
    white: Annotated[Level | None, Query(description="Greater than `black`.")] = None,
    inverted: Annotated[bool, Query(description="Bright for dark.")] = False,
    boxes: Annotated[bool, Query(description="Whether boxes are drawn.")] = True,
    hide: Annotated[list[Region] | None, Query(description="Repeat it.")] = None,
    least_score: Annotated[float, Query(ge=0, le=1, description="Of the boxes drawn.")] = 0.0,
    heatmap: Annotated[Finding | None, Query(description="Laid over the image.")] = None,
    opacity: Annotated[float, Query(ge=0, le=1, description="Of the heat map.")] = 0.5,
    mirrored: Annotated[bool, Query(description="Left for right, before it is turned.")] = False,
    turned: Quarter = 0,
    identifiers: Annotated[
        bool, Query(description="Whether patient and study are written into the upper corners.")
    ] = False,
) -> Look:
    """How the radiograph is to be drawn.

    Raises:
        Unprocessable: half a window, or one of no width.
    """
    window = None
    if black is not None or white is not None:
        if black is None or white is None or white <= black:
            raise Unprocessable("A window needs `black` and a greater `white`.")
        window = (black, white)
    hidden = frozenset(hide or ())
    return Look(
        window=window,
        inverted=inverted,
        boxes=boxes,
        hidden=hidden,
        least_score=least_score,
        heatmap=heatmap,
        opacity=opacity if heatmap else Look.opacity,
        mirrored=mirrored,
        turned=turned,
        identifiers=identifiers,
    )


LookDep = Annotated[Look, Depends(look_of)]
IfNoneMatch = Annotated[str | None, Header(include_in_schema=False)]


@router.get(
    "/image.png",
    operation_id="getStudyImage",
    summary="The radiograph as a PNG",
    response_class=Response,
    responses={**png_response("8-bit grey, of the uploaded size."), **_PROBLEMS},
)
async def get_study_image(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The canonical grey image: window applied, MONOCHROME1 turned."""
    found = await state.images.image(study_id, principal.department)
    return await _png(found, state, if_none_match)


@router.get(
    "/pixels",
    operation_id="getStudyGreys",
    summary="What `pixels.png` holds, and how large a pixel is",
    response_model=StoredGreys,
    responses={
        200: {
            "description": "Depth, range, window and pixel spacing.",
            "content": {"application/json": {"example": _GREYS}},
        },
        **_PROBLEMS,
    },
)
async def get_study_greys(
    study_id: StudyIdPath, state: AppStateDep, principal: PrincipalDep
) -> StoredGreys:
    """Of the file itself: its depth, where the image's window lies in it, its pixel spacing."""
    return await state.images.greys(study_id, principal.department)


@router.get(
    "/pixels.png",
    operation_id="getStudyPixels",
    summary="The greys of the file itself, without a window",
    response_class=Response,
    responses={**png_response("16-bit grey, of the image's size; lossless."), **_PROBLEMS},
)
async def get_study_pixels(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A greater value is brighter. `pixels` says which of them `image.png` shows black and white.

    Turned and square like `image.png`; of a file of 8 bits, or in colour, the greys are the same.
    """
    found = await state.images.pixels(study_id, principal.department)
    return await _png(found, state, if_none_match)


@router.get(
    "/overlay.png",
    operation_id="getStudyOverlay",
    summary="The radiograph with the findings burnt in",
    response_class=Response,
    responses={**png_response("Boxes, top findings, priority and models."), **_MAP_PROBLEMS},
)
async def get_study_overlay(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    look: LookDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The image that a doctor can save; with parameters, as the doctor looks at it."""
    if look != Look():
        png = await state.images.view(study_id, principal.department, look)
        return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})
    found = await state.images.overlay(study_id, principal.department)
    return await _png(found, state, if_none_match)


@router.get(
    "/heatmaps/{finding}.png",
    operation_id="getStudyHeatmap",
    summary="Where a finding's evidence lies",
    response_class=Response,
    responses={**png_response("RGBA, of the image's size, to lay over it."), **_MAP_PROBLEMS},
)
async def get_study_heatmap(
    study_id: StudyIdPath,
    finding: Annotated[Finding, Path(description="One of the study's `heatmaps`.")],
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The class activation map of one of the study's top findings."""
    found = await state.images.heatmap(study_id, finding, principal.department)
    return await _png(found, state, if_none_match)


@router.get(
    "/original",
    operation_id="getStudyOriginal",
    summary="The file as it was uploaded",
    response_class=Response,
    responses={
        **file_response(
            "The uploaded bytes, as a download under a safe name.",
            *RAW_TYPES,
            ETag=header("Of the file; from a bucket there is none.", '"d41d8cd9"'),
        ),
        **problem_responses(404, 422, 503),
    },
)
async def get_study_original(
    study_id: StudyIdPath, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """The uploaded bytes; the name is the study's id, never the client's."""
    stored, original = await state.images.original(study_id, principal.department)
    headers = {"Content-Disposition": f'attachment; filename="{stored.download_name}"'}
    return await _sent(original, state, headers)


async def _png(stored: StoredFile, state: AppState, if_none_match: str | None) -> Response:
    # The name under which an image is kept changes with each analysis, so it can be the tag.
    headers = {"ETag": f'"{stored.tag}"', "Cache-Control": "private, no-cache"}
    if if_none_match and f'"{stored.tag}"' in if_none_match:
        return Response(status_code=304, headers=headers)
    return await _sent(stored, state, headers)


class _WholeFile(FileResponse):
    """A file without its parts: they are small, a bucket's come whole, and whoever asks for a
    range of any unit has to be ready for that (RFC 9110, 14.2).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        asked = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": asked}, receive, send)


async def _sent(stored: StoredFile, state: AppState, headers: dict[str, str]) -> Response:
    files, place = state.archive.files, (stored.study_id, stored.name)
    if (path := files.local(*place)) is not None:
        whole = headers | {"Accept-Ranges": "none"}
        return _WholeFile(path, media_type=stored.media_type, headers=whole)
    content = await state.archive.in_thread(files.read, *place)
    return Response(content, media_type=stored.media_type, headers=headers)
