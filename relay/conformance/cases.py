"""All cases, in the order of a reader's questions: is it the relay, does it take what is right, does it refuse what is wrong."""

from relay.conformance import admission, handles, order, pushes, reading, refusals, requests
from relay.conformance.case import Case

CASES: tuple[Case, ...] = (
    *reading.CASES,
    *handles.CASES,
    *requests.CASES,
    *refusals.CASES,
    *order.CASES,
    *pushes.CASES,
    *admission.CASES,
)
