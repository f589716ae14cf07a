"""Under which UIDs results go out: the same study and models, the same UIDs.

Without highdicom, so that a search can name what nobody has asked for yet.
"""

import hashlib
import uuid

from cxr_gateway.core.schemas import Study

_UUID_ROOT = "2.25"
# PS3.3 limits a series number to an integer string; ours stand behind a modality's own.
SERIES_NUMBERS = {"sr": 9001, "pr": 9002, "sc": 9003, "heat-map": 9004, "pdf": 9005}


def uid_of(study: Study, *parts: str) -> str:
    """A UID that follows from what was analysed and by what: a UUID of version 8 under 2.25.

    A new analysis by the same models has the same, one by other models (or by fewer, where a
    service did not answer) another.
    """
    models = sorted(f"{model.role} {model.sha256}" for model in study.models)
    rescoring = study.rescoring.sha256 if study.rescoring else ""
    told = [study.id, study.content_sha256, study.status.value, rescoring, *models, *parts]
    bits = int.from_bytes(hashlib.sha256("\0".join(told).encode()).digest()[:16], "big")
    bits = bits & ~(0xF << 76) | 8 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return f"{_UUID_ROOT}.{uuid.UUID(int=bits).int}"
