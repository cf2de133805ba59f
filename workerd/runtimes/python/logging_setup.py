# SPDX-License-Identifier: Apache-2.0
"""Sets Python's logging up as gunicorn's users know it, before the application is loaded."""
import json
import logging
import os

# What a dictionary of the user's is laid over, as gunicorn does.
DEFAULTS = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        name: {"level": "INFO", "handlers": [handler], "propagate": True, "qualname": name}
        for name, handler in (("gunicorn.error", "error_console"), ("gunicorn.access", "console"))
    },
    "handlers": {
        name: {"class": "logging.StreamHandler", "formatter": "generic", "stream": stream}
        for name, stream in (("console", "ext://sys.stdout"), ("error_console", "ext://sys.stderr"))
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        },
    },
}


class ErrorLogHandler(logging.Handler):
    """Passes entries on to the process's error log, which puts time, pid and level before them."""

    def __init__(self, write_entry):
        super().__init__()
        self.write_entry = write_entry

    def emit(self, record):
        try:
            self.write_entry(record.levelno, self.format(record))
        except Exception:
            self.handleError(record)


def describe(error):
    # logging.config hides what was wrong with a part of the configuration behind the part's name.
    cause = error.__cause__ or error.__context__
    text = f"{type(error).__name__}: {error}"
    return f"{text} ({type(cause).__name__}: {cause})" if cause else text


def configure(file, json_file, dictionary):
    import logging.config
    if dictionary or json_file:
        if dictionary:
            given = json.loads(dictionary)
        else:
            with open(json_file, encoding="utf-8") as stream:
                given = json.load(stream)
            if not isinstance(given, dict):
                raise TypeError(f"an object is wanted, not {type(given).__name__}")
        logging.config.dictConfig({**DEFAULTS, **given})
    elif file:
        with open(file, encoding="utf-8"):
            pass  # says why it can't be read, which fileConfig does not
        logging.config.fileConfig(file, disable_existing_loggers=False, defaults={
            "__file__": file, "here": os.path.dirname(file)})


def make_loggers(write_entry, level):
    """gunicorn's two loggers, which lead to the process's error log and nowhere."""
    error_log = logging.getLogger("gunicorn.error")
    error_log.propagate = False
    error_log.setLevel(level.upper())
    error_log.addHandler(ErrorLogHandler(write_entry))
    access_log = logging.getLogger("gunicorn.access")
    access_log.propagate = False
    access_log.setLevel(logging.INFO)


def set_up(file, json_file, dictionary):
    """None, or why it is not possible."""
    try:
        configure(file, json_file, dictionary)
    except Exception as error:
        source = ("logconfig_dict" if dictionary else
                  f"logconfig_json: {json_file}" if json_file else f"logconfig: {file}")
        return f"{source}: Python's logging can't be configured by it: {describe(error)}"
    return None
