"""The tables of the archive."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """The models as of version 0.2."""

    dependencies = (("django_roomline", "0002_outbox"),)

    operations = (
        migrations.CreateModel(
            name="ArchiveGap",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "epoch",
                    models.PositiveIntegerField(
                        help_text="That goes on behind the gap.", verbose_name="epoch"
                    ),
                ),
                (
                    "partition",
                    models.PositiveSmallIntegerField(default=0, verbose_name="partition"),
                ),
                (
                    "after",
                    models.BigIntegerField(
                        help_text="-1: from the first entry on.", verbose_name="after offset"
                    ),
                ),
                (
                    "before",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Empty: it is not known.",
                        null=True,
                        verbose_name="before offset",
                    ),
                ),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                (
                    "noticed",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="noticed"),
                ),
            ],
            options={
                "verbose_name": "gap in the archive",
                "verbose_name_plural": "gaps in the archive",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="ArchiveProgress",
            fields=[
                (
                    "partition",
                    models.PositiveSmallIntegerField(
                        primary_key=True, serialize=False, verbose_name="partition"
                    ),
                ),
                ("epoch", models.PositiveIntegerField(default=1, verbose_name="epoch")),
                ("log", models.CharField(blank=True, max_length=64, verbose_name="log")),
                ("offset", models.BigIntegerField(default=-1, verbose_name="offset")),
                ("fingerprint", models.BigIntegerField(default=0, verbose_name="fingerprint")),
                (
                    "stored",
                    models.BigIntegerField(default=0, verbose_name="publications ever stored"),
                ),
                ("archiver", models.CharField(blank=True, max_length=200, verbose_name="archiver")),
                (
                    "moved",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="moved"),
                ),
            ],
            options={
                "verbose_name": "progress of the archive",
                "verbose_name_plural": "progress of the archive",
            },
        ),
        migrations.CreateModel(
            name="ArchivedPublication",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("epoch", models.PositiveIntegerField(verbose_name="epoch")),
                (
                    "partition",
                    models.PositiveSmallIntegerField(default=0, verbose_name="partition"),
                ),
                ("offset", models.BigIntegerField(verbose_name="offset")),
                ("fingerprint", models.BigIntegerField(verbose_name="fingerprint")),
                ("room", models.CharField(max_length=200, verbose_name="room")),
                (
                    "sender_id",
                    models.CharField(
                        blank=True,
                        help_text="Empty: nobody who is known.",
                        max_length=64,
                        verbose_name="sender",
                    ),
                ),
                ("publication", models.TextField(verbose_name="publication")),
                (
                    "archived",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, verbose_name="archived"
                    ),
                ),
            ],
            options={
                "verbose_name": "archived publication",
                "verbose_name_plural": "archived publications",
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["room", "-id"], name="roomline_archive_room")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("partition", "offset", "epoch"), name="roomline_archive_place"
                    )
                ],
            },
        ),
    )
