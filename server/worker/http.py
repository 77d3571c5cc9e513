"""Reading what a stranger may have sent."""

import aiohttp

_PIECE = 65_536


async def read_body(answer: aiohttp.ClientResponse, largest: int) -> bytes:
    """Read a whole body; `aiohttp.ClientPayloadError` where it is longer than `largest` bytes."""
    body = bytearray()
    async for piece in answer.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > largest:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(body)


def pass_header(relay_pass: str) -> dict[str, str]:
    """What shows a relay the pass that its operator gave to this server; empty for none."""
    return {"Hushpost-Pass": relay_pass} if relay_pass else {}
