"""docs/rights.rst: its snippets on the tests' database; what it lists is tested beside the code."""

from typing import Any

from django.contrib.auth.models import Group, User
from django_roomline.models import Room
from django_roomline.policy import rights_in
from django_roomline.testing import recording

from tests.docs.pages import snippet

COVERS = {"rights-members", "rights-revoke"}

PAGE = "docs/rights.rst"


def test_members_and_revocations() -> None:
    with recording():
        chair = User.objects.create_user("chair")
        reader = User.objects.create_user("reader")
        board = Group.objects.create(name="board")
        reader.groups.add(board)
        names: dict[str, Any] = {"chair": chair, "user": chair}
        try:
            exec(snippet(PAGE, "rights-members").text, names)
            assert rights_in(chair, "chat.board") == (True, True)
            assert rights_in(reader, "chat.board") == (True, False)
            assert rights_in(User.objects.create_user("other"), "chat.board") == (False, False)
            exec(snippet(PAGE, "rights-revoke").text, names)
        finally:
            Room.objects.all().delete()
            User.objects.all().delete()
            board.delete()
