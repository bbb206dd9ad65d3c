"""`python -m solver kaggle kit OUT`: folders for Kaggle's own command-line client, and its three commands.

    OUT/code/             a data set: this program and the shipped weights
    OUT/wheels-cuda13/    a data set: wheels for drivers of CUDA 13; OUT/wheels-cuda12/ for older ones
    OUT/weights/          a data set, with --weights alone
    OUT/notebook/         the notebook, which names the data sets and the competition as its sources
    OUT/README.md         the commands

Laws: a wheelhouse goes into the kit only once pip resolves it offline; a kit that Kaggle would refuse is refused here.
Sources: the client's docs/datasets_metadata.md and docs/kernels_metadata.md; kaggle.com/docs/datasets for the limits.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from solver.hardware.preflight import OLDEST_DRIVER, REQUIREMENTS
from solver.kaggle import wheelhouse
from solver.kaggle.notebook import DRIVER, PINS
from solver.types import BadInput

ROOT = Path(__file__).resolve().parents[2]
CODE = ("submission.py", "solver", "weights", REQUIREMENTS.name, "LICENSE")
NOTEBOOK = ROOT / "notebooks" / "kaggle.ipynb"
SETS: Mapping[str, Path] = {
    "13": REQUIREMENTS,
    "12": ROOT / "requirements-cuda12.txt",
}  # by CUDA's version
MOST_BYTES = 200 * 10**9  # of a data set, and of all private ones together
MOST_FILES = 50  # at the top of a data set: folders are zipped by the client, and unpacked by Kaggle
TITLE = range(6, 51)  # letters of a data set's title; its name in an address has as many
MOST_SOURCE = 10**6  # bytes of a notebook: assumed
MACHINE = "NvidiaL4"  # Kaggle's name of the machine with four L4; not tried
COMPETITION = "arc-prize-2026-arc-agi-2"
SOMEBODY = "YOUR-NAME"
README = """# A submission to Kaggle, in three commands

With Kaggle's client (`pip install kaggle`) and an API token, from this folder:

```bash
{create}
kaggle kernels push -p notebook
kaggle competitions submit {competition} -k {kernel} -v 1 -f submission.json -m "first"
```

The first uploads the data sets ({size}), which Kaggle then has to process: wait until it has; a later one is
`kaggle datasets version -p FOLDER -m WHY --dir-mode zip`. The second runs the notebook as a rehearsal without internet:
look at its score before the third, whose `-v` is the version that the second named. Once, before all of it: accept the
competition's rules on its page. Neither these commands nor the notebook have been run on Kaggle yet.
"""


@dataclass(frozen=True)
class DataSet:
    """A folder that becomes a data set: `name` in the kit, and what it is called on Kaggle."""

    path: Path
    title: str

    @property
    def slug(self) -> str:
        return self.title.lower().replace(" ", "-")

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def describe(self, user: str) -> None:
        """Write its metadata."""
        _write(
            self.path / "dataset-metadata.json",
            {"title": self.title, "id": f"{user}/{self.slug}", "licenses": [{"name": "other"}]},
        )


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _copy(source: Path, target: Path) -> None:
    """A file or a folder; wheels get a second name where the disk allows it, for they are large."""

    def copy(source: str, target: str) -> None:
        with contextlib.suppress(OSError):
            if source.endswith(".whl"):
                return os.link(source, target)
        shutil.copyfile(source, target)

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copyfile(source, target)


def code(path: Path) -> None:
    """This program as it is used, without its tests."""
    for name in CODE:
        if (ROOT / name).exists():
            _copy(ROOT / name, path / "arc-ttt" / name)


def weights(path: Path, source: Path) -> None:
    """A checkpoint. Raises `BadInput` where the folder holds none."""
    if not (source / "config.json").is_file() or not any(source.glob("*.safetensors")):
        raise BadInput(f"--weights is {source}: expected a folder with config.json and safetensors")
    _copy(source, path / "weights")


def wheels(path: Path, cuda: str, ready: Path | None) -> str:
    """A wheelhouse for drivers of this CUDA version, fetched or `ready`; how large it is. Raises `BadInput`."""
    folder, python = path / "wheels", wheelhouse.KAGGLE
    if ready is None:
        wheelhouse.download(folder, wheelhouse.pins(SETS[cuda], python), python)
    else:
        if not (ready / PINS).is_file():
            raise BadInput(f"{ready} holds no {PINS}: expected a folder that python -m solver wheelhouse made")
        _copy(ready, folder)
    report = wheelhouse.offline(folder, python)
    if missing := wheelhouse.unmet(report, python):
        raise BadInput(f"{folder} is not complete: {missing[0]}; fetch it anew, without --wheels")
    (folder / DRIVER).write_text(".".join(map(str, OLDEST_DRIVER[cuda])) + "\n")
    return f"{len(report['install'])} wheels for Python {python}, verified offline"


def faults(sets: Sequence[DataSet], notebook: Path) -> Iterator[str]:
    """What Kaggle would refuse: what came, what was expected, what to do."""
    for one in sets:
        if one.bytes > MOST_BYTES:
            size = f"{one.bytes / 1e9:,.1f} GB, expected {MOST_BYTES / 1e9:,.0f} at most"
            yield f"{one.path}: {size}; leave files out that are not needed"
        top = len(list(one.path.iterdir())) - 1  # its metadata is no part of it
        if top > MOST_FILES:
            yield f"{one.path}: {top} files at its top, expected {MOST_FILES} at most; put them into a folder"
    whole = sum(one.bytes for one in sets)
    if whole > MOST_BYTES:
        yield f"all data sets: {whole / 1e9:,.1f} GB, expected {MOST_BYTES / 1e9:,.0f} at most of private ones"
    if notebook.stat().st_size > MOST_SOURCE:
        yield f"{notebook}: {notebook.stat().st_size:,} bytes, expected {MOST_SOURCE:,} at most; clear its outputs"


def kernel(folder: Path, user: str, title: str, competition: str, sets: Sequence[DataSet]) -> str:
    """The notebook with its metadata; its name on Kaggle."""
    _copy(NOTEBOOK, folder / NOTEBOOK.name)
    name = f"{user}/{title.lower().replace(' ', '-')}"
    machine = {"enable_gpu": True, "enable_internet": False, "machine_shape": MACHINE}
    kind = {"code_file": NOTEBOOK.name, "language": "python", "kernel_type": "notebook", "is_private": True}
    sources = {
        "dataset_sources": [f"{user}/{one.slug}" for one in sets],
        "competition_sources": [competition],
        "kernel_sources": [],
        "model_sources": [],
    }
    _write(folder / "kernel-metadata.json", {"id": name, "title": title, **kind, **machine, **sources})
    return name


def build(options: argparse.Namespace) -> Iterator[str]:
    """Write the kit; a line for each part as it is done. Raises `BadInput`."""
    out: Path = options.out
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} is not empty: expected a folder to be made; choose another, or remove it")
    names = ["code", *(["weights"] if options.weights is not None else []), *(f"wheels-cuda{cuda}" for cuda in SETS)]
    sets = {name: DataSet(out / name, f"{options.name} {name.replace('-', ' ')}") for name in names}
    for one in sets.values():
        if len(one.title) not in TITLE:
            raise BadInput(f"{one.path}: its title is {one.title!r}, expected 6 to 50 letters; choose another --name")
    code(sets["code"].path)
    yield f"code: {sets['code'].bytes / 1e6:,.1f} MB"
    if options.weights is not None:
        weights(sets["weights"].path, options.weights)
        yield f"weights: {sets['weights'].bytes / 1e6:,.1f} MB"
    for cuda in SETS:
        name = f"wheels-cuda{cuda}"
        what = wheels(sets[name].path, cuda, None if options.wheels is None else options.wheels / f"cuda{cuda}")
        yield f"{name}: {what}, {sets[name].bytes / 1e6:,.1f} MB"
    for one in sets.values():
        one.describe(options.user)
    name = kernel(out / "notebook", options.user, options.name, options.competition, list(sets.values()))
    if wrong := list(faults(list(sets.values()), out / "notebook" / NOTEBOOK.name)):
        raise BadInput("; ".join(wrong))
    size = f"{sum(one.bytes for one in sets.values()) / 1e9:,.2f} GB"
    create = f"for set in {' '.join(sets)}; do kaggle datasets create -p $set --dir-mode zip; done"
    (out / "README.md").write_text(
        README.format(create=create, competition=options.competition, kernel=name, size=size)
    )
    yield f"{out}: {len(sets)} data sets and a notebook, {size}; what to do with them is in {out / 'README.md'}"
    if options.user == SOMEBODY:
        yield f"note: --user was not given: put your name in place of {SOMEBODY} in */*-metadata.json and README.md"


def main(argv: Sequence[str]) -> int:
    """The command line. Exit status 2, with one line: no kit can be made of what was given."""
    parser = argparse.ArgumentParser(prog="python -m solver kaggle", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("what", choices=("kit",))
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="the folder for the kit, which must be empty or not exist"
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help="a checkpoint beside the shipped one")
    parser.add_argument(
        "--wheels", type=Path, metavar="DIR", help="wheelhouses DIR/cuda13 and DIR/cuda12, in place of fetching them"
    )
    user = os.environ.get("KAGGLE_USERNAME", SOMEBODY)
    parser.add_argument("--user", default=user, metavar="NAME", help="of Kaggle (default: KAGGLE_USERNAME)")
    parser.add_argument("--name", default="ARC TTT", metavar="TITLE", help="what all is called on Kaggle")
    parser.add_argument("--competition", default=COMPETITION, metavar="SLUG", help="default: %(default)s")
    try:
        for line in build(parser.parse_args(argv)):
            print(line, flush=True)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
