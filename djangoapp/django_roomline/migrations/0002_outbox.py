"""The tables of the transactional outbox, and of the lease that its relays take turns with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Both begin empty; the relay makes its lease."""

    dependencies = (("django_roomline", "0001_initial"),)
    operations = (
        migrations.CreateModel(
            name="Lease",
            fields=[
                (
                    "name",
                    models.CharField(
                        max_length=50, primary_key=True, serialize=False, verbose_name="name"
                    ),
                ),
                (
                    "holder",
                    models.CharField(blank=True, default="", max_length=32, verbose_name="holder"),
                ),
                (
                    "expires",
                    models.BigIntegerField(
                        default=0,
                        help_text="Milliseconds since the epoch, by the database.",
                        verbose_name="expires",
                    ),
                ),
            ],
            options={"verbose_name": "lease", "verbose_name_plural": "leases"},
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("room", models.CharField(max_length=200, verbose_name="room")),
                ("body", models.BinaryField(verbose_name="body")),
                ("message_id", models.CharField(max_length=255, verbose_name="message id")),
                (
                    "kind",
                    models.CharField(
                        choices=[("message", "message"), ("system", "system"), ("admin", "admin")],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("key", models.CharField(blank=True, max_length=128, verbose_name="key")),
                (
                    "time",
                    models.BigIntegerField(
                        help_text="When publish() was called: milliseconds since the epoch.",
                        verbose_name="published at",
                    ),
                ),
                (
                    "refused",
                    models.BooleanField(
                        default=False,
                        help_text="The broker will not take it: see the error.",
                        verbose_name="refused",
                    ),
                ),
                (
                    "error",
                    models.TextField(
                        blank=True,
                        default="",
                        help_text="What the broker has said last.",
                        verbose_name="error",
                    ),
                ),
            ],
            options={
                "verbose_name": "outbox message",
                "verbose_name_plural": "outbox messages",
                "ordering": ("id",),
                "indexes": [models.Index(fields=["refused", "id"], name="roomline_outbox_waiting")],
            },
        ),
    )
