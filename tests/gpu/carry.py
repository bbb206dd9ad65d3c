"""Wheels in parts small enough to carry to a machine without an index, and back into wheels there.

    python -m tests.gpu.carry split WHEELS PARTS [--without 'vllm/vllm_flash_attn/_vllm_fa2_C*' …]
    python -m tests.gpu.carry join PARTS WHEELS

Law: what is joined has the bytes that were split, or nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

MOST = 56 << 20  # bytes of a part: for where 64 MiB can be carried at once, the working tree among them
INDEX = "{}.parts.json"  # beside a wheel's parts: their number, and the wheel's sha256


def trimmed(wheel: Path, to: Path, without: Sequence[str]) -> Path:
    """The wheel less the members that match a pattern: a library can be left out where its import is guarded."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(to / wheel.name, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            if not any(fnmatch(member.filename, pattern) for pattern in without):
                target.writestr(member, source.read(member))
    return to / wheel.name


def split(wheels: Path, parts: Path, without: Sequence[str] = (), most: int = MOST) -> list[Path]:
    """Write every wheel's parts; returns them. A trimmed wheel is written beside its parts and removed again."""
    parts.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for wheel in sorted(wheels.glob("*.whl")):
        content = (trimmed(wheel, parts, without) if without else wheel).read_bytes()
        (parts / wheel.name).unlink(missing_ok=True)
        pieces = [content[at : at + most] for at in range(0, len(content), most)]
        for number, piece in enumerate(pieces):
            made.append(parts / f"{wheel.name}.{number:03}")
            made[-1].write_bytes(piece)
        index = {"parts": len(pieces), "sha256": hashlib.sha256(content).hexdigest()}
        (parts / INDEX.format(wheel.name)).write_text(json.dumps(index))
    return made


def join(parts: Path, wheels: Path) -> tuple[list[Path], list[str]]:
    """Write every wheel whose parts are all there; (those wheels, what the others lack)."""
    wheels.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    lacking: list[str] = []
    for path in sorted(parts.glob(INDEX.format("*"))):
        name, index = path.name.removesuffix(INDEX.format("")), json.loads(path.read_text())
        pieces = [parts / f"{name}.{number:03}" for number in range(index["parts"])]
        missing = [p.name for p in pieces if not p.is_file()]
        content = b"" if missing else b"".join(p.read_bytes() for p in pieces)
        if missing:
            lacking.append(f"{name}: {', '.join(missing)} not here yet")
        elif hashlib.sha256(content).hexdigest() != index["sha256"]:
            lacking.append(f"{name}: its parts are not those that were split")
        else:
            made.append(wheels / name)
            made[-1].write_bytes(content)
    return made, lacking


def main(argv: list[str]) -> int:
    """`split` or `join`; 1 where a wheel is not complete."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.carry", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("what", choices=("split", "join"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--without", nargs="*", default=[], metavar="PATTERN", help="members of wheels to leave out")
    options = parser.parse_args(argv)
    if options.what == "split":
        for part in split(options.source, options.target, options.without):
            print(f"{part.stat().st_size / (1 << 20):6.1f} MiB  {part.name}")
        return 0
    made, lacking = join(options.source, options.target)
    print("\n".join([*(f"whole: {wheel.name}" for wheel in made), *lacking]))
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
