# SPDX-License-Identifier: Apache-2.0
"""Worker classes by name: cfg.set("worker_class", ThreadWorker) says "gthread"."""


class Worker:
    """A worker is a program, workerd; classes only say which kind is meant."""
