"""Both models, on Django's users."""

import django.contrib.auth.models
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

MANAGERS = [("objects", django.contrib.auth.models.UserManager())]


class Migration(migrations.Migration):
    initial = True

    dependencies = (("auth", "0012_alter_user_first_name_max_length"),)

    operations = (
        migrations.CreateModel(
            name="Courier",
            fields=[
                (
                    "user_ptr",
                    models.OneToOneField(
                        settings.AUTH_USER_MODEL,
                        django.db.models.deletion.CASCADE,
                        auto_created=True,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                    ),
                )
            ],
            options={"verbose_name": "user", "verbose_name_plural": "users", "abstract": False},
            bases=("auth.user",),
            managers=MANAGERS,
        ),
        migrations.CreateModel(
            name="Person",
            fields=[],
            options={"proxy": True, "indexes": [], "constraints": []},
            bases=("auth.user",),
            managers=MANAGERS,
        ),
    )
