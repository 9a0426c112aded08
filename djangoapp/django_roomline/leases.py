"""One process's hold on a lease: of several, one works and the others take over when it dies."""

import time
import uuid

from django.db.models import Q

from django_roomline.models import DatabaseTime, Lease


class Hold:
    """What one process knows of its hold on the lease `name` in the database `using`.

    A hold lasts `seconds` from each `take`. Between processes the database's clock decides; for
    itself a process measures from before it asked, so that it never believes in a hold that
    another one could have taken. A process that stands still between looking at `left` and acting
    acts without a hold: what it does then must do no harm.

    Every method raises `django.db.Error`.
    """

    def __init__(self, name: str, using: str, seconds: float) -> None:
        self.seconds = seconds
        self._name = name
        self._rows = Lease.objects.using(using)
        self._me = uuid.uuid4().hex
        self._made = False
        self._until = 0.0

    @property
    def left(self) -> float:
        """How many seconds the hold lasts for sure; 0 if there is none."""
        return max(0.0, self._until - time.monotonic())

    def take(self) -> bool:
        """Take the lease if it is free; whether it is held now."""
        if not self._made:
            self._rows.bulk_create([Lease(name=self._name)], ignore_conflicts=True)
            self._made = True
        return self._extend(Q(holder=self._me) | Q(expires__lt=DatabaseTime()))

    def renew(self) -> bool:
        """Extend the hold if less than half of it is left; whether it has lasted without a break.

        If not, another process may have been at work meanwhile, even if the lease is free again.
        """
        return self.left > self.seconds / 2 or self._extend(Q(holder=self._me))

    def _extend(self, condition: Q) -> bool:
        began = time.monotonic()
        held = self._rows.filter(condition, name=self._name).update(
            holder=self._me, expires=DatabaseTime() + round(self.seconds * 1000)
        )
        self._until = began + self.seconds if held else 0.0
        return bool(held)

    def release(self) -> None:
        """Let the next one take it at once."""
        self._until = 0.0
        self._rows.filter(holder=self._me, name=self._name).update(holder="", expires=0)
