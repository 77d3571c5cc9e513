"""What an admin is shown of the relay."""

from server.domain.relay import ADMITTED, RelayApp, RelayLimit, RelayState
from tests.server.conftest import House, Person

RELAY = "https://relay.example.org"
APP = RelayApp("apns", "org.example.app", "production")


async def test_an_admin_sees_what_is_left_of_each_limit_and_which_is_low(house: House, admin: Person) -> None:
    ends = house.clock() + 30_000
    limits = [RelayLimit("server", 6_000, 1_199, ends), RelayLimit("token", 120, 24, ends)]
    house.wakes.relay = RelayState(RELAY, ADMITTED, limits, [APP])
    answer = await admin.api.get("/api/v1/relay")
    assert answer.json == {
        "url": RELAY,
        "state": "admitted",
        "limits": [
            {"name": "server", "limit": 6_000, "remaining": 1_199, "resetsAt": "2027-01-15T08:00:30.000Z", "low": True},
            {"name": "token", "limit": 120, "remaining": 24, "resetsAt": "2027-01-15T08:00:30.000Z", "low": False},
        ],
        "apps": [{"provider": "apns", "app": "org.example.app", "environment": "production"}],
    }  # fmt: skip


async def test_why_a_relay_does_not_take_this_server_is_said(house: House, admin: Person) -> None:
    house.wakes.relay = RelayState(RELAY, "key_not_admitted")
    answer = await admin.api.get("/api/v1/relay")
    assert (answer["state"], answer["limits"]) == ("key_not_admitted", [])


async def test_however_often_an_admin_asks_the_relay_is_asked_once(house: House, admin: Person) -> None:
    """It is somebody else's machine."""
    for _ in range(5):
        await admin.api.get("/api/v1/relay")
    assert house.wakes.asked == 1
