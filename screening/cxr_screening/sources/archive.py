"""The gateway's own archive as a source: every study's original, by its settings."""

from collections.abc import Iterator

from pydantic import ValidationError

from cxr_gateway.archive import FileStore, Session, open_files, original_name, query_once
from cxr_gateway.archive.study_sources import study_sources
from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.core.settings import GatewaySettings
from cxr_screening.errors import ScreeningError
from cxr_screening.sources.items import Item
from cxr_serving.errors import ServiceError

_PAGE = 10_000


def list_items() -> Iterator[Item]:
    """Every study, oldest first. Raises ScreeningError: the database does not answer."""
    settings = _settings()
    after = ""
    while True:

        def page(session: Session, after: str = after) -> list[tuple[str, str]]:
            return study_sources(session, after, _PAGE)

        try:
            found = query_once(settings, page)
        except ServiceError as error:
            raise ScreeningError(f"The gateway's archive does not answer: {error}") from error
        for study_id, source in found:
            yield Item("archive", source, study_id)
        if len(found) < _PAGE:
            return
        after = found[-1][0]


def open_archive_files() -> FileStore:
    """The folder or bucket of the archive."""
    return open_files(_settings())


def fetch(files: FileStore, item: Item) -> bytes:
    """The original of a study. Raises NotFound, Unavailable."""
    return files.read(item.member, original_name(ImageSource(item.location)))


def _settings() -> GatewaySettings:
    try:
        return GatewaySettings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ScreeningError(f"A setting of the gateway is wrong: {first['msg']}.") from error
