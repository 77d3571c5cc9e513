"""Property tests without a deadline: the machine may be busy, the answer is the same."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "crypto", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("crypto")
