"""Waiting for a moment in which nobody is being served."""

import asyncio


async def quiet(idle: asyncio.Event, for_s: float) -> None:
    """Return when nobody is served, and nobody was for about `for_s`."""
    while True:
        await idle.wait()
        await asyncio.sleep(for_s)
        if idle.is_set():
            return
