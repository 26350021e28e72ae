"""How commands end: closed and full streams, terminals without letters, interrupts, faults of the program; never a traceback."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import sys\nfrom experiments.command import run_command\nfrom radiodiff_jax.errors import UserError\n"


def start(body: str, shell: str = "", folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run a command whose `main` has this body; `shell` is what follows it on a shell's line."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    program = f"{HEAD}def main():\n{indented}\nrun_command(main)\n"
    line = f'"$PYTHON" -c "$PROGRAM" {shell}'
    names = {"PYTHON": sys.executable, "PROGRAM": program, "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": "none",
             "PYTHONUNBUFFERED": ""}  # fmt: skip
    return subprocess.run(["bash", "-c", line], capture_output=True, cwd=folder, env=os.environ | names | environment, check=False)


LINES = "for number in range(100000): print('line', number)"


@pytest.mark.parametrize(
    ("body", "shell", "code", "says"),
    [
        ("print('done')", ">&-", 0, b""),
        ("print('done')", "2>&-", 0, b""),
        ("print('done')", ">&- 2>&-", 0, b""),
        ("print('done')", "<&- >&- 2>&-", 0, b""),
        ("raise UserError('the answer')", ">&- 2>&-", 1, b""),
        ("raise UserError('the answer', 2)", "2>&-", 2, b""),
        ("print('done')", "> /dev/full", 1, b"error: what was printed"),
        (LINES, "> /dev/full", 1, b"error: what was printed"),
        ("raise UserError('the answer')", "> /dev/full", 1, b"error: the answer"),
        ("print('done', file=sys.stderr)", "2> /dev/full", 1, b""),
        ("raise UserError('the answer', 2)", "2> /dev/full", 2, b""),
        (LINES, "| head -1; exit ${PIPESTATUS[0]}", 141, b""),
        (f"sys.stdout = sys.stderr\n{LINES}", "2>&1 | head -1; exit ${PIPESTATUS[0]}", 141, b""),
        ("import argparse; argparse.ArgumentParser().parse_args(['--help'])", "| true; exit ${PIPESTATUS[0]}", 141, b""),
        ("import argparse; argparse.ArgumentParser().parse_args(['--help'])", "> /dev/full", 1, b"error: what was printed"),
        ("import argparse; argparse.ArgumentParser().parse_args(['--no'])", "2>&-", 2, b""),
    ],
)  # fmt: skip
def test_streams_that_lead_nowhere(body, shell, code, says):
    done = start(body, shell)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    assert done.stderr.startswith(says) and done.stderr.count(b"\n") == (1 if says else 0)


ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("environment", ASCII)
def test_a_terminal_without_the_letters_of_a_path(tmp_path, environment):
    folder = tmp_path / "straße-🏙"
    folder.mkdir()
    body = "import os\nprint(os.getcwd())\nraise UserError(f'{os.getcwd()} is not a run')"
    done = start(body, folder=folder, **environment)
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert b"stra" in done.stdout and re.match(rb"error: .*stra.* is not a run\n$", done.stderr)
    assert done.stderr.isascii() and done.stdout.isascii()


def test_a_full_disk_is_told_at_once_where_nothing_is_held_back():
    done = start("print('done')", "> /dev/full", PYTHONUNBUFFERED="1")
    assert done.returncode == 1 and done.stderr.startswith(b"error: what was printed") and done.stderr.count(b"\n") == 1


def test_a_name_that_is_not_text():
    done = start(r"raise UserError(f'{sys.argv} is missing')", "$'a\\xff'")
    assert done.returncode == 1 and b"is missing" in done.stderr and b"Traceback" not in done.stderr


def test_an_error_is_one_line_and_leaves_the_terminal_alone():
    done = start(r"raise UserError('there is no \x1b[31mred\n\nfile\x07')")
    assert done.stderr == b"error: there is no \\x1b[31mred file\\x07\n"


def test_an_interrupt_is_told_in_a_word():
    done = start("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(9)")
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_an_interrupt_while_libraries_are_loaded_is_told_in_a_word():
    program = "import sys; sys.argv = ['-m']; import experiments; raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"interrupted\n")


def test_a_fault_of_the_program_is_kept_in_a_file(tmp_path):
    done = start("secret = 5\nraise RuntimeError('of the inside\\ud800')", TMPDIR=str(tmp_path))
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    sentence = r"error: this is a fault of the program \(RuntimeError\); (\S+) holds the details.*\n"
    found = re.fullmatch(sentence, done.stderr.decode())
    assert found and Path(found[1]).parent == tmp_path
    text = Path(found[1]).read_text()
    assert "Traceback" in text and "RuntimeError: of the inside" in text


def test_a_fault_is_told_where_no_file_can_be_written(tmp_path):
    done = start("import tempfile, os\ntempfile.tempdir = '/proc/none'\nos.chdir('/proc')\nraise RuntimeError('of the inside')")
    assert done.returncode == 1 and b"RuntimeError: of the inside" in done.stderr
    assert b"error: this is a fault of the program (RuntimeError); the text above holds the details" in done.stderr


@pytest.mark.parametrize(("body", "says"), [
    ("raise MemoryError", b"memory of this machine is full"),
    ("def deeper(): deeper()\ndeeper()", b"nested too deeply"),
    ("raise OSError(28, 'No space left on device', 'map.png')", b"error: map.png could not be written (No space left on device)"),
])  # fmt: skip
def test_what_the_machine_lacks_is_told_plainly(body, says):
    done = start(body)
    assert done.returncode == 1 and says in done.stderr and done.stderr.count(b"\n") == 1


def test_no_home_is_no_fault():
    done = start("import pathlib\nprint('done')", HOME="", XDG_CACHE_HOME="")
    assert done.returncode == 0 and done.stdout == b"done\n"
