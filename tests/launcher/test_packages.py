"""Installing Debian packages: only the missing ones, and no service starts. In a private mount namespace."""

from pathlib import Path

import pytest

from .conftest import Checkout, MakePrograms

pytestmark = pytest.mark.root

POLICY = Path("/usr/sbin/policy-rc.d")
MARK = "mptcp-lab: no service starts"

# /usr/sbin replaced by links to what it holds, so that changes in it stay in the namespace.
PRIVATE_SBIN = f"""
set -e
mkdir "$STATE/sbin"
mount --bind /usr/sbin "$STATE/sbin"
mount -t tmpfs tmpfs /usr/sbin
ln -s "$STATE"/sbin/* /usr/sbin
rm -f {POLICY}
eval "$BEFORE"
status=0
PATH=$PROGRAMS "$LAUNCHER" || status=$?
ls {POLICY}* >"$STATE/policies" 2>/dev/null || true
cat {POLICY} >"$STATE/policy" 2>/dev/null || true
exit $status
"""

# Notes its call; `install` also notes the policy in force and brings the program and a service.
APT_GET = f"""
echo "$@" >>"$STATE/apt"
case "$*" in
*update*) ;;
*)
    sh {POLICY}; echo "policy $?" >>"$STATE/apt"
    ln -s /bin/true "$PROGRAMS/mnexec"
    touch "$STATE/installed" ;;
esac
"""
SYSTEMCTL = """
case "$1" in
list-unit-files)
    echo "ssh.service enabled enabled"
    if [ -e "$STATE/installed" ]; then echo "apache2.service enabled enabled"; fi ;;
*) echo "$@" >>"$STATE/systemctl" ;;
esac
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    monkeypatch.setenv("STATE", str(path))
    monkeypatch.setenv("BEFORE", "true")
    return path


def install(
    checkout: Checkout,
    make_programs: MakePrograms,
    monkeypatch: pytest.MonkeyPatch,
    apt_get: str = APT_GET,
) -> tuple[int, str]:
    programs = make_programs(without=frozenset({"mnexec"}), scripts={"apt-get": apt_get, "systemctl": SYSTEMCTL})
    monkeypatch.setenv("PROGRAMS", str(programs))
    result = checkout.start(under=("unshare", "--mount", "sh", "-c", PRIVATE_SBIN))
    return result.returncode, result.stderr


def test_installs_only_what_is_missing_and_says_why(
    started_checkout: Checkout, make_programs: MakePrograms, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    code, said = install(started_checkout, make_programs, monkeypatch)
    assert code == 0, said
    assert "mininet        mnexec         runs commands inside Mininet's hosts" in said
    update, *installed = (state / "apt").read_text().splitlines()
    assert update.endswith(" update")
    assert installed[0].endswith(" install --no-install-recommends -y mininet")


def test_services_do_not_start_now_or_at_boot(
    started_checkout: Checkout, make_programs: MakePrograms, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    code, said = install(started_checkout, make_programs, monkeypatch)
    assert code == 0, said
    assert "policy 101" in (state / "apt").read_text()
    assert (state / "systemctl").read_text() == "disable --quiet apache2.service\n"
    assert (state / "policies").read_text() == ""


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(f"echo mine >{POLICY}", id="the administrator's"),
        pytest.param(f"echo mine >{POLICY}.before-lab; echo '# {MARK}' >{POLICY}", id="left by a killed run"),
    ],
)
@pytest.mark.parametrize("apt_get", [APT_GET, "exit 100"], ids=["apt works", "apt fails"])
def test_policy_is_put_back(
    started_checkout: Checkout,
    make_programs: MakePrograms,
    monkeypatch: pytest.MonkeyPatch,
    state: Path,
    before: str,
    apt_get: str,
) -> None:
    monkeypatch.setenv("BEFORE", before)
    code, said = install(started_checkout, make_programs, monkeypatch, apt_get)
    assert (state / "policies").read_text() == f"{POLICY}\n"
    assert (state / "policy").read_text() == "mine\n"
    if apt_get != APT_GET:
        assert code == 2
        assert said.splitlines()[-1] == "lab: apt-get could not install: mininet"
