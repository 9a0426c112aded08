"""The token views, for a path of your choice: ``include("django_roomline.urls")``."""

from django.urls import path

from django_roomline import views

app_name = "roomline"
urlpatterns = [
    path("token", views.token, name="token"),
    path("room-token", views.room_token, name="room-token"),
]
