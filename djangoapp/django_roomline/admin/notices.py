"""Notices in the admin: to compose, to preview, to send, and the record of those that were sent."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_roomline.admin.notice_form import MAX_ROOMS, NoticeForm, Target
from django_roomline.exceptions import (
    PublishError,
    PublishRejected,
    PublishReturned,
    PublishUnconfirmed,
)
from django_roomline.identity import name_of
from django_roomline.models import Notice, Room
from django_roomline.notices import AlreadySent, send_notice

if TYPE_CHECKING:  # generic for type checkers only
    from django.db.models import QuerySet

    ModelAdmin = admin.ModelAdmin[Notice]
else:
    ModelAdmin = admin.ModelAdmin

SEND = "django_roomline.send_notice"
"""The permission to send notices, to whomever."""


@admin.action(description=_("Send a notice to the selected rooms"), permissions=("send_notice",))
def compose_notice(
    model_admin: Any, request: HttpRequest, queryset: "QuerySet[Room]"
) -> HttpResponse | None:
    """Lead to the page where a notice is composed, with these rooms filled in."""
    keys = [str(key) for key in queryset.values_list("pk", flat=True)[: MAX_ROOMS + 1]]
    if len(keys) > MAX_ROOMS:
        text = _("More than %(most)d rooms are selected: a notice to everybody may do.")
        model_admin.message_user(request, text % {"most": MAX_ROOMS}, messages.ERROR)
        return None
    page = reverse("admin:django_roomline_notice_add", current_app=model_admin.admin_site.name)
    return HttpResponseRedirect(f"{page}?{urlencode({'rooms': ','.join(keys)})}")


@admin.register(Notice)
class NoticeAdmin(ModelAdmin):
    """Adding one sends it; those that were sent are there to look at."""

    list_display = ("sent_at", "room", "beginning", "sender_name", "sent_by")
    list_select_related = ("sent_by",)
    search_fields = ("room", "text", "sender_name")
    show_full_result_count = False
    fields = ("room", "text", "sender_name", "sent_by", "sent_at", "message_id")

    @admin.display(description=_("text"))
    def beginning(self, notice: Notice) -> str:
        """As much of the text as fits on a line."""
        return notice.text if len(notice.text) <= 60 else f"{notice.text[:59]}…"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may send notices."""
        return request.user.has_perm(SEND)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It was read by now."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It is the record of who has sent it."""
        return False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Compose, preview and send, one step after the other, without anything kept between."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._compose(request, NoticeForm(initial=self._selected(request)))
        form = NoticeForm(request.POST)
        if not form.is_valid() or "_change" in request.POST:
            return self._compose(request, form)
        if "_send" not in request.POST or not self._send(request, form):
            return self._preview(request, form)
        seen = "changelist" if self.has_view_permission(request) else None
        page = f"admin:django_roomline_notice_{seen}" if seen else "admin:index"
        return HttpResponseRedirect(reverse(page, current_app=self.admin_site.name))

    def _selected(self, request: HttpRequest) -> dict[str, str]:
        """What the action on rooms has filled in, for those who may see rooms."""
        given = request.GET.get("rooms", "").split(",")
        keys = [key for key in given if key.isdecimal() and len(key) < 19]  # of 64 bits
        if not keys or not request.user.has_perm("django_roomline.view_room"):
            return {}
        rooms = Room.objects.filter(pk__in=keys[:MAX_ROOMS]).values_list("name", flat=True)
        return {"target": Target.ROOMS, "names": "\n".join(rooms)}

    def _send(self, request: HttpRequest, form: NoticeForm) -> bool:
        """Whether all of it was sent, now or before; says what was and what was not."""
        sent = before = 0
        failed = False
        for number, room in enumerate(form.rooms):
            try:
                notice = send_notice(
                    room,
                    form.cleaned_data["text"],
                    request.user,  # type: ignore[arg-type]  # nobody else may send
                    form.cleaned_data["nonce"],
                )
                self.log_addition(request, notice, [{"added": {}}])
                sent += 1
            except AlreadySent:
                before += 1
            except PublishError as error:
                failed = True
                self.message_user(request, _problem(room, error), messages.ERROR)
                left = len(form.rooms) - number - 1
                if left and not isinstance(error, PublishReturned | PublishRejected):
                    text = _("The other rooms (%(count)d) were not tried.") % {"count": left}
                    self.message_user(request, text, messages.ERROR)
                    break
        if sent:
            text = ngettext("The notice was sent.", "The notice was sent to %(count)d rooms.", sent)
            self.message_user(request, text % {"count": sent}, messages.SUCCESS)
        elif before and not failed:
            self.message_user(request, _("The notice was sent before."), messages.INFO)
        return not failed

    def _compose(self, request: HttpRequest, form: NoticeForm) -> HttpResponse:
        whole = AdminForm(
            form,  # type: ignore[arg-type]  # any form will do
            [(None, {"fields": ["target", "names", "username", "text", "nonce"]})],
            {},
            model_admin=self,
        )
        return self._page(request, "compose", title=_("Send a notice"), form=form, adminform=whole)

    def _preview(self, request: HttpRequest, form: NoticeForm) -> HttpResponse:
        sender = name_of(request.user)  # type: ignore[arg-type]  # nobody else comes here
        return self._page(
            request, "preview", title=_("Send this notice?"), form=form, sender=sender
        )

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "media": self.media,
            "may_view": self.has_view_permission(request),
        }
        template = f"admin/django_roomline/notice/{name}.html"
        return TemplateResponse(request, template, shared | context)


def _problem(room: str, error: PublishError) -> str:
    if isinstance(error, PublishUnconfirmed):
        text = _("%(room)s may have the notice or not; sending it again does no harm: %(error)s")
    else:
        text = _("The notice was not sent to %(room)s: %(error)s")
    return text % {"room": room, "error": error}
