"""`python -m solver wheelhouse OUT`: the wheels of a requirements file for a machine without internet, and their proof.

pip is the only tool, and where it looks comes from pip's own configuration (such as PIP_INDEX_URL, PIP_EXTRA_INDEX_URL
or PIP_FIND_LINKS). Law: a wheelhouse is good only if pip resolves it from the folder alone, and no wheel in it asks for
one that is missing.

OUT holds the wheels and a `requirements.txt` of exactly these; offline, for both kinds of set:
`pip install --no-index --no-deps --find-links OUT -r OUT/requirements.txt`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from solver.hardware.preflight import REQUIREMENTS
from solver.kaggle.notebook import PINS
from solver.types import BadInput

PYTHONS = ("3.11", "3.12", "3.13")
KAGGLE = "3.12"  # what its notebooks run on; the GPU set has pins for 3.11, too
OLD_NAMES = ("any", "manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64", "linux_x86_64")
GLIBC = range(5, 40)  # minor versions of glibc a wheel may name: pip takes a platform by its exact name
SHOWN = 12  # lines of pip's complaint that people are shown

Report = Mapping[str, Any]  # pip's installation report, https://pip.pypa.io/en/stable/reference/installation-report/


def environment(python: str) -> dict[str, str]:
    """What markers are evaluated with for this Python on Linux x86-64, whichever Python this is."""
    return {
        **{"python_version": python, "python_full_version": f"{python}.0", "os_name": "posix", "sys_platform": "linux"},
        **{"implementation_name": "cpython", "platform_python_implementation": "CPython"},
        **{"platform_system": "Linux", "platform_machine": "x86_64"},
    }


def pins(path: Path, python: str) -> tuple[Requirement, ...]:
    """The lines of a requirements file that hold for this Python, markers taken off.

    pip itself would ask the Python it runs on, whatever `--python-version` says. Raises `BadInput` for a line that is
    no exact pin.
    """
    try:
        lines = [line.partition(" #")[0].strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): expected a requirements file") from None
    read = [_pin(line, path) for line in lines if line and not line.startswith("#")]
    kept = [one for one in read if one.marker is None or one.marker.evaluate(environment(python))]
    return tuple(Requirement(str(one).partition(";")[0]) for one in kept)


def _pin(line: str, path: Path) -> Requirement:
    try:
        read = Requirement(line)
    except InvalidRequirement:
        raise BadInput(f"{path}: {line!r} is no requirement: expected lines such as numpy==2.3.5") from None
    if [clause.operator for clause in read.specifier] != ["=="]:
        raise BadInput(f"{path}: {line!r} is no exact pin: expected name==version, so that every machine gets the same")
    return read


def _target(python: str) -> list[str]:
    """pip's flags for wheels of this Python on Linux x86-64."""
    platforms = [*OLD_NAMES, *(f"manylinux_2_{minor}_x86_64" for minor in GLIBC)]
    flags = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    flags += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    return flags + [f"--platform={name}" for name in platforms]


def _pip(arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """What pip prints; raises `BadInput` with the end of its complaint where it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env=variables)
    if ran.returncode:
        said = "\n".join(ran.stderr.strip().splitlines()[-SHOWN:])
        raise BadInput(f"pip {arguments[0]} failed: expected wheels for every pin and what they need\n{said}")
    return ran.stdout


def download(out: Path, wanted: Sequence[Requirement], python: str) -> None:
    """Fetch the wheel of every pin into the folder, and write the pins beside them. Raises `BadInput`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / PINS).write_text(f"# Python {python}\n" + "".join(f"{one}\n" for one in wanted))
    _pip(["download", "--quiet", "--no-deps", "--dest", str(out), *_target(python), "-r", str(out / PINS)])


def resolve(
    requirements: Path, python: str, flags: Sequence[str], variables: Mapping[str, str] | None = None
) -> Report:
    """pip's report on what it would install of a requirements file for this Python. Raises `BadInput`.

    Nothing is installed; whether wheels of an index are fetched for it is pip's own affair: recent versions with
    `--use-feature=fast-deps` read their metadata alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        where = ["--target", folder, "--report", f"{folder}/report.json"]
        _pip(["install", "--dry-run", "--quiet", *where, *_target(python), *flags, "-r", str(requirements)], variables)
        return dict(json.loads(Path(folder, "report.json").read_text()))


def offline(out: Path, python: str, dependencies: bool = True) -> Report:
    """`resolve` from a wheelhouse alone: no index, and nothing that pip's configuration adds. Raises `BadInput`."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    # what a wheel asks of Python pip would compare with the Python it runs on itself: `unmet` looks at it instead
    flags = [
        "--no-index",
        "--ignore-requires-python",
        "--find-links",
        str(out),
        *([] if dependencies else ["--no-deps"]),
    ]
    return resolve(out / PINS, python, flags, bare | {"PIP_CONFIG_FILE": os.devnull})


def unmet(report: Report, python: str) -> tuple[str, ...]:
    """What packages of the report ask for, on this Python, and none of them is: `vllm wants six>=1.16, has none`.

    Beside pip's resolver, because that evaluates the packages' own markers for the Python it runs on.
    """
    packages = {canonicalize_name(one["metadata"]["name"]): one["metadata"] for one in report["install"]}
    asked = {name: one["requires_python"] for name, one in packages.items() if one.get("requires_python")}
    too_old = {name: wanted for name, wanted in asked.items() if not SpecifierSet(wanted).contains(f"{python}.9")}
    wrong = [f"{name} wants Python {wanted}, is for {python} here" for name, wanted in too_old.items()]
    for name, requirement in _asked(packages, environment(python)):
        package = packages.get(canonicalize_name(requirement.name))
        if package is None or not requirement.specifier.contains(package["version"], prereleases=True):
            wanted = str(requirement).partition(";")[0]
            wrong.append(f"{name} wants {wanted}, has {package['version'] if package else 'none'}")
    return tuple(sorted(set(wrong)))


def _asked(packages: Mapping[Any, Mapping[str, Any]], where: Mapping[str, str]) -> list[tuple[str, Requirement]]:
    """(who, what) for every requirement that holds; extras count once somebody asks for them."""
    extras: defaultdict[str, set[str]] = defaultdict(lambda: {""})
    asked: list[tuple[str, Requirement]] = []
    before = -1
    while before != len(asked):
        before, asked = len(asked), []
        for name, metadata in packages.items():
            for line in metadata.get("requires_dist", ()):
                one = Requirement(line)
                if one.marker is None or any(one.marker.evaluate({**where, "extra": e}) for e in extras[name]):
                    asked.append((name, one))
                    extras[canonicalize_name(one.name)] |= one.extras
    return asked


def _builds(report: Report, wanted: Sequence[Requirement]) -> list[str]:
    """Wheels that are another build than the pin's own, such as torch 2.13.0+cpu for torch==2.13.0."""
    exact = {canonicalize_name(one.name): str(one) for one in wanted}
    builds = {canonicalize_name(one["metadata"]["name"]): one["metadata"]["version"] for one in report["install"]}
    return [f"{exact[n]} is {v} here" for n, v in builds.items() if "+" in v and not exact[n].endswith(v)]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit status 0: built and verified; 1: something is missing; 2: pip or the input failed."""
    parser = argparse.ArgumentParser(prog="python -m solver wheelhouse", description="Wheels for an offline install.")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder for the wheels")
    parser.add_argument(
        "--requirements", type=Path, default=REQUIREMENTS, metavar="FILE", help="pins (default: the GPU set)"
    )
    parser.add_argument("--python", choices=PYTHONS, default=KAGGLE, help="of the machine to install on")
    parser.add_argument("--no-deps", action="store_true", help="a set that leaves out packages its wheels ask for")
    parser.add_argument("--verify", action="store_true", help="download nothing: check what is there")
    given = parser.parse_args(argv)
    try:
        wanted = pins(given.out / PINS if given.verify else given.requirements, given.python)
        if not given.verify:
            download(given.out, wanted, given.python)
        report = offline(given.out, given.python, dependencies=not given.no_deps)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    missing = unmet(report, given.python)
    megabytes = sum(wheel.stat().st_size for wheel in given.out.glob("*.whl")) / 1e6
    for line in (*_builds(report, wanted), *missing):
        print(f"{'left out on purpose' if given.no_deps and line in missing else 'note'}: {line}")
    whole = given.no_deps or not missing
    verdict = "resolves offline" if whole else "is NOT complete"
    print(f"{given.out}: {len(report['install'])} wheels for Python {given.python}, {megabytes:,.1f} MB: {verdict}")
    return 0 if whole else 1
