"""The documented examples of the native API, request and answer as they are printed (tests/golden/zentik)."""

from tests.harness.golden import Play, examples, over
from tests.server.conftest import House


async def test_every_documented_example_works_as_printed(house: House) -> None:
    """In the order of the document, each with what the answers before it have shown."""
    await house.register("user", email="user@example.com", password="your_password")
    play = Play(over(house.api))
    done = [await play.run(example) for example in examples("zentik")]
    assert len(done) == 7
    assert {message["notificationsCount"] for message in done[3:]} == {1}
