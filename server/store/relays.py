"""The keys of relays that this server trusts because it saw them first (PROTOCOL.md, section 1), as JWKS text by URL."""

from server.domain.ports import Transaction


async def find_relay_keys(tx: Transaction, url: str) -> str | None:
    row = await tx.one("SELECT keys FROM relays WHERE url = $1", url)
    return None if row is None else str(row["keys"])


async def keep_relay_keys(tx: Transaction, url: str, keys: str, *, over: str | None, now: int) -> str:
    """Store keys in place of `over` (None: where there are none yet) and return those that count from now on.

    Of two processes that see a relay's keys for the first time, one is right for both.
    """
    if over is None:
        await tx.run(
            "INSERT INTO relays (url, keys, trusted_at, changed_at) VALUES ($1, $2, $3, $3)"
            " ON CONFLICT (url) DO NOTHING",
            url,
            keys,
            now,
        )
    else:
        await tx.run(
            "UPDATE relays SET keys = $2, changed_at = $3 WHERE url = $1 AND keys = $4", url, keys, now, over
        )
    return await find_relay_keys(tx, url) or keys
