"""The table of rooms."""

from django.db import migrations, models

import django_roomline.models


class Migration(migrations.Migration):
    """The model as of version 0.1."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Room",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Words of A-Z a-z 0-9 _ - joined by dots; the first is its"
                        " namespace.",
                        max_length=200,
                        unique=True,
                        validators=[django_roomline.models.validate_room_name],
                        verbose_name="name",
                    ),
                ),
                ("title", models.CharField(max_length=200, verbose_name="title")),
                (
                    "readers",
                    models.CharField(
                        choices=[
                            ("everyone", "everyone"),
                            ("authenticated", "users who are logged in"),
                            ("staff", "staff"),
                        ],
                        default="authenticated",
                        max_length=20,
                        verbose_name="who may read",
                    ),
                ),
                (
                    "writers",
                    models.CharField(
                        choices=[
                            ("everyone", "everyone"),
                            ("authenticated", "users who are logged in"),
                            ("staff", "staff"),
                        ],
                        default="authenticated",
                        help_text="Of those who may read.",
                        max_length=20,
                        verbose_name="who may write",
                    ),
                ),
            ],
            options={
                "verbose_name": "room",
                "verbose_name_plural": "rooms",
                "ordering": ("name",),
            },
        ),
    )
