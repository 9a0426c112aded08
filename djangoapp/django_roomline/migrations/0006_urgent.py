"""Revocations go before what else waits in the outbox."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Rows that wait keep their turn."""

    dependencies = (("django_roomline", "0005_notices"),)
    operations = (
        migrations.AddField(
            model_name="outboxmessage",
            name="urgent",
            field=models.BooleanField(db_default=False, default=False, verbose_name="urgent"),
        ),
        migrations.RemoveIndex(model_name="outboxmessage", name="roomline_outbox_waiting"),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(fields=["refused", "-urgent", "id"], name="roomline_outbox_waiting"),
        ),
    )
