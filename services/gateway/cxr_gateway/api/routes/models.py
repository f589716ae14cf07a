"""`/api/v1/models`, `/api/v1/shadow/{role}`: what answers, was promoted, and reads beside it."""

from functools import partial
from typing import get_args

from fastapi import APIRouter

from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.shadow.promotions import Promotion, promotion_history
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
    responses=problem_responses(503),
)
async def get_models(parts: AppStateDep) -> ModelsStatus:
    """As this gateway sees it now; another may be some seconds behind a promotion."""
    answering = {status.role: status for status in await parts.readers.status()}
    shadows = {status.role: status for status in await parts.readers.shadow_status()}
    names: tuple[RoleName, ...] = get_args(RoleName)
    return ModelsStatus(
        roles=[
            RoleModels(role=role, answering=answering[role], shadow=shadows.get(role))
            for role in names
        ],
        history=[_entry(one) for one in await parts.archive.query(promotion_history)],
    )


@router.get(
    "/shadow/{role}",
    operation_id="getShadowReport",
    summary="A shadow's answers beside the shown ones",
    response_model=ShadowReport,
    responses=problem_responses(404, 422, 503),
)
async def get_shadow_report(role: RoleName, parts: AppStateDep) -> ShadowReport:
    """Of the pair of models that was recorded last; nothing here is shown with a study."""
    report = await parts.archive.query(partial(shadow_report, role=role))
    if report is None:
        raise NotFound(f"No answer of a shadow {role} is recorded.")
    return report


def _entry(promotion: Promotion) -> PromotionEntry:
    return PromotionEntry.model_validate(
        {name: getattr(promotion, name) for name in PromotionEntry.model_fields}
    )
