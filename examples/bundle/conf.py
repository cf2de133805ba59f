# SPDX-License-Identifier: Apache-2.0
"""Settings beside the bundle: ./shop.pyz -c conf.py. It may import what is inside."""
import shop_settings

wsgi_app = shop_settings.wsgi_app
workers = 1
