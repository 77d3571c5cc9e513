"""What `/metrics` says of messages on their way, beside what the health tests ask."""

from prometheus_client.parser import text_string_to_metric_families

from tests.server.conftest import House, Person, Phone


async def figures(person: Person) -> dict[str, float]:
    """Return every sample by its name and labels, as they stand in the text."""
    text = (await person.api.get("/metrics")).body.decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def report(phone: Phone, message_id: str, event: str, at: int) -> None:
    receipts = [{"messageId": message_id, "event": event, "at": at}]
    assert (await phone.api.post("/api/v1/device/receipts", {"receipts": receipts})).status == 202


async def test_the_way_to_the_device_is_timed_once(house: House, admin: Person) -> None:
    """From when the provider took the push until the device had it, as the device says."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    id_ = (await house.send(admin.api, bucket))["id"]
    settled = house.clock()
    await house.accept_pushes()
    house.clock.advance(10_000)
    for at in (settled + 700, settled + 900):
        await report(phone, id_, "received", at)
    await report(phone, id_, "shown", settled + 900)
    found = await figures(admin)
    assert found["hushpost_delivery_device_seconds_count"] == 1
    assert found["hushpost_delivery_device_seconds_sum"] == 0.7
    assert found["hushpost_delivery_device_seconds_bucket{le=0.5}"] == 0


async def test_only_what_a_provider_took_is_timed(house: House, admin: Person) -> None:
    """Not what a device fetched; and a device whose clock is slow has it at once."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    fetched = (await house.send(admin.api, bucket))["id"]
    await report(phone, fetched, "received", house.clock())
    await house.accept_pushes()
    early = (await house.send(admin.api, bucket))["id"]
    await house.accept_pushes()
    await report(phone, early, "received", house.clock() - 60_000)
    found = await figures(admin)
    assert found["hushpost_delivery_device_seconds_count"] == 1
    assert found["hushpost_delivery_device_seconds_sum"] == 0


async def test_tasks_are_counted_by_kind(house: House, admin: Person) -> None:
    """Fan-outs that go on, and messages that are scheduled."""
    bucket = await house.bucket(admin)
    for _ in range(2):
        await house.send(admin.api, bucket, delaySeconds=60)
    found = await figures(admin)
    assert found["hushpost_tasks{kind=send}"] == 2
    assert found["hushpost_tasks{kind=fanout}"] == 0


async def test_what_waits_and_for_how_long(house: House, admin: Person) -> None:
    await house.phone(admin)
    await house.send(admin.api, await house.bucket(admin))
    house.clock.advance(5000)
    found = await figures(admin)
    assert (found["hushpost_outbox_due"], found["hushpost_outbox_oldest_seconds"]) == (1, 5)
