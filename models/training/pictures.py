"""Reading the picture sets: decoded once, kept in memory as bytes, boxes in pixels of the kept picture.

A real set is a folder with `images/`, `labels/` (YOLO text: class cx cy w h, normalised) and `manifest.csv` whose `group`
names the scene or road segment of each picture. Whole groups are held out: neighbouring pictures show the same damage.
A simulated set has `images/`, `labels/` and `classes.txt`, and is split by whoever made it.
"""

from __future__ import annotations

import csv
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from network import CLASSES

LONGEST_SIDE_PX = 640
# Segments of which only the potholes were labelled: an unlabelled crack there is no background.
POTHOLES_ONLY = {"dnit_290RS070691", "dnit_290RS150131"}
# How far the absence of a label is believed, per group (crack, pothole, repair). The survey pictures never label repairs,
# but most of their surface is none, so a little of the background is kept.
BELIEVED = {"dnit": (1.0, 1.0, 0.2), "dnit_potholes_only": (0.0, 1.0, 0.2), "cmb": (1.0, 1.0, 1.0), "simulated": (1.0, 1.0, 1.0)}


@dataclass
class Picture:
    name: str
    source: str
    group: str
    pixels: np.ndarray  # BGR as decoded
    boxes: np.ndarray  # [T, 5] class, x0, y0, x1, y1 in pixels
    believed: tuple[float, float, float]
    mask: np.ndarray | None = None  # 0 nothing, 1 crack, 2 pothole


def held_out(group: str, listed: set[str]) -> bool:
    """Listed segments, and one motorbike scene in six, chosen by a hash of its name."""
    if group.startswith("cmb_"):
        return int(hashlib.sha256(group.encode()).hexdigest(), 16) % 6 == 0
    return group in listed


def listed_groups() -> set[str]:
    lines = (Path(__file__).parent / "validation_groups.txt").read_text().splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}


def read_boxes(path: Path, width: int, height: int, class_map: list[int]) -> np.ndarray:
    rows = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 5:
            raise SystemExit(f"{path}:{number}: expected `class cx cy w h`, found {line!r}")
        cx, cy, w, h = (float(value) for value in fields[1:5])
        box = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
        rows.append([class_map[int(fields[0])], *box])
    return np.array(rows, np.float32).reshape(-1, 5)


def read_pixels(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise SystemExit(f"{path}: not a picture that can be read")
    longest = max(pixels.shape[:2])
    if longest > LONGEST_SIDE_PX:
        ratio = LONGEST_SIDE_PX / longest
        size = (round(pixels.shape[1] * ratio), round(pixels.shape[0] * ratio))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels


def read_mask(path: Path, width: int, height: int) -> np.ndarray | None:
    """0 nothing, 1 crack, 2 pothole, at the size of the kept picture; None where there is no such file."""
    if not path.exists():
        return None
    mask = np.array(Image.open(path))
    return mask if mask.shape == (height, width) else cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


def class_map(classes_file: Path) -> list[int]:
    """Position in our class list of each class of the set, by name or by the part before the first underscore."""
    result = []
    for name in classes_file.read_text().split():
        short = name if name in CLASSES else name.split("_")[0]
        if short not in CLASSES:
            raise SystemExit(f"{classes_file}: class {name!r} is none of {' '.join(CLASSES)}")
        result.append(CLASSES.index(short))
    return result


def read_real(folder: Path, masks: Path | None = None) -> tuple[list[Picture], list[Picture]]:
    """(training pictures, held-out pictures)."""
    listed, mapping = listed_groups(), class_map(folder / "classes.txt")

    def one(row: dict[str, str]) -> Picture:
        pixels = read_pixels(folder / "images" / row["file"])
        height, width = pixels.shape[:2]
        stem = Path(row["file"]).stem
        boxes = read_boxes(folder / "labels" / f"{stem}.txt", width, height, mapping)
        mask = read_mask(masks / f"{stem}.png", width, height) if masks is not None else None
        trust = "dnit_potholes_only" if row["group"] in POTHOLES_ONLY else row["source"]
        return Picture(stem, row["source"], row["group"], pixels, boxes, BELIEVED[trust], mask)

    with open(folder / "manifest.csv", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(one, rows))
    return (
        [p for p in pictures if not held_out(p.group, listed)],
        [p for p in pictures if held_out(p.group, listed)],
    )


def read_simulated(folder: Path) -> list[Picture]:
    mapping = class_map(folder / "classes.txt")

    def one(path: Path) -> Picture:
        pixels = read_pixels(path)
        height, width = pixels.shape[:2]
        boxes = read_boxes(folder / "labels" / f"{path.stem}.txt", width, height, mapping)
        mask = read_mask(folder / "masks" / f"{path.stem}.png", width, height)
        return Picture(path.stem, "simulated", "simulated", pixels, boxes, BELIEVED["simulated"], mask)

    files = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in {".jpg", ".png", ".webp"})
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, files))


def letterbox(pixels: np.ndarray, width: int, height: int, pad: int = 114) -> tuple[np.ndarray, float, float, float]:
    """Fit into width x height, centred, padded. Returns the picture and (ratio, left, top): input = kept * ratio + offset.

    The filter is the one the device uses (a triangle as wide as the shrinking asks for), so scores here mean what the
    device will see; OpenCV's linear filter skips pixels when it shrinks, and thin cracks with them.
    """
    rows, columns = pixels.shape[:2]
    ratio = min(width / columns, height / rows)
    inner_w, inner_h = round(columns * ratio), round(rows * ratio)
    left, top = (width - inner_w) // 2, (height - inner_h) // 2
    result = np.full((height, width, 3), pad, np.uint8)
    result[top : top + inner_h, left : left + inner_w] = np.asarray(
        Image.fromarray(pixels).resize((inner_w, inner_h), Image.Resampling.BILINEAR)
    )
    return result, ratio, left, top
