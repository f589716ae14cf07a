"""`/api/v1/models`, `/api/v1/shadow/{role}`: what answers, was promoted, and reads beside it."""

from functools import partial
from typing import Annotated, get_args

from fastapi import APIRouter, Path, Response

from cxr_gateway.api.conditional import IfNoneMatch, json_response, tagged
from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.archive.promotions import Promotion, promotion_history
from cxr_gateway.shadow.report import shadow_report
from cxr_gateway.shadow.schemas import (
    ModelsStatus,
    PromotionEntry,
    RoleModels,
    RoleName,
    ShadowReport,
)
from cxr_serving.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["models"])


@router.get(
    "/models",
    operation_id="getModels",
    summary="Which models answer, their shadows, and what was promoted",
    response_model=ModelsStatus,
    responses={
        **tagged("Both roles, and the history of promotions."),
        **problem_responses(503),
    },
)
async def get_models(state: AppStateDep, if_none_match: IfNoneMatch = None) -> Response:
    """As this gateway sees it now; another may be some seconds behind a promotion."""
    active = {status.role.value: status for status in await state.router.status()}
    shadows = {status.role.value: status for status in await state.router.shadow_status()}
    names: tuple[RoleName, ...] = get_args(RoleName)
    found = ModelsStatus(
        roles=[
            RoleModels(role=role, active=active[role], shadow=shadows.get(role)) for role in names
        ],
        history=[_entry(one) for one in await state.archive.query(promotion_history)],
    )
    return json_response(found.model_dump_json(), if_none_match)


@router.get(
    "/shadow/{role}",
    operation_id="getShadowReport",
    summary="A shadow's answers beside the shown ones",
    response_model=ShadowReport,
    responses={
        **tagged("The two models, side by side."),
        **problem_responses(
            *(404, 422, 503), because={404: "No answer of a shadow of this role is recorded."}
        ),
    },
)
async def get_shadow_report(
    role: Annotated[RoleName, Path(description="What the shadow does.")],
    state: AppStateDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Of the pair of models that was recorded last; nothing here is shown with a study."""
    report = await state.archive.query(partial(shadow_report, role=role))
    if report is None:
        raise NotFound(f"No answer of a shadow {role} is recorded.")
    return json_response(report.model_dump_json(), if_none_match)


def _entry(promotion: Promotion) -> PromotionEntry:
    return PromotionEntry.model_validate(
        {name: getattr(promotion, name) for name in PromotionEntry.model_fields}
    )
