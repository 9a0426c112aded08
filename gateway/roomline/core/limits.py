"""What one client may ask of a node: sizes, counts, rates. All bytes and seconds."""

from dataclasses import dataclass

from roomline.wire import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLimits:
    """The limits of a node and of each of its sessions."""

    message_bytes: int = MAX_BODY_BYTES
    """The longest SockJS message that a client may send (the transport enforces it)."""
    outbox_bytes: int = 1 << 20
    subscriptions: int = 100
    unconfirmed: int = 100
    """Publications of one session that may wait for the broker's confirmation."""
    unanswered: int = 10
    """Requests of one session that may wait for their answer, moderated publications included."""
    commands_per_second: float = 50
    commands_burst: int = 200
    publications_per_second: float = 20
    publications_burst: int = 100
    bytes_per_second: int = 1 << 20
    bytes_burst: int = 8 << 20
    """What a session may send in messages."""
    sessions_worth_per_address: int = 200
    sessions_worth: int = 2_000
    """What the sessions of one address may do together, and all of the node: as much as so many
    single ones."""
    new_rooms_per_minute: float = 30
    new_rooms_burst: int = 100
    """How many rooms without any publication one user may publish to, or all anonymous clients
    of one address together."""
    connect_timeout: float = 10
    """How long a session may stay without an accepted ``connect``."""
    waiting_timeout: float = 5
    """How long a command may wait for the node to read further in the log."""
    waiting: int = 16
    """Commands of one session that may wait so."""
    waiting_bytes: int = 16 << 20
    """What all waiting commands together may hold."""
    unreadable_timeout: float = 5
    """How long a node that cannot read the log goes on as if it could."""
    history_bytes: int = 256 << 20
    """Memory for the histories of all rooms together."""
    forget_rooms_after: float = 7 * 86_400
    """When a room that nobody is subscribed to has nothing left in the log: its retention."""
    index_entries: int = 1_000_000
    dedup_window: int = 10_000
    """Offsets within which a repeated message id is a repeat. The same on every node."""


class TokenBucket:
    """`rate` a second on average, `burst` at once. The time is an argument, in seconds."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def has(self, now: float, amount: float = 1) -> bool:
        """Whether there is one token, or that many: `take` would use them."""
        self._refill(now)
        return self._tokens >= amount

    def take(self, now: float, amount: float = 1) -> bool:
        """Use one token, or that many; False if there are too few."""
        if not self.has(now, amount):
            return False
        self._tokens -= amount
        return True

    def full(self, now: float) -> bool:
        """Whether nothing was taken lately: a full bucket may be forgotten."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        # A clock that was set back must not freeze the bucket: it only stops refilling.
        self._tokens = min(self._burst, self._tokens + max(0, now - self._updated) * self._rate)
        self._updated = now


class Allowances:
    """One bucket for each name, forgotten when full, so that memory follows activity."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, TokenBucket] = {}
        self._sweep_at = 1000

    def has(self, name: str, now: float, amount: float = 1) -> bool:
        """Whether `name` has one token, or that many."""
        return self._bucket(name, now).has(now, amount)

    def take(self, name: str, now: float, amount: float = 1) -> bool:
        """Use one of the tokens of `name`, or that many; False if there are too few."""
        return self._bucket(name, now).take(now, amount)

    def _bucket(self, name: str, now: float) -> TokenBucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._sweep_at:
                self._buckets = {p: b for p, b in self._buckets.items() if not b.full(now)}
                self._sweep_at = max(1000, 2 * len(self._buckets))
            bucket = self._buckets[name] = TokenBucket(self._rate, self._burst, now)
        return bucket


class Rate:
    """What each address may use of something, and all of them together: so many times a rate and
    its burst. What one of the two does not have costs the other nothing."""

    def __init__(
        self, rate: float, burst: float, now: float, *, each: float, together: float
    ) -> None:
        self._addresses = Allowances(rate * each, burst * each)
        self._together = TokenBucket(rate * together, burst * together, now)

    def has(self, network: str, now: float, amount: float = 1) -> bool:
        """Whether both have that much: `take` would use it."""
        return self._addresses.has(network, now, amount) and self._together.has(now, amount)

    def take(self, network: str, now: float, amount: float = 1) -> bool:
        """Use that much of both, or of none; False if one of them does not have it."""
        if not self.has(network, now, amount):
            return False
        self._addresses.take(network, now, amount)
        self._together.take(now, amount)
        return True
