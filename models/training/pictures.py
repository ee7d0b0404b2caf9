"""What all picture sets share: pictures decoded once and kept in memory as bytes, boxes in pixels of the kept picture.

`road_pictures.py` and `privacy_pictures.py` say which sets there are, whose silence is believed, and what is held out.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tasks import Task

LONGEST_SIDE_PX = 640


@dataclass
class Picture:
    name: str
    source: str
    group: str
    pixels: np.ndarray  # BGR as decoded
    boxes: np.ndarray  # [T, 6] class, x0, y0, x1, y1 in pixels, trust (1 labelled by a person, 0 neither right nor wrong)
    believed: tuple[float, ...]  # per group of the task: how far the absence of a label is believed
    mask: np.ndarray | None = None  # 0 nothing, 1 crack, 2 pothole
    repeat: float = 1.0  # how often an epoch shows it, on average


def read_boxes(path: Path, width: int, height: int, class_map: list[int]) -> np.ndarray:
    """Boxes as in `Picture.boxes`; a sixth field is a teacher's score and stands in the place of the trust."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 5:
            raise SystemExit(f"{path}:{number}: expected `class cx cy w h`, found {line!r}")
        cx, cy, w, h = (float(value) for value in fields[1:5])
        box = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
        rows.append([class_map[int(fields[0])], *box, float(fields[5]) if len(fields) > 5 else 1.0])
    return np.array(rows, np.float32).reshape(-1, 6)


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


def class_map(classes_file: Path, task: Task) -> list[int]:
    """Position in the task's class list of each class of the set, by name or by the part before the first underscore."""
    result = []
    for name in classes_file.read_text().split():
        short = name if name in task.classes else name.split("_")[0]
        if short not in task.classes:
            raise SystemExit(f"{classes_file}: class {name!r} is none of {' '.join(task.classes)}")
        result.append(task.classes.index(short))
    return result


def manifest_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a set's `manifest.csv`, in the order of its files."""
    with open(folder / "manifest.csv", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["file"])


def read_all(read: Callable, entries: list) -> list[Picture]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(read, entries))


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
