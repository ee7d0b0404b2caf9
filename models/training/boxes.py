"""From the network's output to detections, and detections against truth. Numpy only; boxes are x0, y0, x1, y1.

A detection row is x0, y0, x1, y1, class, score. Truth rows are class, x0, y0, x1, y1, and perhaps more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inter = np.clip(high - low, 0, None).prod(-1)
    area_a = (a[:, 2:4] - a[:, :2]).prod(-1)
    area_b = (b[:, 2:4] - b[:, :2]).prod(-1)
    return inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-9)


def candidates(output: np.ndarray, floor: float, most: int = 400) -> np.ndarray:
    """[4 + classes, N] -> detection rows in input pixels, best first, one (likeliest) class per box."""
    scores = output[4:].max(0)
    kept = np.flatnonzero(scores >= floor)
    kept = kept[np.argsort(-scores[kept], kind="stable")][:most]
    centre, size = output[:2, kept].T, output[2:4, kept].T
    kinds = output[4:, kept].argmax(0)[:, None]
    return np.concatenate([centre - size / 2, centre + size / 2, kinds, scores[kept][:, None]], 1)


def suppress(rows: np.ndarray, limit: float, group_of_class) -> np.ndarray:
    """Greedy suppression among boxes of one group; rows are sorted by score."""
    if len(rows) == 0:
        return rows
    kinds = np.asarray(group_of_class)[rows[:, 4].astype(int)]
    blocked = (iou(rows, rows) > limit) & (kinds[:, None] == kinds[None])
    kept: list[int] = []
    alive = np.ones(len(rows), bool)
    for index in range(len(rows)):
        if alive[index]:
            kept.append(index)
            alive &= ~blocked[index]
    return rows[kept]


@dataclass
class Score:
    precision: float
    recall: float
    f1: float
    ap: float
    threshold: float
    truths: int

    def __str__(self) -> str:
        return (
            f"P {self.precision:.3f} R {self.recall:.3f} F1 {self.f1:.3f} at {self.threshold:.2f}, "
            f"AP {self.ap:.3f}, {self.truths} truths"
        )


def outcomes(found, truths, level: float, match: str, group_of_class, ignore=None) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores of all detections, whether each is right, and the number of truths.

    `match`: exact class, group (cracks merged) or any damage. `ignore(picture, detection class)` leaves a detection out.
    Each truth is found once, by the best-scored detection that overlaps it enough.
    """
    group = np.asarray(group_of_class)
    scores, right, total = [], [], 0
    for number, (rows, truth) in enumerate(zip(found, truths)):
        total += len(truth)
        free = np.ones(len(truth), bool)
        overlaps = iou(rows, truth[:, 1:5]) if len(truth) and len(rows) else np.zeros((len(rows), len(truth)))
        kinds = truth[:, 0].astype(int)
        for index, row in enumerate(rows):
            kind = int(row[4])
            if match == "exact":
                fits = kinds == kind
            elif match == "group":
                fits = group[kinds] == group[kind]
            else:
                fits = np.ones(len(truth), bool)
            options = np.where(free & fits, overlaps[index], 0.0)
            if len(options) and options.max() >= level:
                free[options.argmax()] = False
                scores.append(row[5])
                right.append(True)
            elif ignore is None or not ignore(number, kind):
                scores.append(row[5])
                right.append(False)
    return np.array(scores), np.array(right, bool), total


def judge(found, truths, level: float, match: str, group_of_class, threshold: float | None = None, ignore=None) -> Score:
    """At `threshold`, or at the one with the best F1."""
    scores, right, total = outcomes(found, truths, level, match, group_of_class, ignore)
    if total == 0 or len(scores) == 0:
        return Score(0.0, 0.0, 0.0, 0.0, threshold or 0.0, total)
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], right[order].cumsum()
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / total
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float((envelope * np.diff(recall, prepend=0.0)).sum())
    if threshold is None:
        at = int(f1.argmax())
        threshold = float(scores[at])
    else:
        at = int((scores >= threshold).sum()) - 1
        if at < 0:
            return Score(0.0, 0.0, 0.0, ap, threshold, total)
    return Score(float(precision[at]), float(recall[at]), float(f1[at]), ap, threshold, total)


def class_truths(truths, kind: int):
    return [truth[truth[:, 0] == kind] for truth in truths]


def class_rows(found, kind: int):
    return [rows[rows[:, 4] == kind] for rows in found]
