"""The one counter of revocations: tokens carry it, and a revocation makes it one more."""

import time

from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

_ROW = 1


class Generation(models.Model):
    """A table of one row. Whoever signs a token reads it before the rights, so that rights which
    were read too early have a generation which is too old."""

    value = models.BigIntegerField(_("value"))

    class Meta:
        verbose_name = _("generation")
        verbose_name_plural = _("generations")

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def current(cls) -> int:
        """The latest generation, read where rights are read: a replica shows both late.

        The first call in a new database begins the counter, so that no token has a generation
        that an old control log outranks.
        """
        value: int | None = cls.objects.filter(pk=_ROW).values_list("value", flat=True).first()
        if value is not None:
            return value
        first, begun = cls._begin(router.db_for_write(cls))
        # Else a replica has no counter yet, nor what was revoked since; zero is never too new.
        return first.value if begun else 0

    @classmethod
    def bump(cls) -> int:
        """Begin a new generation, which no caller before or after gets; returns it.

        To be called when what it revokes is committed. The first one of a database is larger
        than those of databases before it that had less than one revocation a second.
        """
        using = router.db_for_write(cls)
        rows = cls.objects.using(using).filter(pk=_ROW)
        with transaction.atomic(using):
            while not rows.update(value=models.F("value") + 1):
                cls._begin(using)
            value: int = rows.values_list("value", flat=True).get()
            return value

    @classmethod
    def _begin(cls, using: str) -> tuple["Generation", bool]:
        """The counter, and whether this call has made it."""
        return cls.objects.using(using).get_or_create(pk=_ROW, defaults={"value": int(time.time())})
