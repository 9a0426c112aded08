"""Tokens and the archive, for a path of your choice: ``include("django_roomline.urls")``."""

from django.urls import path

from django_roomline import archive_views, views

app_name = "roomline"
urlpatterns = [
    path("token", views.token, name="token"),
    path("room-token", views.room_token, name="room-token"),
    path("archive/<str:room>", archive_views.archive, name="archive"),
]
