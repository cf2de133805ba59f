#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings.settings")
execute_from_command_line(sys.argv)
