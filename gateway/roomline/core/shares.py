"""What the sessions of one address may do together, and what all sessions of a node may."""

from collections import Counter

from roomline.core.address import network_of
from roomline.core.limits import NodeLimits, Rate


class Shares:
    """One session is held to its own limits; many of them, to these. Times are in seconds.

    What is refused here costs nothing here. It has cost the session, whose own limits bound what
    it tries: they slow down who tries in vain.
    """

    def __init__(self, limits: NodeLimits, now: float) -> None:
        def shared(rate: float, burst: float) -> Rate:
            each, together = limits.sessions_worth_per_address, limits.sessions_worth
            return Rate(rate, burst, now, each=each, together=together)

        self._commands = shared(limits.commands_per_second, limits.commands_burst)
        self._publications = shared(limits.publications_per_second, limits.publications_burst)
        self._bytes = shared(limits.bytes_per_second, limits.bytes_burst)
        self._subscriptions: Counter[str] = Counter()
        self._all_subscriptions = 0
        self._subscriptions_per_address = limits.subscriptions * limits.sessions_worth_per_address
        self._subscriptions_of_node = limits.subscriptions * limits.sessions_worth

    def command(self, address: str, size: int, now: float) -> str | None:
        """Count a command of so many bytes; what is too much of, or None."""
        network = network_of(address)
        if not self._bytes.has(network, now, size):
            return "too much data"
        if not self._commands.take(network, now):
            return "too many commands"
        self._bytes.take(network, now, size)
        return None

    def publication(self, address: str, now: float) -> str | None:
        """Count a publication; what is too much of, or None."""
        taken = self._publications.take(network_of(address), now)
        return None if taken else "too many publications"

    def may_subscribe(self, address: str) -> bool:
        """Whether one more subscription fits."""
        return (
            self._subscriptions[network_of(address)] < self._subscriptions_per_address
            and self._all_subscriptions < self._subscriptions_of_node
        )

    def subscribed(self, address: str, more: int) -> None:
        """A session of this address has so many subscriptions more, or fewer."""
        network = network_of(address)
        self._all_subscriptions += more
        self._subscriptions[network] += more
        if not self._subscriptions[network]:
            del self._subscriptions[network]
