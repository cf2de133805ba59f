# SPDX-License-Identifier: Apache-2.0
from django.contrib import admin

from .models import Note

admin.site.register(Note)
