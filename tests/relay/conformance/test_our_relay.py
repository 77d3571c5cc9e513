"""Our relay conforms: every case of the kit, put to running processes of it; and none is left out for want of something."""

import pytest

from relay.conformance.case import Case, Verdict, run
from relay.conformance.cases import CASES
from relay.conformance.given import Need
from relay.conformance.subject import Subject

BY_PASS = Need.PASS_KEY


@pytest.mark.asyncio(loop_scope="package")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_our_relay_conforms(subjects: dict[str, Subject], case: Case) -> None:
    result = await run(case, subjects["pass" if BY_PASS in case.needs else "allowlist"])
    assert (result.verdict, result.found) == (Verdict.PASSED, "")


def test_no_two_cases_have_one_name() -> None:
    names = [f"{case.section} {case.name}" for case in CASES]
    assert sorted(set(names)) == sorted(names)
