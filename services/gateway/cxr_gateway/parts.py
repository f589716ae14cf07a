"""What a running gateway is made of, and how a route gets at it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from cxr_gateway.schemas import SystemStatus
from cxr_gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from cxr_gateway.archive import Archive
    from cxr_gateway.pictures import Pictures
    from cxr_gateway.reading import ReadingRoom


@dataclass(frozen=True)
class Parts:
    """Opened by the app's lifespan, closed with it."""

    settings: GatewaySettings
    archive: "Archive"
    pictures: "Pictures"
    reading: "ReadingRoom"

    async def system_status(self) -> SystemStatus: ...


def parts_of(request: Request) -> Parts:
    """The parts of the app that serves this request."""
    return cast(Parts, request.app.state.parts)


PartsOf = Annotated[Parts, Depends(parts_of)]
