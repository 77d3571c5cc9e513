"""What a host's name or address tells of where it is."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a listener on this host is reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
