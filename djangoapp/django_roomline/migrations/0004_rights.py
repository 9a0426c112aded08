"""Generations of rights, members of rooms, and rooms that are closed."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Rooms stay as they were, and open."""

    dependencies = (
        ("auth", "0012_alter_user_first_name_max_length"),
        ("django_roomline", "0003_archive"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    )

    operations = (
        migrations.CreateModel(
            name="Generation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("value", models.BigIntegerField(verbose_name="value")),
            ],
            options={
                "verbose_name": "generation",
                "verbose_name_plural": "generations",
            },
        ),
        migrations.AddField(
            model_name="room",
            name="closed",
            field=models.BooleanField(
                default=False,
                help_text="Nobody may read or write it, until it is opened again.",
                verbose_name="closed",
            ),
        ),
        migrations.AlterField(
            model_name="room",
            name="readers",
            field=models.CharField(
                choices=[
                    ("everyone", "everyone"),
                    ("authenticated", "users who are logged in"),
                    ("staff", "staff"),
                    ("members", "only members"),
                ],
                default="authenticated",
                max_length=20,
                verbose_name="who may read",
            ),
        ),
        migrations.AlterField(
            model_name="room",
            name="writers",
            field=models.CharField(
                choices=[
                    ("everyone", "everyone"),
                    ("authenticated", "users who are logged in"),
                    ("staff", "staff"),
                    ("members", "only members"),
                ],
                default="authenticated",
                help_text="Of those who may read.",
                max_length=20,
                verbose_name="who may write",
            ),
        ),
        migrations.CreateModel(
            name="Member",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "may_write",
                    models.BooleanField(
                        default=True,
                        help_text="Where only members may write.",
                        verbose_name="may write",
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="auth.group",
                        verbose_name="group",
                    ),
                ),
                (
                    "room",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="members",
                        to="django_roomline.room",
                        verbose_name="room",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "member",
                "verbose_name_plural": "members",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("group", None), ("user", None), _connector="XOR"),
                        name="roomline_member_is_one",
                        violation_error_message="A member is either a group or a user.",
                    ),
                    models.UniqueConstraint(fields=("room", "group"), name="roomline_member_group"),
                    models.UniqueConstraint(fields=("room", "user"), name="roomline_member_user"),
                ],
            },
        ),
    )
