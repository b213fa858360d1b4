"""The command line: usage mistakes are one line, and light commands stay light."""

import os
import subprocess
import sys

import pytest

from depthmix.cli import main
from depthmix.cli.main import COMMANDS

HEAVY = {"torch", "lightning", "kornia", "open3d", "cv2", "matplotlib", "h5py", "scipy"}
LIGHT = [
    *(
        "--help",
        "--version",
        "sources list",
        "sources show KittiLidar",
        "losses list",
        "losses show SilogLoss",
    ),
    *(f"{command} --help" for command in COMMANDS),
]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "arguments are required: COMMAND; see `depthmix --help`"),
        (["train"], "invalid choice: 'train'"),
        (["sources"], "arguments are required: action; see `depthmix sources --help`"),
        (["prepare", "WebStereo", "a", "b", "--workers", "two"], "--workers: invalid int value: 'two'"),
        (["predict", "a.jpg", "--ckpt", "x", "--focal-px", "4", "--fov-degrees", "4"], "not allowed with"),
    ],
)
def test_a_usage_mistake_is_one_line_and_exit_code_2(capsys, arguments, said):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("depthmix: ")
    assert said in line


@pytest.mark.parametrize("arguments", LIGHT)
def test_a_light_command_imports_nothing_heavy(arguments):
    code = (
        "import sys; from depthmix.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout
    assert result.stderr.strip() == "[]"


def test_a_reader_that_leaves_early_ends_the_command_without_a_word():
    code = "import sys; from depthmix.cli import main; sys.exit(main(['sources', 'list']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == ""
        assert command.wait() == 141


def test_only_the_chosen_command_is_imported():
    code = "import sys; from depthmix.cli.main import _parser; _parser('report'); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {name for name in result.stdout.split() if name.startswith("depthmix.cli.")}
    assert found == {"depthmix.cli.main", "depthmix.cli.report"}


def test_variables_by_which_others_run_code_are_closed(monkeypatch, capsys):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setenv("HDF5_PLUGIN_PRELOAD", "")
    assert main(["sources", "list"]) == 0
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
    assert os.environ["HDF5_PLUGIN_PRELOAD"] == "::"
