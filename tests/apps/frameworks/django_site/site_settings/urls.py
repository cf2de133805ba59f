# SPDX-License-Identifier: Apache-2.0
from django.contrib import admin
from django.urls import path
from notes import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("notes/", views.notes),
    path("download/", views.download),
    path("stream/<int:count>/", views.stream),
    path("fail/", views.fail),
]
