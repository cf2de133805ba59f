# SPDX-License-Identifier: Apache-2.0
"""The server hooks, and how many arguments each may take."""
import inspect

# The first is the number a hook is given if it can't be asked.
ARGUMENTS = {
    "on_starting": (1,), "on_reload": (1,), "when_ready": (1,), "on_exit": (1,), "pre_exec": (1,),
    "pre_fork": (2,), "post_fork": (2,), "post_worker_init": (1,), "worker_int": (1,),
    "worker_abort": (1,), "pre_request": (2,), "post_request": (4, 3, 2), "child_exit": (2,),
    "worker_exit": (2,), "nworkers_changed": (3,),
}


class WrongArguments(Exception):
    """A sentence: where the hook is, what is wanted and what it is."""


def place_of(function):
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)


def count_for(name, function):
    """How many arguments the hook is to be given. WrongArguments if none of the numbers fits."""
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
    raise WrongArguments(f"{place_of(function)}: {name} must be a function of {wanted} "
                         f"argument{plural}, not {signature}")


def problems(definitions):
    """What is wrong with the functions that are hooks among what a configuration file defines."""
    texts = []
    for name in ARGUMENTS:
        function = definitions.get(name)
        if callable(function) and not isinstance(function, type):
            try:
                count_for(name, function)
            except WrongArguments as problem:
                texts.append(str(problem))
    return texts
