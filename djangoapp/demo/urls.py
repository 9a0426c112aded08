"""The demo's pages."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from demo import views

urlpatterns = [
    path("", views.rooms, name="rooms"),
    path("rooms/<str:name>/", views.room, name="room"),
    path("log/", views.log, name="log"),
    path("name/", views.guest_name, name="guest-name"),
    path(
        "login/",
        LoginView.as_view(template_name="demo/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("roomline/", include("django_roomline.urls")),
    path("admin/", admin.site.urls),
]
