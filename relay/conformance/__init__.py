"""The protocol's checks, put to any relay from the outside (docs/conformance.md): `hushpost conformance`.

A check is a `Case`: a name, what it needs, and what it does with a `Subject`, the relay that is asked. Each exists once; the
command runs them against the relay of a URL, the tests run the same ones against ours. No push leaves the relay for a provider
unless a device's token was given.
"""
