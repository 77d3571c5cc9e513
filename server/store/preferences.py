"""What users do not want: a row says so, without one they do."""

from server.domain.delivery import Channel
from server.domain.message import Category
from server.domain.ports import Transaction
from server.domain.preferences import OptOut

_ALL = ""  # in the place of a category: the whole channel


async def list_opt_outs(tx: Transaction, user_id: str) -> set[OptOut]:
    rows = await tx.all("SELECT channel, category FROM opt_outs WHERE user_id = $1", user_id)
    return {
        (Channel(row["channel"]), None if row["category"] == _ALL else Category(row["category"]))
        for row in rows
    }


async def opt_out(tx: Transaction, user_id: str, what: OptOut, now: int) -> None:
    channel, category = what
    await tx.run(
        "INSERT INTO opt_outs (user_id, channel, category, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (user_id, channel, category) DO NOTHING",
        user_id,
        channel.value,
        _ALL if category is None else category.value,
        now,
    )


async def opt_in(tx: Transaction, user_id: str, what: OptOut) -> None:
    channel, category = what
    await tx.run(
        "DELETE FROM opt_outs WHERE user_id = $1 AND channel = $2 AND category = $3",
        user_id,
        channel.value,
        _ALL if category is None else category.value,
    )
