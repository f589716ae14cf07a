"""`/problems`: what the `type` of a problem body means."""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from cxr_gateway.api.documents import problem_responses
from cxr_gateway.api.problems import CATALOGUE, ProblemType, problem_type

router = APIRouter(prefix="/problems", tags=["problems"])


@router.get(
    "",
    operation_id="listProblemTypes",
    summary="All types of problems",
    response_model=list[ProblemType],
    responses={200: {"description": "The catalogue."}},
)
async def list_problem_types() -> list[ProblemType]:
    """A type keeps its meaning; new ones may come."""
    return [*CATALOGUE]


@router.get(
    "/{name}",
    operation_id="getProblemType",
    summary="What a type of problem means",
    response_model=ProblemType,
    responses={
        200: {
            "description": "The type; a page for whoever prefers `text/html`.",
            "content": {"text/html": {"schema": {"type": "string"}}},
        },
        **problem_responses(404, 422, because={404: "There is no such type of problem."}),
    },
)
async def get_problem_type(
    name: Annotated[str, Path(max_length=100, description="The last part of the `type`.")],
    request: Request,
) -> Response:
    """JSON unless the client names `text/html` first, as a browser does."""
    found = problem_type(name)
    if request.headers.get("accept", "").lstrip().startswith("text/html"):
        return HTMLResponse(_page(found))
    return Response(found.model_dump_json(), media_type="application/json")


def _page(one: ProblemType) -> str:
    members = "".join(
        f"<dt><code>{escape(each.name)}</code></dt><dd>{escape(each.description)}</dd>"
        for each in one.members
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(one.title)}</title>'
        f"<h1>{one.status} {escape(one.title)}</h1><p><code>{escape(one.type)}</code></p>"
        f"<p>{escape(one.meaning)}</p><p>{escape(one.advice)}</p><dl>{members}</dl></html>\n"
    )
