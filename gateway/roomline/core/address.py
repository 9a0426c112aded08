"""Which addresses count as one client."""

import ipaddress


def network_of(address: str) -> str:
    """What counts as one client address: an IPv4 address, or an IPv6 /64 network, of which one
    subscriber commands every address."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
