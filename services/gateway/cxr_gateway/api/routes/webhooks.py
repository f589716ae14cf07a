"""`/api/v1/webhooks`: other systems that are told of changes, registered by administrators."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from cxr_gateway.api.conditional import IfNoneMatch, json_response, tagged
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.archive.webhooks import (
    DeliveryState,
    add_webhook,
    deliveries_of,
    remove_webhook,
    revive,
    webhook,
    webhooks_of,
)
from cxr_gateway.core.errors import Forbidden
from cxr_gateway.core.request_state import set_details
from cxr_gateway.webhooks.schemas import (
    CreatedWebhook,
    NewWebhook,
    Webhook,
    WebhookDeliveries,
    WebhookDelivery,
    WebhookList,
)
from cxr_gateway.webhooks.signing import new_secret
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])

WebhookIdPath = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="The webhook's `id`.")]
_NO_WEBHOOK = "There is no webhook of this id, or it is another department's."
_DELIVERY_PATTERN = r"^msg_[0-9a-f]{24}$"


@router.post(
    "",
    operation_id="createWebhook",
    summary="Have an address told of changes",
    status_code=201,
    response_model=CreatedWebhook,
    responses={
        201: {"description": "Made; the secret is shown this once."},
        **problem_responses(
            *(400, 403, 409, 422, 503),
            because={
                403: "None of the roles may, or the department is another than one's own.",
                409: "There are as many webhooks as there may be.",
                422: "The address is no public `https://` one, and the operator does not allow "
                "it; or the body is not as this document says.",
            },
        ),
    },
)
async def create_webhook(
    new: NewWebhook, request: Request, state: AppStateDep, principal: PrincipalDep
) -> CreatedWebhook:
    """It is told of what happens from now on, each message signed as Standard Webhooks says.

    422 for an address that is not public and that the operator does not allow.
    """
    department = principal.department or new.department
    if new.department not in (None, department):
        raise Forbidden("You may have your own department's changes told, and no other's.")
    await state.webhook_sender.check(new.url)
    secret, events = new_secret(), tuple(dict.fromkeys(event.value for event in new.events))
    add = partial(
        add_webhook,
        url=new.url,
        secret=secret,
        keyring=state.settings.keyring,
        events=events,
        department=department,
        created_by=principal.subject,
    )
    made = await state.archive.query(add)
    set_details(request, webhook=made.id)
    return CreatedWebhook(**Webhook.of(made).model_dump(), secret=secret)


@router.get(
    "",
    operation_id="listWebhooks",
    summary="The registered webhooks",
    response_model=WebhookList,
    responses={
        **tagged("The oldest first."),
        **problem_responses(422, 503),
    },
)
async def list_webhooks(
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Without their secrets. Whoever is of a department sees its own."""
    forbid_unknown_query(request)
    found = await state.archive.query(partial(webhooks_of, department=principal.department))
    listed = WebhookList(items=[Webhook.of(record) for record in found])
    return json_response(listed.model_dump_json(), if_none_match)


@router.delete(
    "/{webhook_id}",
    operation_id="deleteWebhook",
    summary="Tell an address nothing more",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "Gone, with its log."},
        **problem_responses(404, 422, 503, because={404: _NO_WEBHOOK}),
    },
)
async def delete_webhook(
    webhook_id: WebhookIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """What waits to be sent is not sent."""
    set_details(request, webhook=webhook_id)
    remove = partial(remove_webhook, webhook_id=webhook_id, department=principal.department)
    await state.archive.query(remove)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/test",
    operation_id="testWebhook",
    summary="Call a webhook now",
    response_model=WebhookDelivery,
    responses={
        200: {"description": "What came of it."},
        **problem_responses(404, 422, 503, because={404: _NO_WEBHOOK}),
    },
)
async def test_webhook(
    webhook_id: WebhookIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> WebhookDelivery:
    """One message `webhook.test` without data, tried once; it stands in the log, too."""
    set_details(request, webhook=webhook_id)
    find = partial(webhook, webhook_id=webhook_id, department=principal.department)
    return WebhookDelivery.of(await state.webhooks.test(await state.archive.query(find)))


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="listWebhookDeliveries",
    summary="What was sent to a webhook, and what was not",
    response_model=WebhookDeliveries,
    responses={
        **tagged("The latest first, for 30 days."),
        **problem_responses(404, 422, 503, because={404: _NO_WEBHOOK}),
    },
)
async def list_webhook_deliveries(
    webhook_id: WebhookIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    delivery_state: Annotated[
        DeliveryState | None, Query(alias="state", description="Only these.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="The latest so many.")] = 100,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """`state=dead` are those that were given up."""
    forbid_unknown_query(request, "state", "limit")
    await state.archive.query(
        partial(webhook, webhook_id=webhook_id, department=principal.department)
    )
    log = partial(deliveries_of, webhook_id=webhook_id, state=delivery_state, limit=limit)
    found = await state.archive.query(log)
    listed = WebhookDeliveries(items=[WebhookDelivery.of(record) for record in found])
    return json_response(listed.model_dump_json(), if_none_match)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/retry",
    operation_id="retryWebhookDelivery",
    summary="Send again what was given up",
    response_model=WebhookDelivery,
    responses={
        200: {"description": "It waits again."},
        **problem_responses(
            *(404, 409, 422, 503),
            because={
                404: f"{_NO_WEBHOOK} Or it has no such delivery.",
                409: "It still waits, or was delivered: only what was given up is tried again.",
            },
        ),
    },
)
async def retry_webhook_delivery(
    webhook_id: WebhookIdPath,
    delivery_id: Annotated[
        str, Path(pattern=_DELIVERY_PATTERN, description="The delivery's `id`.")
    ],
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> WebhookDelivery:
    """As if it were new. 409 for one that waits or was delivered."""
    set_details(request, webhook=webhook_id, delivery=delivery_id)
    await state.archive.query(
        partial(webhook, webhook_id=webhook_id, department=principal.department)
    )
    again = partial(revive, webhook_id=webhook_id, delivery_id=delivery_id)
    return WebhookDelivery.of(await state.archive.query(again))
