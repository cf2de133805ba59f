# SPDX-License-Identifier: Apache-2.0
from corn.workers.base import Worker


class GeventWorker(Worker):
    """Stands for gunicorn.workers.ggevent.GeventWorker."""
