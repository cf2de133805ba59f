# SPDX-License-Identifier: Apache-2.0
from corn.workers.base import Worker


class ThreadWorker(Worker):
    """Stands for gunicorn.workers.gthread.ThreadWorker."""
