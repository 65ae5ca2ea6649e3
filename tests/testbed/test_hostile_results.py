"""Somebody else's results directory: whatever is in it is answered in one line, and nothing is written elsewhere."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from analysis import files
from analysis.errors import ForeignPlace, Unforeseen, UnreadableFile
from testbed.cli.mistakes import INTERNAL, tell
from testbed.errors import LabError, Unsupported
from tests.analysis.test_analysis import SUMMARY
from tests.testbed.test_cli import KERNEL, PROJECT, Done, Lab, lab
from tests.testbed.test_runner import run, toy

__all__ = ["lab"]

KEPT = PROJECT / "analysis" / "notebooks" / "results" / "quickstart"
NAME = json.loads((KEPT / "manifest.json").read_text())["hash"]

Spoil = Callable[[Path], object]


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tracebacks that are kept go where pytest clears away."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("logs")))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results directory with one run."""
    directory = tmp_path / "results" / "quickstart" / NAME
    directory.mkdir(parents=True)
    for name in ("manifest.json", "results.csv"):
        shutil.copy(KEPT / name, directory)
    return tmp_path / "results"


def changed(**fields: object) -> Spoil:
    """The manifest with other fields; None: without."""

    def spoil(path: Path) -> None:
        document = json.loads(path.read_text()) | fields
        path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))

    return spoil


def holding(text: str | bytes) -> Spoil:
    return lambda path: path.write_bytes(text.encode() if isinstance(text, str) else text)


def of_kind(make: Callable[[Path], object]) -> Spoil:
    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def edited(change: Callable[[str], str]) -> Spoil:
    def spoil(path: Path) -> None:
        before = path.read_text()
        after = change(before)
        assert after != before, f"{path}: nothing was spoilt"
        path.write_text(after)

    return spoil


def cell(column: str, value: str) -> Spoil:
    """The table with another first value in a column, wherever the column stands."""

    def change(text: str) -> str:
        heading, first, *rest = text.splitlines(keepends=True)
        values = first.split(",")
        values[heading.split(",").index(column)] = value
        return "".join([heading, ",".join(values), *rest])

    return edited(change)


KINDS: dict[str, Spoil] = {
    "missing": of_kind(lambda path: None),
    "a directory": of_kind(Path.mkdir),
    "a FIFO": of_kind(os.mkfifo),
    "a device": of_kind(lambda path: path.symlink_to("/dev/zero")),
    "a circle": of_kind(lambda path: path.symlink_to(path)),
    "binary": holding(bytes(range(256))),
}
MANIFESTS: dict[str, Spoil] = KINDS | {
    "a list": holding("[]"),
    "an object": holding("{}"),
    "null": holding("null"),
    "nothing": holding(""),
    "partial": edited(lambda text: text[: len(text) // 2]),
    "nested": holding("[" * 100_000),
    "a huge number": holding('{"format": ' + "1" * 10_000 + "}"),
    "another format": changed(format=2, sessions="of another kind"),
    "no format": changed(format=None),
    "experiment up": changed(experiment="../../../../pwn"),
    "experiment root": changed(experiment="/pwn"),
    "experiment odd": changed(experiment="a\0b"),
    "experiment long": changed(experiment="x" * 300),
    "hash up": changed(hash="../../pwn"),
    "hash hidden": changed(hash=".."),
    "hash of two lines": changed(hash=f"{NAME}\n"),
    "figure up": changed(figure="../load"),
    "figure elsewhere": changed(figure="os.path"),
    "figure unknown": changed(figure="nothing"),
    "figure of no run": changed(figure="time_sequence"),
    "sessions none": changed(sessions=[]),
    "sessions words": changed(sessions=["x"]),
    "sessions missing": changed(sessions=None),
    "commands number": changed(sessions=[{"began": "", "command_line": [1]}]),
    "title number": changed(title=5),
    "title of no characters": changed(title="\ud800"),
    "stacks word": changed(stacks="kernel-tcp"),
    "why number": changed(why=5),
    "labs numbers": changed(labs=[1]),
    "points list": changed(points=[]),
    "specification list": changed(specification=[]),
    "parameters list": changed(specification={"parameters": []}),
    "parameters words": changed(specification={"parameters": {"rate": "x", "paths": "y", "concurrency": []}}),
    "parameters none": changed(specification={"parameters": {}}),
}
TABLES: dict[str, Spoil] = KINDS | {
    "heading alone": edited(lambda text: text.splitlines(keepends=True)[0]),
    "no heading": edited(lambda text: "".join(text.splitlines(keepends=True)[1:])),
    "one word": holding("x\n"),
    "cut in a row": edited(lambda text: text[: 2 * len(text) // 3]),
    "a word for a number": cell("size_bytes", "many"),
    "a word for a repetition": cell("repetition", "x"),
    "another outcome": cell("outcome", "perhaps"),
    "quotes": cell("outcome", '"passed'),
}


def assert_one_line(done: Done, names: str) -> None:
    assert done.returncode == 2, done
    assert done.stderr.startswith("lab: ")
    assert done.stderr.count("\n") == 1
    assert names in done.stderr


@pytest.mark.parametrize("command", ["figures", "report"])
@pytest.mark.parametrize(
    ("file", "what"),
    [*(("manifest.json", what) for what in MANIFESTS), *(("results.csv", what) for what in TABLES)],
)
def test_a_spoilt_run_is_named_in_one_line(lab: Lab, results: Path, command: str, file: str, what: str) -> None:
    path = results / "quickstart" / NAME / file
    (MANIFESTS if file == "manifest.json" else TABLES)[what](path)
    before = sorted(results.parent.rglob("*"))
    done = lab(command, "--out", str(results))
    if (file, what) == ("manifest.json", "missing"):
        assert "no results" in done.stderr
    assert_one_line(done, str(results if "missing" in what else path.parent))
    assert sorted(results.parent.rglob("*")) == before


@pytest.mark.parametrize("what", ["a list", "nested", "a FIFO", "hash up", "figure unknown"])
def test_compare_and_notebooks_say_so_as_well(lab: Lab, results: Path, what: str) -> None:
    directory = results / "quickstart" / NAME
    MANIFESTS[what](directory / "manifest.json")
    for command in (("compare", str(directory), str(KEPT)), ("compare", str(KEPT), str(directory)),
                    ("notebooks", "--out", str(results))):  # fmt: skip
        if what != "figure unknown" or command[-1] == str(KEPT):
            assert_one_line(lab(*command), str(directory))


def test_a_table_that_lost_rows_is_said(lab: Lab, results: Path) -> None:
    table = results / "quickstart" / NAME / "results.csv"
    rows = table.read_text().splitlines(keepends=True)
    changed(points={f"point{number}": SUMMARY for number in range(len(rows) - 1)})(table.with_name("manifest.json"))
    assert lab("figures", "--out", str(results)).returncode == 0
    table.write_text("".join(rows[:-5]))
    assert_one_line(lab("figures", "--out", str(results)), f"{table}: cut off after {len(rows) - 6} rows")


@pytest.mark.parametrize("link", ["figures", "report", f"figures/quickstart-{NAME}.png", "report/report.pdf"])
def test_no_link_leads_what_is_written_elsewhere(lab: Lab, results: Path, link: str) -> None:
    elsewhere = results.parent / "elsewhere"
    if "." in link:
        (results / link).parent.mkdir()
        elsewhere.write_text("mine")
    else:
        elsewhere.mkdir()
    (results / link).symlink_to(elsewhere)
    done = lab("report" if link.startswith("report") else "figures", "--out", str(results))
    assert_one_line(done, f"{results / link}: leads out of {results}")
    assert elsewhere.read_text() == "mine" if elsewhere.is_file() else not list(elsewhere.iterdir())


def test_names_out_of_data_are_shown_as_they_are(lab: Lab, results: Path) -> None:
    """Neither markup of a terminal nor formulas of a picture."""
    title = r"[/bold] $\foo$ :smile: [red]x"
    changed(title=title)(results / "quickstart" / NAME / "manifest.json")
    assert lab("figures", "--out", str(results)).returncode == 0
    done = lab("compare", *[str(results / "quickstart" / NAME)] * 2)
    assert done.returncode == 0
    assert title in done.stdout


def sidecar(files: list[str], **fields: object) -> str:
    record = {"outcome": "ran", "why": None, "files": files}
    return json.dumps({"format": 1, "collectors": {"events": record}, "workload": {"began_ns": 0}} | fields)


COLLECTED: dict[str, tuple[str, Spoil]] = {
    "a list": ("[]", of_kind(os.mkfifo)),
    "no collectors": ('{"format": 1}', of_kind(os.mkfifo)),
    "collectors list": (sidecar([], collectors=[]), of_kind(os.mkfifo)),
    "a file elsewhere": (sidecar(["../../../etc/passwd"]), of_kind(os.mkfifo)),
    "a root's file": (sidecar(["/etc/passwd"]), of_kind(os.mkfifo)),
    "a FIFO": (sidecar(["x"]), of_kind(os.mkfifo)),
    "no lines of JSON": (sidecar(["x"]), holding("x")),
    "lists": (sidecar(["x"]), holding("[]\n")),
    "a word for a time": (sidecar(["x"]), holding('{"time_ns": "x"}\n')),
    "no event": (sidecar(["x"]), holding('{"time_ns": 1}\n')),
    "an odd event": (sidecar(["x"]), holding('{"time_ns": 1, "event": 5, "connection": [], "subflow": {}}\n')),
}


@pytest.mark.parametrize(("record", "spoil"), COLLECTED.values(), ids=COLLECTED)
def test_spoilt_files_of_collectors_are_named_in_one_line(lab: Lab, tmp_path: Path, record: str, spoil: Spoil) -> None:
    directory = tmp_path / "point" / "collected"
    directory.mkdir(parents=True)
    (directory / "collectors.json").write_text(record)
    (directory / "x").touch()
    spoil(directory / "x")
    assert_one_line(lab("timesequence", str(tmp_path / "point"), "--out", str(tmp_path)), str(tmp_path / "point"))


def test_a_capture_that_nobody_writes_is_not_waited_for(lab: Lab, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pcap")
    assert_one_line(lab("timesequence", str(tmp_path / "x.pcap")), "not a capture file (not a regular file)")


# --- the runner's own files ----------------------------------------------------------------------------------

RECORDS: dict[str, Spoil] = KINDS | {
    "a list": holding("[]"),
    "an object": holding("{}"),
    "partial": edited(lambda text: text[: len(text) // 2]),
    "nested": holding("[" * 100_000),
    "outcome": changed(outcome="perhaps"),
    "why": changed(why="because"),
    "session": changed(session="x"),
    "result": changed(result=[]),
}
del RECORDS["missing"]


@pytest.mark.parametrize("what", RECORDS)
@pytest.mark.parametrize("file", ["points/*/point.json", "manifest.json"])
def test_a_spoilt_record_is_named_in_one_line(tmp_path: Path, file: str, what: str) -> None:
    run(toy(), tmp_path)
    path = next(tmp_path.glob(f"toy/*/{file}"))
    if file == "manifest.json" and what in ("outcome", "why", "session", "result"):
        changed(why="because")(path)
    else:
        RECORDS[what](path)
    with pytest.raises(LabError) as caught:
        run(toy(), tmp_path)
    assert str(path) in caught.value.message
    assert "move it away to measure again" in caught.value.message


def test_points_without_their_manifest_are_not_taken_for_ones_of_today(tmp_path: Path) -> None:
    run(toy(), tmp_path)
    next(tmp_path.glob("toy/*/manifest.json")).unlink()
    with pytest.raises(LabError, match=r"manifest\.json: missing, and there are points"):
        run(toy(), tmp_path)


@pytest.mark.parametrize("link", ["toy", "toy/HASH", "toy/HASH/points"])
def test_a_run_does_not_follow_links_out_of_its_directory(tmp_path: Path, link: str) -> None:
    run(toy(), tmp_path / "first")
    (name,) = [path.name for path in (tmp_path / "first" / "toy").iterdir()]
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = out / link.replace("HASH", name)
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(ForeignPlace, match="leads out of"):
        run(toy(), out)
    assert not list(elsewhere.iterdir())


def test_a_file_is_replaced_and_no_link_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in ("a.txt", ".a.txt.new"):
        (tmp_path / name).symlink_to(mine)
    files.replace(tmp_path / "a.txt", b"yours")
    assert (tmp_path / "a.txt").read_text() == "yours"
    assert mine.read_text() == "mine"


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with pytest.raises(UnreadableFile, match="more than"):
        files.read_text(tmp_path / "large")


# --- what ends a command -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (LabError("no such thing", 1), 1, "no such thing"),
        (Unsupported("not here"), 3, "not here"),
        (UnreadableFile("x: torn"), 2, "x: torn"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 2, "a/b: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", b"a", None, "b"), 2, "a -> b: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "a: Permission denied"),
    ],
)
def test_what_a_user_can_mend_is_said_as_it_is(capsys, error: Exception, code: int, line: str) -> None:
    assert tell(error) == code
    assert capsys.readouterr().err == f"lab: {line}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("two\nlines"), INTERNAL),
        (RecursionError("deep"), INTERNAL),
        (OSError(errno.EBADF, "Bad file descriptor"), INTERNAL),
        (Unforeseen("x.csv: cannot be drawn"), 2),
    ],
)
def test_a_mistake_of_the_lab_leaves_its_traceback_in_a_file(capsys, monkeypatch, tmp_path, error, code) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with suppress(type(error)):
        raise error
    assert tell(error) == code
    said = capsys.readouterr().err
    (log,) = tmp_path.iterdir()
    assert said.count("\n") == 1
    assert str(log) in said
    assert "test_hostile_results.py" in log.read_text()


FULL = """
import sys
from pathlib import Path
from testbed.cli.mistakes import tell
from tests.testbed.test_runner import run, toy
try:
    run(toy(), Path(sys.argv[1]))
except Exception as error:
    sys.exit(tell(error))
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "said"), [("size=40k", "No space left on device"), ("size=1m,ro", "Read-only file system")]
)
def test_a_full_disk_and_one_that_is_read_only(tmp_path: Path, options: str, said: str) -> None:
    mount = f'mount -t tmpfs -o {options} tmpfs {tmp_path} && exec "$@"'
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", *command], cwd=PROJECT, capture_output=True, text=True,
        check=False, timeout=120, env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 2, done
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"lab: {tmp_path}")
    assert said in last
    assert "Traceback" not in done.stderr


PLACES = ("/proc/x", "README.md", "/dev/full")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["figures", "notebooks", "report", "interop", f"timesequence {KERNEL}"])
def test_a_place_where_nothing_can_be_written_is_one_line(lab: Lab, command: str, place: str) -> None:
    done = lab(*command.split(), "--out", place)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: ")
    assert place in line


@pytest.mark.root
def test_a_run_into_a_place_where_nothing_can_be_written_is_one_line() -> None:
    command = [sys.executable, "-m", "testbed", "bench", "--out", "README.md"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: README.md")
