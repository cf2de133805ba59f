# SPDX-License-Identifier: Apache-2.0
"""Settings that travel in the bundle: -c python:shop_settings."""
wsgi_app = "shop:app"
workers = 2
