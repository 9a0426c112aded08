"""The record of notices, and senders in the transactional outbox."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Rows that wait in the outbox have no sender, as when they were written."""

    dependencies = (
        ("django_roomline", "0004_rights"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    )
    operations = (
        migrations.AddField(
            model_name="outboxmessage",
            name="sender_id",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=64, verbose_name="sender id"
            ),
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="sender_name",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=200, verbose_name="sender"
            ),
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("room", models.CharField(max_length=200, verbose_name="room")),
                ("text", models.TextField(max_length=2000, verbose_name="text")),
                (
                    "sender_name",
                    models.CharField(
                        help_text="The name that readers have seen.",
                        max_length=200,
                        verbose_name="sender",
                    ),
                ),
                ("sent_at", models.DateTimeField(auto_now_add=True, verbose_name="sent at")),
                (
                    "message_id",
                    models.CharField(max_length=255, unique=True, verbose_name="message id"),
                ),
                (
                    "sent_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="sent by",
                    ),
                ),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
                "ordering": ("-sent_at", "-id"),
                "permissions": (("send_notice", "Can send notices"),),
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["-sent_at", "-id"], name="roomline_notice_latest")
                ],
            },
        ),
    )
