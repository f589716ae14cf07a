"""The images of a study: rendered, burnt-in overlay, heat maps, and the file as it came."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from cxr_contracts import Finding
from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep
from cxr_gateway.api.documents import png_response, problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.archive import StoredFile

router = APIRouter(prefix="/api/v1/studies/{study_id}", tags=["images"])

_PROBLEMS = problem_responses(404, 422, 503, 507)
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
    "/overlay.png",
    operation_id="getStudyOverlay",
    summary="The radiograph with the findings burnt in",
    response_class=Response,
    responses={**png_response("Boxes, top findings, priority and models."), **_PROBLEMS},
)
async def get_study_overlay(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The image that a doctor can save."""
    found = await state.images.overlay(study_id, principal.department)
    return await _png(found, state, if_none_match)


@router.get(
    "/heatmaps/{finding}.png",
    operation_id="getStudyHeatmap",
    summary="Where a finding's evidence lies",
    response_class=Response,
    responses={**png_response("RGBA, of the image's size, to lay over it."), **_PROBLEMS},
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
        200: {
            "description": "The uploaded bytes, as a download under a safe name.",
            "content": {
                media: {"schema": {"type": "string", "format": "binary"}}
                for media in ("image/png", "image/jpeg", "application/dicom")
            },
        },
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
