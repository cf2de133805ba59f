# SPDX-License-Identifier: Apache-2.0
from corn.workers.base import Worker


class SyncWorker(Worker):
    """Stands for gunicorn.workers.sync.SyncWorker."""
