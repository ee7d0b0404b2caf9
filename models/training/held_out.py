"""Lay out the pictures that are never trained on, one folder per source, for `umsicht models eval`.

    python held_out.py --task road --data ROAD --masks MASKS --out HELD          HELD/dnit, HELD/cmb
    python held_out.py --task road --data ROAD --unseen cmb --out UNSEEN         every picture of that source
    python held_out.py --task privacy --data PRIVACY --out HELD                  HELD/privacy

Each folder holds links: `images/`, `labels/`, `classes.txt`, `manifest.csv`, for the road `masks/` where they were drawn, for
privacy `labels_pseudo/` (for `--ignore-labels`).
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import privacy_pictures
import road_pictures
from pictures import manifest_rows


def road_rows(data: Path, unseen: str | None) -> dict[str, list[dict[str, str]]]:
    """Rows of the manifest by source."""
    listed, result = road_pictures.listed_groups(), defaultdict(list)
    for row in manifest_rows(data):
        if row["source"] == unseen if unseen else road_pictures.held_out(row["group"], listed):
            result[row["source"]].append(row)
    return result


def privacy_rows(data: Path) -> dict[str, list[dict[str, str]]]:
    listed = privacy_pictures.rules()
    return {"privacy": [row for row in manifest_rows(data) if privacy_pictures.held_out(Path(row["file"]).stem, listed)]}


def link(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(source.resolve())


def lay_out(rows: list[dict[str, str]], data: Path, masks: Path | None, out: Path) -> None:
    # A manifest may name a picture as it was before it was packed anew.
    files = {path.stem: path for path in (data / "images").iterdir()}
    for row in rows:
        stem = Path(row["file"]).stem
        link(files[stem], out / "images" / files[stem].name)
        for folder in ("labels", "labels_pseudo"):
            link(data / folder / f"{stem}.txt", out / folder / f"{stem}.txt")
        # Where only the potholes were labelled, an unmasked crack is no background.
        if masks and row["group"] not in road_pictures.POTHOLES_ONLY:
            link(masks / f"{stem}.png", out / "masks" / f"{stem}.png")
    link(data / "classes.txt", out / "classes.txt")
    with open(out / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "source", "group"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "file": files[Path(row["file"]).stem].name} for row in rows)
    print(f"{out}: {len(rows)} pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=["road", "privacy"], required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--masks", type=Path, help="road: folder of palette masks")
    parser.add_argument("--unseen", metavar="SOURCE", help="road: every picture of this source instead")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty: what lies there may no longer be held out")
    found = road_rows(options.data, options.unseen) if options.task == "road" else privacy_rows(options.data)
    if not any(found.values()):
        raise SystemExit(f"{options.data / 'manifest.csv'}: nothing is held out" + (f" of {options.unseen}" if options.unseen else ""))
    for source, rows in found.items():
        lay_out(rows, options.data, options.masks, options.out / source)


if __name__ == "__main__":
    main()
