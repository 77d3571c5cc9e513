"""Passwords are hashed beside the event loop, a few at a time, and an unknown account costs the same."""

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from argon2.low_level import Type

from server.commands.passwords import Passwords
from server.domain.errors import Unavailable
from server.domain.ports import Random

HASHER = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)


@pytest.fixture
def passwords(random: Random) -> Iterator[Passwords]:
    made = Passwords(HASHER, random=random, threads=1, waiting=2)
    yield made
    made.close()


async def test_a_password_matches_its_own_hash_only(passwords: Passwords) -> None:
    """Argon2id, with a salt of its own each time."""
    stored, again = await passwords.hash("correct horse"), await passwords.hash("correct horse")
    assert stored != again
    assert stored.startswith("$argon2id$")
    assert HASHER.type is Type.ID
    assert await passwords.match(stored, "correct horse")
    assert not await passwords.match(stored, "correct hors")
    assert not await passwords.match("no hash at all", "correct horse")


async def test_where_nothing_is_stored_nothing_matches(passwords: Passwords) -> None:
    """And it is checked all the same: against a hash of nobody's."""
    assert not await passwords.match(None, "anything")


async def test_more_than_there_is_room_for_are_told_to_come_back(passwords: Passwords) -> None:
    """One is hashed, two may wait; afterwards there is room again, whoever gave up waiting."""
    tasks = [asyncio.create_task(passwords.hash("x")) for _ in range(5)]
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert [refusal.retry_after for refusal in refused] == [2] * len(refused)
    assert len(refused) in {1, 2}
    assert await asyncio.gather(*(passwords.match(None, "x") for _ in range(3))) == [False] * 3


async def test_hashes_of_other_parameters_are_outdated(passwords: Passwords) -> None:
    """So that a stronger setting reaches everybody in time."""
    assert not passwords.outdated(await passwords.hash("x"))
    assert passwords.outdated(PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1).hash("x"))
