"""What every fault has in common: a gateway on one port, clients, a verdict at the end."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cxr_gateway.core.schemas import StudyStatus
from support.archive_check import checked
from support.live_gateway import STUDIES, Gateway, Starter
from support.uploading import Uploaders
from support.waiting import eventually, free_port

# Under which a test notes its row of the table.
ROW = "chaos_row"


@dataclass
class Scene:
    """An archive, and whichever gateway serves it at the moment, always on the same port."""

    starter: Starter
    database: str
    record: Callable[[str, object], None]
    environment: Mapping[str, object] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where the gateways listen."""
        return f"http://127.0.0.1:{self.port}"

    def gateway(self, **more: object) -> Gateway:
        """A gateway that is ready; `more` are further variables of its environment."""
        usual = {
            "CXR_GATEWAY_PORT": self.port,
            # Its check writes to the archive, which is not a step of an upload.
            "CXR_GATEWAY_READINESS_INTERVAL_S": 3600,
            "CXR_GATEWAY_CLASSIFIER_TIMEOUT_S": 2,
            "CXR_GATEWAY_DETECTOR_TIMEOUT_S": 2,
        }
        return self.starter(**(usual | dict(self.environment) | more))

    def end(self, fault: str, gateway: Gateway, uploaders: Uploaders, fault_ended: float) -> None:
        """Check what is left, note it for the table, and fail if anything is lost, twice or half.

        Args:
            fault: as the table calls it.
            gateway: has been started over the archive, alone, since the last thing that broke.
            uploaders: have stopped.
            fault_ended: on the monotonic clock.
        """
        verdict = checked(gateway, uploaders.ledger)
        row = {"fault": fault, "database": self.database, **uploaders.ledger.counts()}
        for kind in ("lost", "doubled", "half"):
            row[kind] = len(getattr(verdict, kind))
        row["recovered_after_s"] = round(uploaders.ledger.recovered_after_s(fault_ended), 2)
        self.record(ROW, json.dumps(row))
        assert verdict.faults == [], "\n".join(verdict.faults)
        _read_again_until_whole(gateway)


def _read_again_until_whole(gateway: Gateway) -> None:
    """Whatever was read in part during the fault is complete once it is read again."""
    wanted = {"status": [StudyStatus.PARTIAL.value, StudyStatus.FAILED.value]}

    def whole() -> bool:
        unfinished = gateway.client.get(STUDIES, params=wanted).json()["items"]
        for study in unfinished:
            gateway.client.post(f"{STUDIES}/{study['id']}/rerun")
        return not unfinished

    eventually(whole, "a study that was read in part stays so", 180)


SceneMaker = Callable[..., Scene]
