"""All that stands of what readers said, with the studies that it is about, for exports."""

from collections.abc import Sequence
from functools import partial

from cxr_gateway.archive import Archive
from cxr_gateway.archive.reviews import ReviewRecord, results_of, reviews_since, standing
from cxr_gateway.core.schemas import Study

_STUDIES_AT_ONCE = 500


async def corrections(
    archive: Archive, department: str | None
) -> tuple[Sequence[ReviewRecord], dict[str, Study]]:
    """Of a department's studies (None: of all): what stands, the oldest first; and the studies."""
    records = standing(await archive.query(partial(reviews_since, department=department)))
    wanted = sorted({record.study_id for record in records})
    studies: dict[str, Study] = {}
    for start in range(0, len(wanted), _STUDIES_AT_ONCE):
        some = wanted[start : start + _STUDIES_AT_ONCE]
        results = await archive.query(partial(results_of, study_ids=some))
        studies |= {x: Study.model_validate_json(text) for x, text in results.items()}
    return records, studies
