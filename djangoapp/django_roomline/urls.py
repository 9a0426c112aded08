"""Tokens, configuration, archive, for a path of yours: ``include("django_roomline.urls")``."""

from django.urls import path

from django_roomline import archive_views, pages, views

app_name = "roomline"
urlpatterns = [
    path("token", views.token, name="token"),
    path("room-token", views.room_token, name="room-token"),
    path("config", pages.config, name="config"),
    path("archive/<str:room>", archive_views.archive, name="archive"),
]
