"""The page: the built single-page app's files, served under `/`."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

from cxr_gateway.access.permissions import API_PREFIXES
from cxr_gateway.core.request_state import has_operation
from cxr_serving.errors import NotFound

INDEX = "index.html"
# Pages of their own beside the app, by their paths.
_PAGES = {"docs": "docs.html"}
# The build puts a hash of the content into the names under assets/.
_FOREVER = "public, max-age=31536000, immutable"
_ASK_EACH_TIME = "no-cache"
_NO_PAGE = (
    "The page is not built: run `make page`, or use the REST API under /api/v1 "
    "(its description is at /openapi.json).\n"
)


def add_page(app: FastAPI, page_dir: Path) -> None:
    """Serve `page_dir`; call it last, for it takes every path that no other route has."""
    files = StaticFiles(directory=page_dir, check_dir=False)

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def get_page(path: str, request: Request) -> Response:
        if f"/{path}".startswith(API_PREFIXES):
            if not has_operation(request):
                raise HTTPException(405)  # the path has others
            raise NotFound(f"There is nothing at /{path}.")
        if not (page_dir / INDEX).is_file():
            if path:
                raise NotFound(f"There is nothing at /{path}.")
            return PlainTextResponse(_NO_PAGE)
        return await _file(files, path, request)


async def _file(files: StaticFiles, path: str, request: Request) -> Response:
    try:
        response = await files.get_response(_PAGES.get(path, path) or INDEX, request.scope)
    except HTTPException as error:
        # The app's own routes have no dot in them; what has one is a file that is not there.
        if error.status_code != 404 or "." in path.rpartition("/")[2]:
            raise
        response = await files.get_response(INDEX, request.scope)
    in_assets = path.startswith("assets/")
    response.headers["Cache-Control"] = _FOREVER if in_assets else _ASK_EACH_TIME
    return response
