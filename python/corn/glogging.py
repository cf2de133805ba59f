# SPDX-License-Identifier: Apache-2.0
"""Names of gunicorn.glogging. Corn writes its logs itself, see the settings errorlog, accesslog,
loglevel and log_format; a logger_class is refused by arbiterd."""
import logging


class Logger:
    """Hands what is logged to the logger `gunicorn.error`, for scripts that make one themselves."""

    LOG_LEVELS = {"critical": logging.CRITICAL, "error": logging.ERROR,
                  "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}

    def __init__(self, cfg):
        self.cfg = cfg
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        self.setup(cfg)

    def setup(self, cfg):
        self.loglevel = self.LOG_LEVELS.get(str(cfg.loglevel).lower(), logging.INFO)

    def critical(self, message, *arguments, **options):
        self.error_log.critical(message, *arguments, **options)

    def error(self, message, *arguments, **options):
        self.error_log.error(message, *arguments, **options)

    def warning(self, message, *arguments, **options):
        self.error_log.warning(message, *arguments, **options)

    def info(self, message, *arguments, **options):
        self.error_log.info(message, *arguments, **options)

    def debug(self, message, *arguments, **options):
        self.error_log.debug(message, *arguments, **options)

    def exception(self, message, *arguments, **options):
        self.error_log.exception(message, *arguments, **options)

    def log(self, level, message, *arguments, **options):
        number = self.LOG_LEVELS.get(level.lower(), logging.INFO) if isinstance(level, str) else level
        self.error_log.log(number, message, *arguments, **options)
