"""The documented examples of the native API, request and answer as they are printed (tests/golden/zentik)."""

from collections.abc import Mapping
from typing import Any

from tests.harness.golden import Play, examples
from tests.server.conftest import House


async def test_every_documented_example_works_as_printed(house: House) -> None:
    """In the order of the document, each with what the answers before it have shown."""

    async def call(request: Mapping[str, Any]) -> tuple[int, Any]:
        api = house.api.with_token(request.get("token"))
        answer = await api.call(request["method"], request["path"], request["body"])
        return answer.status, answer.json

    await house.register("user", email="user@example.com", password="your_password")
    play = Play(call)
    done = [await play.run(example) for example in examples("zentik")]
    assert len(done) == 7
    assert {message["notificationsCount"] for message in done[3:]} == {1}
