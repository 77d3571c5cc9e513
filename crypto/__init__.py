"""Hushpost's cryptography: pure functions and frozen values, as docs/protocol.md fixes them to the byte.

Nothing here reads a clock, a file or a socket. Where bytes must be random, the caller hands in the source (`Random`) or
the bytes themselves, so that a test vector can fix them. The one exception is the HPKE encapsulation, whose randomness
`cryptography` draws itself: envelopes in vectors are made once and opened ever after.
"""
