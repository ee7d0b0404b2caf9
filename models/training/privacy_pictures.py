"""The privacy set: whose labels are believed for what, and what is held out.

A folder with `images/`, `labels/` (drawn by people, complete only for the classes that `human_labelled_classes` of
`manifest.csv` names for the picture), `labels_pseudo/` (a teacher's boxes for other classes, the sixth field its score),
`classes.txt`. `teacher.py` writes road pictures in the same form.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from pictures import Picture, class_map, manifest_rows, read_all, read_boxes, read_pixels
from tasks import PRIVACY

# A teacher's box with at least this score is learned with this trust; a weaker one is neither right nor wrong.
TEACHER_SURE = {"face": 0.75, "person": 0.5, "vehicle": 0.5}
TEACHER_TRUST = 0.6
TEACHER_SMALLEST_PX = 12.0
# How far a missing label is believed: drawn by people; where only legible plates were drawn; where a teacher looked; where
# nobody looked for it.
COMPLETE, LEGIBLE_ONLY, TEACHER, NOBODY = 1.0, 0.5, 0.8, 0.5
# Crowded stills teach most; frames of one video show one face again and again.
REPEAT_STILL, REPEAT_COCO, REPEAT_VIDEO, REPEAT_ROAD = 2.0, 4.0, 0.5, 0.6
VIDEO = re.compile(r"(_mov|_mp4|_MOV|Screen_Recording|Photo_on|youtube)")


def rules() -> list[tuple[str, range | None]]:
    """(beginning of the name, frame numbers or all) of what is held out."""
    result = []
    for line in (Path(__file__).parent / "validation_privacy.txt").read_text().splitlines():
        fields = line.split("#")[0].split()
        if fields:
            first, last = fields[1].split("-") if len(fields) > 1 else (None, None)
            result.append((fields[0], range(int(first), int(last) + 1) if first else None))
    return result


def still_of(stem: str) -> str:
    """What a picture is called without its source: fc and fg hold some of the same under names that differ in their last four
    digits."""
    source, name = stem.split("_", 1)
    return re.sub(r"_[0-9a-f]{4}$", "", name) if source in {"fc", "fg"} else name


def held_out(stem: str, listed: list[tuple[str, range | None]]) -> bool:
    source, name = stem.split("_", 1)
    for beginning, frames in listed:
        if name.startswith(beginning):
            if frames is None:
                return True
            number = re.match(r"_(\d+)", name[len(beginning) :])
            if number and int(number[1]) in frames:
                return True
    if source == "rl" or VIDEO.search(name):
        return False
    return int(hashlib.sha256(still_of(stem).encode()).hexdigest(), 16) % 5 == 0


def labelled(text: str) -> dict[str, float]:
    """Class -> belief of a manifest's `human_labelled_classes`, e.g. `licence_plate (legible ones; …)`, `person+vehicle`."""
    names = text.split("(")[0].strip().split("+")
    return {name: LEGIBLE_ONLY if "legible" in text else COMPLETE for name in names if name}


def teacher_boxes(path: Path, width: int, height: int, mapping: list[int], human: dict[str, float]) -> np.ndarray:
    """A teacher's boxes of the classes that no person labelled, their score replaced by the trust in them."""
    rows = [row for row in read_boxes(path, width, height, mapping) if PRIVACY.classes[int(row[0])] not in human]
    for row in rows:
        small = min(row[3] - row[1], row[4] - row[2]) < TEACHER_SMALLEST_PX
        sure = row[5] >= TEACHER_SURE[PRIVACY.classes[int(row[0])]]
        row[5] = TEACHER_TRUST if sure and not small else 0.0
    return np.array(rows, np.float32).reshape(-1, 6)


def repeat(source: str, name: str) -> float:
    if source == "coco":
        return REPEAT_COCO
    if source in {"fc", "fg"}:
        return REPEAT_VIDEO if VIDEO.search(name) else REPEAT_STILL
    return REPEAT_ROAD if source == "dnit" else 1.0


def read_privacy(folder: Path, taught: Path | None = None) -> tuple[list[Picture], list[Picture]]:
    """(training pictures, held-out pictures). `taught` holds a teacher's labels to train on in place of `labels_pseudo`; what
    is held out keeps the set's own, so that scores stay comparable."""
    listed, mapping = rules(), class_map(folder / "classes.txt", PRIVACY)
    files = {path.stem: path for path in (folder / "images").iterdir()}

    def one(row: dict[str, str]) -> Picture:
        stem = Path(row["file"]).stem
        pixels = read_pixels(files[stem])
        height, width = pixels.shape[:2]
        human = labelled(row["human_labelled_classes"])
        boxes = read_boxes(folder / "labels" / f"{stem}.txt", width, height, mapping)
        teacher = taught if taught and not held_out(stem, listed) else folder / "labels_pseudo"
        if teacher is taught and not (taught / f"{stem}.txt").exists():
            raise SystemExit(f"{taught}: no {stem}.txt; teacher.py writes a file for every picture, also an empty one")
        learned = teacher_boxes(teacher / f"{stem}.txt", width, height, mapping, human)
        silent = {name: TEACHER if name in TEACHER_SURE else NOBODY for name in PRIVACY.classes}
        believed = tuple((silent | human)[name] for name in PRIVACY.classes)
        source = stem.split("_")[0]
        return Picture(
            stem, source, row["group"], pixels, np.concatenate([boxes, learned]), believed, repeat=repeat(source, stem)
        )

    pictures = read_all(one, manifest_rows(folder))
    return (
        [p for p in pictures if not held_out(p.name, listed)],
        [p for p in pictures if held_out(p.name, listed)],
    )
