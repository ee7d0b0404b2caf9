"""The road sets: which there are, how far their silence is believed, and which scenes are held out.

A real set is a folder with `images/`, `labels/` (YOLO text: class cx cy w h, normalised) and `manifest.csv` whose `group`
names the scene or road segment of each picture. Whole groups are held out: neighbouring pictures show the same damage.
A simulated set has `images/`, `labels/` and `classes.txt`, and is split by whoever made it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pictures import Picture, class_map, manifest_rows, read_all, read_boxes, read_pixels
from tasks import ROAD

# Segments of which only the potholes were labelled: an unlabelled crack there is no background.
POTHOLES_ONLY = {"dnit_290RS070691", "dnit_290RS150131"}
# How far the absence of a label is believed, per group (crack, pothole, repair). The survey pictures never label repairs,
# but most of their surface is none, so a little of the background is kept.
BELIEVED = {"dnit": (1.0, 1.0, 0.2), "dnit_potholes_only": (0.0, 1.0, 0.2), "cmb": (1.0, 1.0, 1.0), "simulated": (1.0, 1.0, 1.0)}


def held_out(group: str, listed: set[str]) -> bool:
    """Listed segments, and one motorbike scene in six, chosen by a hash of its name."""
    if group.startswith("cmb_"):
        return int(hashlib.sha256(group.encode()).hexdigest(), 16) % 6 == 0
    return group in listed


def listed_groups() -> set[str]:
    lines = (Path(__file__).parent / "validation_groups.txt").read_text().splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}


def read_mask(path: Path, width: int, height: int) -> np.ndarray | None:
    """0 nothing, 1 crack, 2 pothole, at the size of the kept picture; None where there is no such file."""
    if not path.exists():
        return None
    mask = np.array(Image.open(path))
    return mask if mask.shape == (height, width) else cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


def read_real(folder: Path, masks: Path | None = None, unseen: str | None = None) -> tuple[list[Picture], list[Picture]]:
    """(training pictures, held-out pictures). With `unseen` all pictures of that source are held out and no others: what a
    network trained on the rest makes of them says what it makes of a camera that it does not know."""
    listed, mapping = listed_groups(), class_map(folder / "classes.txt", ROAD)

    def one(row: dict[str, str]) -> Picture:
        pixels = read_pixels(folder / "images" / row["file"])
        height, width = pixels.shape[:2]
        stem = Path(row["file"]).stem
        boxes = read_boxes(folder / "labels" / f"{stem}.txt", width, height, mapping)
        mask = read_mask(masks / f"{stem}.png", width, height) if masks is not None else None
        trust = "dnit_potholes_only" if row["group"] in POTHOLES_ONLY else row["source"]
        return Picture(stem, row["source"], row["group"], pixels, boxes, BELIEVED[trust], mask)

    pictures = read_all(one, manifest_rows(folder))
    if unseen:
        mine = [p for p in pictures if p.source == unseen]
        if not mine:
            raise SystemExit(f"{folder / 'manifest.csv'}: no picture has the source {unseen!r}")
        return [p for p in pictures if p.source != unseen and not held_out(p.group, listed)], mine
    return (
        [p for p in pictures if not held_out(p.group, listed)],
        [p for p in pictures if held_out(p.group, listed)],
    )


def read_simulated(folder: Path) -> list[Picture]:
    mapping = class_map(folder / "classes.txt", ROAD)

    def one(path: Path) -> Picture:
        pixels = read_pixels(path)
        height, width = pixels.shape[:2]
        boxes = read_boxes(folder / "labels" / f"{path.stem}.txt", width, height, mapping)
        mask = read_mask(folder / "masks" / f"{path.stem}.png", width, height)
        return Picture(path.stem, "simulated", "simulated", pixels, boxes, BELIEVED["simulated"], mask)

    files = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in {".jpg", ".png", ".webp"})
    return read_all(one, files)
