"""Simulated push providers and a simulated phone.

`simulator.providers.Providers` starts APNs, Google's token endpoint, FCM, a Web Push service and a control endpoint on
loopback; its docstring lists the names that tests may rely on. `simulator.phone.Phone` is a whole client of the protocol.
"""
