"""Leases: which process may do what only one does at a time, by the database's clock."""

from typing import Any, Final

from django.db import NotSupportedError, models
from django.utils.translation import gettext_lazy as _

_TIME: Final = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000 AS BIGINT)",
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)",
}


class DatabaseTime(models.Expression):
    """Milliseconds since the epoch by the clock of the database server.

    One clock for everybody, in no time zone: ``CURRENT_TIMESTAMP`` is in the session's on MySQL,
    where an hour comes twice each year.
    """

    output_field = models.BigIntegerField()

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        """The question in the database's own words; raises `django.db.NotSupportedError`."""
        try:
            return _TIME[connection.vendor], ()
        except KeyError:
            raise NotSupportedError(
                f"the database is {connection.vendor}: SQLite, PostgreSQL, MySQL and MariaDB are"
                " those whose clock can be asked"
            ) from None


class Lease(models.Model):
    """The right to do what one process does at a time, as `django_roomline.leases` takes it."""

    name = models.CharField(_("name"), max_length=50, primary_key=True)
    holder = models.CharField(_("holder"), max_length=32, blank=True, default="")
    expires = models.BigIntegerField(
        _("expires"), default=0, help_text=_("Milliseconds since the epoch, by the database.")
    )

    class Meta:
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return self.name
