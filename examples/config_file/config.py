# SPDX-License-Identifier: Apache-2.0
"""Settings under their names; the file is Python and may compute them."""
import multiprocessing

bind = "127.0.0.1:8000"
workers = multiprocessing.cpu_count() * 2 + 1
wsgi_app = "wsgi_test:application"
