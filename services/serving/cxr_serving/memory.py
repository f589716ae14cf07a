"""Free memory goes back to the operating system.

Models, images and their copies leave free memory between what is in use, and glibc keeps it: a
sixth of what the services seem to need. Asking for it back takes a few milliseconds.
"""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# Soon after a start, whose imports and models leave most; then now and again.
_FIRST_S = 5.0
_EVERY_S = 60.0


def release_free_memory() -> bool:
    """Give the C library's free memory back; false where it knows no way to."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return False
    trim(0)
    return True


@asynccontextmanager
async def releasing_memory(
    first_s: float = _FIRST_S, every_s: float = _EVERY_S
) -> AsyncIterator[None]:
    """Do so after `first_s`, and then every so many seconds until the end of the block."""

    async def again_and_again() -> None:
        await asyncio.sleep(first_s)
        while await asyncio.to_thread(release_free_memory):
            await asyncio.sleep(every_s)

    task = asyncio.create_task(again_and_again(), name="release-memory")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
