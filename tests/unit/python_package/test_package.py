# SPDX-License-Identifier: Apache-2.0
"""The package as users start it: `python3 -m corn`, `-m corn.compat`, and scripts that fail early."""
import os
import pathlib
import subprocess
import sys

import pytest

import corn
from corn.app.base import Application, BaseApplication
from corn.app.wsgiapp import WSGIApplication
from corn import util
from corn.errors import AppImportError

PACKAGES = pathlib.Path(corn.__file__).parents[1]
ARBITERD = PACKAGES.parent / "bin" / "arbiterd"


def python(*arguments, packages=PACKAGES, cwd=None, **environment):
    """Runs python3, with Corn's package on its path."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages),
                 "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=variables, text=True,
                          capture_output=True, timeout=60, check=False)


def fake_build(directory, program):
    """A tree like a build's: package and arbiterd."""
    (directory / "python").mkdir()
    (directory / "python" / "corn").symlink_to(PACKAGES / "corn")
    (directory / "bin").mkdir()
    arbiterd = directory / "bin" / "arbiterd"
    arbiterd.write_text(program, encoding="utf-8")
    arbiterd.chmod(0o755)
    return directory / "python"


def test_version_is_the_programs():
    result = subprocess.run([ARBITERD, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1] == corn.__version__


def test_module_corn_is_arbiterd_with_the_same_arguments(tmp_path):
    packages = fake_build(tmp_path, '#!/bin/sh\nprintf "%s\\n" "$$" "$@"\n')
    process = subprocess.Popen([sys.executable, "-m", "corn", "-w", "2", "a b:c"],
                               env={"PYTHONPATH": str(packages)}, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=60)
    assert output.splitlines() == [str(process.pid), "-w", "2", "a b:c"]


def test_arbiterd_gets_the_exit_status_out():
    result = python("-m", "corn", "--no-such-option")
    assert result.returncode == 2 and "--no-such-option" in result.stderr


def test_arbiterd_is_looked_for_on_path_after_the_tree(tmp_path):
    packages = fake_build(tmp_path, "#!/bin/sh\necho tree\n")
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "arbiterd"
    other.write_text("#!/bin/sh\necho path\n", encoding="utf-8")
    other.chmod(0o755)
    path = f"{other.parent}:/bin"
    assert python("-m", "corn", packages=packages, PATH=path).stdout == "tree\n"
    (tmp_path / "bin" / "arbiterd").unlink()
    assert python("-m", "corn", packages=packages, PATH=path).stdout == "path\n"


def test_a_missing_arbiterd_is_told_with_the_places_searched(tmp_path):
    packages = fake_build(tmp_path, "")
    (tmp_path / "bin" / "arbiterd").unlink()
    if pathlib.Path("/usr/sbin/arbiterd").exists():
        pytest.skip("Corn is installed on this machine")
    result = python("-m", "corn", packages=packages, PATH="/bin")
    assert result.returncode == 1
    assert f"arbiterd is not found; looked at {tmp_path}/bin/arbiterd" in result.stderr


def test_a_virtual_environment_is_passed_on(tmp_path):
    packages = fake_build(tmp_path, '#!/bin/sh\necho "$VIRTUAL_ENV"\n')
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    result = subprocess.run([tmp_path / "venv/bin/python", "-m", "corn"], capture_output=True,
                            text=True, env={"PYTHONPATH": str(packages)}, check=False)
    assert result.stdout.strip() == str(tmp_path / "venv")


# ---- applications ----


def test_load_is_called_once_in_a_process():
    class Counting(BaseApplication):
        loads = 0

        def load_config(self):
            self.cfg.set("workers", 2)

        def load(self):
            self.loads += 1
            return object()

    app = Counting()
    assert app.wsgi() is app.wsgi() and app.loads == 1
    assert app.cfg.workers == 2


def test_values_name_the_line_of_the_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
from corn.app.base import BaseApplication
class Mine(BaseApplication):
    def load_config(self):
        self.cfg.set("workers", 2)
print(Mine().corn_values())
""", encoding="utf-8")
    assert python(script).stdout == "[('workers', '2', 'int', 5)]\n"


def test_a_configuration_that_fails_ends_the_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
from corn.app.base import BaseApplication
class Mine(BaseApplication):
    def load_config(self):
        self.cfg.set("workers", "many")
Mine()
""", encoding="utf-8")
    result = python(script)
    assert result.returncode == 2
    assert f'File "{script}", line 5' in result.stderr
    assert result.stderr.endswith("corn: the configuration cannot be loaded: workers = 'many': "
                                  "a whole number from 1 to 1000 is wanted\n")


def in_directory(tmp_path, monkeypatch, arguments, **environment):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("corn.app.base.STARTED_IN", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_sources_count_in_gunicorns_order(tmp_path, monkeypatch):
    (tmp_path / "conf.py").write_text("workers = 2\nthreads = 2\ntimeout = 2\nmine = 7\n",
                                      encoding="utf-8")
    in_directory(tmp_path, monkeypatch, ["-c", "conf.py", "--timeout=9", "-b", "a:1", "-b", "b:2",
                                         "shop:app"],
                 GUNICORN_CMD_ARGS="--threads 5 --timeout 5 --preload")
    cfg = WSGIApplication().cfg
    assert (cfg.workers, cfg.threads, cfg.timeout, cfg.preload_app) == (2, 5, 9, True)
    assert cfg.bind == ["a:1", "b:2"] and cfg.default_proc_name == "shop:app"


def test_a_default_configuration_file_is_read(tmp_path, monkeypatch):
    (tmp_path / "gunicorn.conf.py").write_text("wsgi_app = 'shop:app'\n", encoding="utf-8")
    in_directory(tmp_path, monkeypatch, [])
    assert WSGIApplication().app_uri == "shop:app"


def test_relative_paths_of_a_command_line_survive_a_reload(tmp_path, monkeypatch):
    (tmp_path / "conf.py").write_text("workers = 2\n", encoding="utf-8")
    (tmp_path / "app").mkdir()
    in_directory(tmp_path, monkeypatch, ["-c", "conf.py", "--chdir", "app", "shop:app"])
    app = WSGIApplication()
    (tmp_path / "conf.py").write_text("workers = 3\n", encoding="utf-8")
    app.corn_reload_config()
    assert app.cfg.workers == 3 and app.cfg.chdir == os.getcwd() == str(tmp_path / "app")


def test_an_application_without_a_name_is_refused(tmp_path, monkeypatch, capsys):
    in_directory(tmp_path, monkeypatch, [])
    with pytest.raises(SystemExit) as ending:
        WSGIApplication()
    assert ending.value.code == 2 and "no application is named" in capsys.readouterr().err


def test_what_init_returns_is_set(tmp_path, monkeypatch):
    class Mine(Application):
        def init(self, parser, opts, args):
            return {"workers": len(args), "BIND": "a:1"}

    in_directory(tmp_path, monkeypatch, ["x", "y", "z"])
    cfg = Mine().cfg
    assert (cfg.workers, cfg.bind) == (3, ["a:1"])


def test_import_app_takes_names_and_factories(tmp_path, monkeypatch):
    (tmp_path / "shop_of_test.py").write_text("""
def application(environ, start_response): pass
def make(name, n=1): return (lambda: (name, n))
""", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert util.import_app("shop_of_test").__name__ == "application"
    assert util.import_app("shop_of_test:make('a', n=2)")() == ("a", 2)
    for wrong in ("shop_of_test:nothing", "shop_of_test:make(x)", "shop_of_test:1+1"):
        with pytest.raises(AppImportError):
            util.import_app(wrong)


# ---- gunicorn's names ----


def test_compat_gives_an_unmodified_script_gunicorns_names(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import sys
import gunicorn.app.base, gunicorn.app.wsgiapp, gunicorn.config, gunicorn.util, gunicorn.glogging
from gunicorn.arbiter import Arbiter
from gunicorn.workers.sync import SyncWorker
import sibling
class Mine(gunicorn.app.base.BaseApplication):
    def load_config(self):
        self.cfg.set("worker_class", SyncWorker)
if __name__ == "__main__":
    print(Mine().cfg.worker_class, sys.argv, __file__, sibling.__name__)
    print(sys.modules["__main__"].Mine is Mine, gunicorn.__name__)
""", encoding="utf-8")
    (tmp_path / "sibling.py").write_text("", encoding="utf-8")
    result = python("-m", "corn.compat", script, "-x", "1")
    assert result.stdout == (f"gunicorn.workers.sync.SyncWorker {[str(script), '-x', '1']} {script} "
                             "sibling\nTrue gunicorn\n"), result.stderr


def test_compat_runs_modules_too(tmp_path):
    (tmp_path / "tool.py").write_text("import gunicorn, sys\nprint(gunicorn.SERVER, sys.argv[1:])\n",
                                      encoding="utf-8")
    assert python("-m", "corn.compat", "-m", "tool", "-w", cwd=tmp_path).stdout == "corn ['-w']\n"


def test_compat_has_the_version_of_the_gunicorn_that_corn_follows():
    result = python("-c", "from corn import compat; compat.install(); import gunicorn, corn, "
                    "importlib.util; print(gunicorn.version_info, gunicorn.__version__, "
                    "corn.__version__, importlib.util.find_spec('gunicorn').name)")
    assert result.stdout == f"(26, 0, 0) 26.0.0 {corn.__version__} gunicorn\n", result.stderr


def test_helpers_of_gunicorns():
    assert util.http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT" and util.http_date().endswith(" GMT")
    assert util.is_ipv6("::1") and not util.is_ipv6("127.0.0.1") and not util.is_ipv6("::1\0")
    assert util.bytes_to_str(b"a") == util.bytes_to_str("a") == "a"
    assert util.load_class("gthread").__name__ == "ThreadWorker"
    assert util.load_class("corn.app.base.Application") is Application
    assert util.load_class(Application) is Application
    for wrong in ("nonsense", "no.such.Class", "corn.util.NoSuchClass"):
        with pytest.raises(RuntimeError, match=f"class '{wrong}' is not found: "):
            util.load_class(wrong)


def test_what_an_application_must_define_is_told(capsys):
    class Empty(BaseApplication):
        pass

    with pytest.raises(SystemExit):
        Empty()
    said = capsys.readouterr().err
    assert "the configuration cannot be loaded: in test_what_an_application_must_define_is_told" in said
    assert "Empty, load_config() is to be defined" in said

    class Wordless(BaseApplication):
        def load_config(self):
            raise ValueError

    with pytest.raises(SystemExit):
        Wordless()
    assert "the configuration cannot be loaded: ValueError\n" in capsys.readouterr().err

    class Idle(BaseApplication):
        def load_config(self):
            pass

    with pytest.raises(NotImplementedError, match="load\\(\\) is to be defined"):
        Idle().wsgi()


def test_compat_without_a_script_tells_its_usage():
    result = python("-m", "corn.compat")
    assert result.returncode == 2 and "usage: python3 -m corn.compat SCRIPT" in result.stderr
    result = python("-m", "corn.compat", "no_such_script.py")
    assert result.returncode == 2 and "no_such_script.py: cannot be read" in result.stderr
