# SPDX-License-Identifier: Apache-2.0
"""The server hooks, and how many arguments each may take."""
import importlib
import inspect

# The first is the number a hook is given if it can't be asked.
ARGUMENTS = {
    "on_starting": (1,), "on_reload": (1,), "when_ready": (1,), "on_exit": (1,), "pre_exec": (1,),
    "pre_fork": (2,), "post_fork": (2,), "post_worker_init": (1,), "worker_int": (1,),
    "worker_abort": (1,), "pre_request": (2,), "post_request": (4, 3, 2), "child_exit": (2,),
    "worker_exit": (2,), "nworkers_changed": (3,),
}


class WrongHook(Exception):
    """A sentence: where the hook is, what is wanted and what it is."""


def place_of(function):
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)


def count_for(name, function):
    """How many arguments the hook is to be given. WrongHook if none of the numbers fits."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ARGUMENTS[name][0]  # a builtin that doesn't tell
    for count in ARGUMENTS[name]:
        try:
            signature.bind(*range(count))
            return count
        except TypeError:
            continue
    wanted = " or ".join(map(str, ARGUMENTS[name]))
    plural = "" if wanted == "1" else "s"
    raise WrongHook(f"{place_of(function)}: {name} must be a function of {wanted} "
                         f"argument{plural}, not {signature}")


def resolve(name, value):
    """A hook may also be named, as "package.module.function"."""
    if not isinstance(value, str) or not value.strip():
        return value
    module, _, attribute = value.strip().rpartition(".")
    if not module:
        return value  # refused as no name at all where settings are checked
    try:
        return getattr(importlib.import_module(module), attribute)
    except BaseException as error:
        raise WrongHook(f"{name} = {value!r} cannot be found: {error}") from None


def problems(definitions, place):
    """What is wrong with the hooks among what a configuration file defines. `place` tells where it
    assigns a name."""
    texts = []
    for name in ARGUMENTS:
        try:
            function = resolve(name, definitions.get(name))
            if callable(function) and not isinstance(function, type):
                count_for(name, function)
        except WrongHook as problem:
            named = isinstance(definitions[name], str)
            texts.append(f"{place(name)}: {problem}" if named else str(problem))
    return texts
