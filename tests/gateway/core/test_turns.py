"""Turns go round the senders, not down one queue."""

import asyncio

import pytest

from cxr_gateway.core.turns import FairTurns


async def taken(turns: FairTurns, order: list[str], sender: str | None, name: str) -> None:
    async with turns.hold(sender):
        order.append(name)
        await asyncio.sleep(0)


async def test_one_of_another_sender_waits_for_one_turn_and_not_for_the_queue() -> None:
    turns, order = FairTurns(1), list[str]()
    async with asyncio.TaskGroup() as group, turns.hold("first"):
        for number in range(5):
            group.create_task(taken(turns, order, "busy", f"busy {number}"))
        await asyncio.sleep(0)
        group.create_task(taken(turns, order, "other", "other"))
        group.create_task(taken(turns, order, None, "the machine"))
        await asyncio.sleep(0)
        assert order == []
    assert order == ["busy 0", "other", "the machine", "busy 1", "busy 2", "busy 3", "busy 4"]


async def test_never_more_at_once_than_the_limit_and_all_come_to_their_turn() -> None:
    turns, now, most = FairTurns(3), 0, 0

    async def one(sender: str) -> None:
        nonlocal now, most
        async with turns.hold(sender):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(one(f"sender {number % 7}"))
    assert (now, most) == (0, 3)


@pytest.mark.parametrize("given_first", [True, False])
async def test_who_leaves_takes_no_turn_along(*, given_first: bool) -> None:
    turns, order = FairTurns(1), list[str]()
    async with turns.hold("first"):
        leaving = asyncio.create_task(taken(turns, order, "leaving", "left"))
        staying = asyncio.create_task(taken(turns, order, "staying", "stayed"))
        await asyncio.sleep(0)
        if not given_first:
            leaving.cancel()
    leaving.cancel()
    async with asyncio.timeout(5):
        await staying
        await taken(turns, order, "last", "last")
    assert order == ["stayed", "last"]
