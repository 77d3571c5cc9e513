"""The soak of `./dev soak`, for as long as every kind of its phases takes."""

from pathlib import Path

from tests.harness.soak_run import Plan, soaked

MINUTES = 0.3


async def test_a_relay_accounts_for_every_push_while_all_goes_wrong(tmp_path: Path) -> None:
    async with soaked(tmp_path, Plan(MINUTES, seed=1)) as soak:
        await soak.run()
    assert soak.ledger.judged > 100
    assert soak.faults.shown.total() > 5
    assert soak.ledger.examples == {}
