"""Free memory goes back: in a process of its own, whose memory nothing else uses."""

import asyncio
import subprocess
import sys

import pytest

from cxr_serving import memory
from cxr_serving.memory import releasing_memory

# Of pieces that the C library keeps in its heap; what stays between them holds the heap open.
_KEEPS = """
import pathlib
from cxr_serving.memory import release_free_memory

def resident_mb():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

pieces, kept = [], []
for number in range(2000):
    pieces.append(bytearray(100_000))
    kept.append(bytearray(1_000))
pieces.clear()
before = resident_mb()
print(release_free_memory(), before - resident_mb())
"""


def test_what_was_freed_between_what_is_used_is_given_back() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _KEEPS], capture_output=True, text=True, check=True
    )
    released, megabytes = ended.stdout.split()
    assert released == "True"
    assert int(megabytes) > 150


async def test_it_is_given_back_again_and_again_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds = 0

    def count() -> bool:
        nonlocal rounds
        rounds += 1
        return True

    monkeypatch.setattr(memory, "release_free_memory", count)
    async with releasing_memory(first_s=0.01, every_s=0.01), asyncio.timeout(10):
        while rounds < 3:
            await asyncio.sleep(0.01)
    ended = rounds
    await asyncio.sleep(0.05)
    assert rounds == ended
