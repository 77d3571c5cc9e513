"""The four steps of the quick start, as they are documented, with ids and tokens put in."""

from tests.server.conftest import House


async def test_the_quick_start_works_as_printed(house: House) -> None:
    """Log in, make a bucket and a token, and send with both."""
    await house.register("someone", email="user@example.com", password="your_password")

    login = await house.api.post(
        "/api/v1/auth/login", {"email": "user@example.com", "password": "your_password"}
    )
    assert login.status == 200
    assert {"id", "email"} <= login["user"].keys()
    assert login["user"]["email"] == "user@example.com"
    signed_in = house.api.with_token(login["accessToken"])
    assert login["refreshToken"]

    bucket = await signed_in.post(
        "/api/v1/buckets", {"name": "Marketing", "description": "Marketing campaign bucket"}
    )
    assert bucket.status == 201
    assert bucket["name"] == "Marketing"
    assert bucket["description"] == "Marketing campaign bucket"

    token = await signed_in.post(
        "/api/v1/access-tokens", {"name": "CI Pipeline", "scopes": ["messages:create"]}
    )
    assert token.status == 201
    assert token["token"].startswith("zat_")
    assert token["scopes"] == ["messages:create"]
    assert token["createdAt"] == "2027-01-15T08:00:00.000Z"
    assert token["id"]

    minimal = {"title": "Welcome!", "bucketId": bucket["id"], "deliveryType": "NORMAL"}
    for api in (signed_in, house.api.with_token(token["token"])):
        message = await api.post("/api/v1/messages", minimal)
        assert message.status == 201
        assert message["title"] == "Welcome!"
        assert message["bucketId"] == bucket["id"]
        assert message["createdAt"] == "2027-01-15T08:00:00.000Z"
        assert message["notificationsCount"] == 1
