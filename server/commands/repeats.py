"""Repeated sends: a request that carries an idempotency key makes its message once, however often it arrives in a day.

The record is written in the transaction of the message, so there is never one without the other. Keys are a user's own: two people
who number their backups alike do not meet; those of a tenant's own servers are the tenant's, whichever credential they use. Of two requests at the same moment one is carried out; the other is told to
come back, by this process at once, and across processes by the record that only one of them can write.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from server.domain.account import Caller
from server.domain.errors import Conflict, Fault, Gone, InFlight
from server.domain.message import DAY, Message
from server.domain.ports import NotUnique, Transaction
from server.store.idempotency import Record, add_record, find_record
from server.store.messages import load_message

T = TypeVar("T")

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
KEPT = DAY
_IN_FLIGHT_SECONDS = 1


@dataclass(frozen=True, slots=True)
class KeyOfSend:
    """`hash` names tenant, user, route and key; `fingerprint` what was asked for with it, however it was written.

    `place` is where a request has it. `shows`: the answer shows the message, and there is none once that was retracted.
    """

    hash: bytes = field(repr=False)
    fingerprint: bytes = field(repr=False)
    place: str = HEADER
    shows: bool = True


def key_of_send(caller: Caller, route: str, key: str, canonical_body: bytes) -> KeyOfSend:
    """Return what is kept of a key: hashes, since it may be anything, and the body is content.

    The body's is made with the key, which is not kept: a short body must not be found by guessing, least of all once it is retracted.
    """
    return KeyOfSend(*_hashes(f"{caller.tenant_id}\0{caller.user.id}\0{route}\0{key}", canonical_body))


def key_of_tenant(caller: Caller, route: str, key: str, canonical_body: bytes, *, place: str) -> KeyOfSend:
    """Return what is kept of a key that is a tenant's, whichever of its credentials a request has: what its servers send.

    It names a message, no more: the answer is the same when that was retracted.
    """
    # No user has an empty id, so it meets nobody's key.
    hashes = _hashes(f"{caller.tenant_id}\0\0{route}\0{key}", canonical_body)
    return KeyOfSend(*hashes, place=place, shows=False)


def _hashes(name: str, canonical_body: bytes) -> tuple[bytes, bytes]:
    named = name.encode("utf-8", "surrogateescape")
    return sha256(named).digest(), sha256(named + b"\0" + canonical_body).digest()


class Repeats:
    """Knows which keys this process is working on."""

    def __init__(self) -> None:
        self._in_flight: set[bytes] = set()

    async def once(self, key: KeyOfSend | None, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, unless the same key is being worked on; InFlight."""
        if key is None:
            return await work()
        self.check(key)
        self._in_flight.add(key.hash)
        try:
            return await work()
        except NotUnique as taken:
            if "idempotency_keys" not in taken.constraint:
                raise
            raise _in_flight() from None
        finally:
            self._in_flight.discard(key.hash)

    def check(self, key: KeyOfSend) -> None:
        """Raise InFlight where this process is working on a key: what it has made is not there yet."""
        if key.hash in self._in_flight:
            raise _in_flight()

    async def find(self, tx: Transaction, key: KeyOfSend | None, now: int) -> Message | None:
        """Return the message that a key has made; Conflict for another request, Gone where it was retracted and is to be shown."""
        record = None if key is None else await find_record(tx, key.hash, now)
        if key is None or record is None:
            return None
        if record.fingerprint != key.fingerprint:
            fault = Fault(key.place, "was used for another request", "use a new key for each message")
            raise Conflict(
                "this idempotency key belongs to another request",
                code="idempotency_key_reused",
                faults=[fault],
            )
        message = await load_message(tx, record.message_id)
        if message is None or (message.retracted_at is not None and key.shows):
            raise Gone("the message that this key made was retracted", code="message_retracted")
        return message

    async def keep(self, tx: Transaction, key: KeyOfSend | None, message: Message, now: int) -> None:
        """Remember which message a key has made, for a day."""
        if key is not None:
            await add_record(tx, Record(key.hash, key.fingerprint, message.id, now + KEPT), now)


def _in_flight() -> InFlight:
    return InFlight(
        "a request with this idempotency key is being worked on; ask again for its answer",
        retry_after=_IN_FLIGHT_SECONDS,
    )
