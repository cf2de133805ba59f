# SPDX-License-Identifier: Apache-2.0
"""What a configuration file may import although it isn't installed: gunicorn, whose names Corn's
package has too, and the worker classes of uvicorn, which only say that the class asgi is meant."""
import contextlib
import importlib.machinery
import importlib.util
import os
import sys

CLASSES = ("UvicornWorker", "UvicornH11Worker")
# Modules, and whether those classes are in them.
UVICORN = {"uvicorn": False, "uvicorn.workers": True, "uvicorn_worker": True}


def places_of_corn():
    """Where Corn's package is when it isn't on sys.path, in a virtual environment for example."""
    program = os.path.dirname(os.readlink("/proc/self/exe"))
    yield os.path.normpath(os.path.join(program, "..", "python"))  # a build tree
    yield "/usr/lib/python3/dist-packages"
    version = ".".join(map(str, sys.version_info[:2]))
    yield f"/usr/local/lib/python{version}/dist-packages"


def import_compat():
    """corn.compat. ImportError where there is none."""
    try:
        import corn.compat
        return corn.compat
    except ModuleNotFoundError as error:
        if error.name != "corn":
            raise
    for place in places_of_corn():
        # Of that directory this package alone: the others in it are not for this interpreter to find.
        specification = importlib.machinery.PathFinder.find_spec("corn", [place])
        if specification is not None and specification.loader is not None:
            package = importlib.util.module_from_spec(specification)
            sys.modules["corn"] = package
            specification.loader.exec_module(package)
            import corn.compat
            return corn.compat
    raise ModuleNotFoundError("No module named 'corn'", name="corn")


class GunicornLoader:
    def __init__(self, compat):
        self.compat = compat

    def create_module(self, specification):
        return None

    def exec_module(self, module):
        self.compat.install()  # puts others in the place of `module`, which import allows


class GunicornFinder:
    """At the end of sys.meta_path: an installed gunicorn is found before."""

    def find_spec(self, name, path=None, target=None):
        if name != "gunicorn":
            return None
        try:
            compat = import_compat()
        except ImportError:
            return None
        return importlib.machinery.ModuleSpec(name, GunicornLoader(compat), is_package=True)


class UvicornFinder:
    def find_spec(self, name, path=None, target=None):
        package, _, _ = name.rpartition(".")
        installed = package and getattr(sys.modules.get(package), "__loader__", None) is not self
        if name not in UVICORN or installed:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name == "uvicorn")

    def create_module(self, specification):
        return None

    def exec_module(self, module):
        if UVICORN[module.__name__]:
            for name in CLASSES:
                setattr(module, name, type(name, (), {
                    "__module__": module.__name__, "CONFIG_KWARGS": {},
                    "__doc__": "Stands for uvicorn's, in a configuration file."}))


def stand_in_for_gunicorn():
    """From now on: hooks import when they are called."""
    if not any(isinstance(finder, GunicornFinder) for finder in sys.meta_path):
        sys.meta_path.append(GunicornFinder())


@contextlib.contextmanager
def for_a_file():
    """While a configuration file is evaluated. What stands for uvicorn is gone afterwards: an
    application that asks whether uvicorn is there wants to use it."""
    stand_in_for_gunicorn()
    finder = UvicornFinder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in UVICORN:
            if getattr(sys.modules.get(name), "__loader__", None) is finder:
                del sys.modules[name]


def advice(error):
    """What to do about an import that failed, to follow the error's own text; or ""."""
    if not isinstance(error, ImportError) or not error.name:
        return ""
    root = error.name.partition(".")[0]
    if root in UVICORN:
        return "" if root in sys.modules else (
            f'; {root} is not installed. If a worker class of it is wanted, name it as a string: '
            'worker_class = "asgi"')
    if error.name == "gunicorn" and isinstance(error, ModuleNotFoundError):
        return ("; neither gunicorn is installed nor Corn's Python package, which stands in for it. "
                "Install one of them, or do without the import: a worker class is named as a string, "
                'worker_class = "gthread"')
    compat = sys.modules.get("corn.compat")
    if root in ("gunicorn", "corn") and compat and sys.modules.get("gunicorn") is compat.package:
        return ("; gunicorn is not installed, and Corn's package, which stands in for it, lacks "
                "this. Install gunicorn, or do without the import: a worker class is named as a "
                'string, worker_class = "gthread"')
    return ""


def class_path(value):
    """The name of a class as one would write it; those that stand in have gunicorn's."""
    path = f"{value.__module__}.{value.__qualname__}"
    return "gunicorn." + path.removeprefix("corn.") if path.startswith("corn.") else path
