"""Random views of the training pictures, made from one seed per (run seed, epoch, place in the epoch).

Everything geometric is one affine warp per picture, so that boxes, mask and pixels agree. Colours, blur, noise and
drawn shadows follow: they must never look like damage to the network.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from pictures import Picture
from tasks import Task, Views

MASK_STRIDE = 8
PAD = 114


@dataclass
class Batch:
    images: torch.Tensor  # [B, 3, H, W] RGB 0..1
    boxes: list[torch.Tensor]  # [T, 6] class, x0, y0, x1, y1 in input pixels, trust
    beliefs: list[torch.Tensor]  # [W, 4 + groups] x0, y0, x1, y1 of a window, how far missing labels are believed in it
    masks: torch.Tensor  # [B, masks, H/8, W/8] road: crack and pothole cells
    mask_known: torch.Tensor  # [B, masks, H/8, W/8] 1 where the mask may be believed


def place(picture: Picture, window: tuple[int, int, int, int], views: Views, rng: np.random.Generator) -> np.ndarray:
    """Affine map [2, 3] from the picture into `window` (x0, y0, x1, y1 of the canvas): scale, stretch, shift, flip."""
    rows, columns = picture.pixels.shape[:2]
    x0, y0, x1, y1 = window
    fit = min((x1 - x0) / columns, (y1 - y0) / rows)
    grow = views.grow_square if columns < 1.2 * rows else views.grow_wide
    scale = fit * grow * float(np.exp(rng.normal(0.0, views.scale_spread)))
    stretch = float(np.exp(rng.normal(0.0, views.stretch_spread)))
    sx, sy = scale * stretch, scale / stretch
    spare_x, spare_y = (x1 - x0) - columns * sx, (y1 - y0) - rows * sy
    shift_x = x0 + spare_x * rng.uniform(0.0, 1.0) + rng.normal(0, 0.04) * (x1 - x0)
    shift_y = y0 + spare_y * rng.beta(views.low, 1.0) + rng.normal(0, 0.04) * (y1 - y0)
    if rng.random() < 0.5:
        return np.array([[-sx, 0, shift_x + columns * sx], [0, sy, shift_y]], np.float32)
    return np.array([[sx, 0, shift_x], [0, sy, shift_y]], np.float32)


def move_boxes(boxes: np.ndarray, matrix: np.ndarray, window: tuple[int, int, int, int], views: Views) -> np.ndarray:
    """Boxes on the canvas, clipped to the window; dropped or no longer trusted when little of them is left to see."""
    if len(boxes) == 0:
        return boxes
    x0, y0, x1, y1 = window
    moved = boxes.copy()
    xs = boxes[:, [1, 3]] * matrix[0, 0] + matrix[0, 2]
    ys = boxes[:, [2, 4]] * matrix[1, 1] + matrix[1, 2]
    area = np.ptp(xs, axis=1) * np.ptp(ys, axis=1)
    moved[:, 1], moved[:, 3] = xs.min(1).clip(x0, x1), xs.max(1).clip(x0, x1)
    moved[:, 2], moved[:, 4] = ys.min(1).clip(y0, y1), ys.max(1).clip(y0, y1)
    w, h = moved[:, 3] - moved[:, 1], moved[:, 4] - moved[:, 2]
    seen, mostly = (w > 2.5) & (h > 2.5), w * h > 0.2 * area
    if views.fragment is None:
        return moved[seen & mostly]
    moved[~mostly, 5] = np.minimum(moved[~mostly, 5], views.fragment)
    moved[np.minimum(w, h) < views.smallest_px, 5] = 0.0
    return moved[seen]


def shadow(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A soft-edged dark polygon, as a tree or a vehicle throws it."""
    height, width = pixels.shape[:2]
    corners = rng.integers(4, 9)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.1, 0.45, corners)[:, None] * np.array([[width, height]])
    middle = np.array([rng.uniform(0, width), rng.uniform(0.2 * height, height)])
    points = (middle + np.stack([np.cos(angles), np.sin(angles)], 1) * reach).astype(np.int32)
    light = np.full((height // 4, width // 4), 255, np.uint8)
    cv2.fillPoly(light, [points // 4], int(rng.uniform(100, 190)))
    light = cv2.resize(cv2.blur(light, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(pixels, cv2.merge([light] * 3), scale=1 / 255)


def colours(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain = float(np.exp(rng.normal(0, 0.22)))
    gamma = float(np.exp(rng.normal(0, 0.2)))
    offset = rng.normal(0, 12)
    tints = np.exp(rng.normal(0, 0.05, 3))
    ramp = np.arange(256, dtype=np.float32) / 255
    tables = [np.clip((ramp**gamma) * gain * tint * 255 + offset, 0, 255).astype(np.uint8) for tint in tints]
    pixels = cv2.LUT(pixels, np.stack(tables, -1)[None].reshape(1, 256, 3))
    if rng.random() < 0.4:
        grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        share = rng.uniform(-0.3, 0.9)
        pixels = cv2.addWeighted(pixels, 1 - share, grey, share, 0)
    if rng.random() < 0.12:
        pixels = shadow(pixels, rng)
    chance = rng.random()
    if chance < 0.12:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.0))
    elif chance < 0.27:
        soft = cv2.GaussianBlur(pixels, (0, 0), 1.0)
        amount = rng.uniform(0.3, 1.2)
        pixels = cv2.addWeighted(pixels, 1 + amount, soft, -amount, 0)
    if rng.random() < 0.1:
        noise = rng.normal(0, rng.uniform(2, 7), pixels.shape[:2]).astype(np.int16)
        pixels = np.clip(pixels.astype(np.int16) + noise[..., None], 0, 255).astype(np.uint8)
    return pixels


def weather(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Now and then what a camera in service delivers: motion blur, rain, glare, night, a coarse JPEG."""
    height, width = pixels.shape[:2]
    chance = rng.random()
    if chance < 0.05:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (length // 2 + int(rng.integers(-1, 2)), 0), (length // 2, length - 1), 1.0)
        pixels = cv2.filter2D(pixels, -1, kernel / kernel.sum())
    elif chance < 0.09:
        drops = np.zeros((height, width), np.uint8)
        slant = rng.uniform(-6, 6)
        for x, y in rng.uniform(0, 1, (int(rng.integers(60, 240)), 2)) * (width, height):
            cv2.line(drops, (int(x), int(y)), (int(x + slant), int(y + rng.uniform(6, 18))), int(rng.integers(40, 110)))
        veil = cv2.addWeighted(pixels, rng.uniform(0.75, 0.95), np.full_like(pixels, 150), 0.1, 0)
        pixels = cv2.add(veil, cv2.merge([cv2.blur(drops, (2, 3))] * 3))
    elif chance < 0.13:
        blob = np.zeros((height // 8, width // 8), np.float32)
        middle = (int(rng.uniform(0, width // 8)), int(rng.uniform(0, height // 16)))
        cv2.circle(blob, middle, int(rng.uniform(4, 14)), float(rng.uniform(60, 170)), -1)
        blob = cv2.resize(cv2.GaussianBlur(blob, (0, 0), 5), (width, height))
        pixels = np.clip(pixels + blob[..., None], 0, 255).astype(np.uint8)
    elif chance < 0.18:
        dim = rng.uniform(0.25, 0.6)
        ramp = np.linspace(rng.uniform(0.5, 1.0), rng.uniform(0.9, 1.5), height, dtype=np.float32)[:, None, None]
        noise = rng.normal(0, rng.uniform(2, 6), (height, width, 1)).astype(np.float32)
        pixels = np.clip(pixels * (dim * ramp) + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.12:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 80))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR)
    return pixels


def without_boxes(picture: Picture, rng: np.random.Generator) -> Picture:
    """A part of the picture that no box touches, a sure one or not, often blurred as a near wall is; the whole picture where a
    few tries find none. A network that has seen objects fill the picture must also see it filled by nothing."""
    rows, columns = picture.pixels.shape[:2]
    for _ in range(12):
        share = rng.uniform(0.2, 0.7)
        height, width = int(rows * share), int(columns * share)
        y, x = int(rng.integers(0, rows - height + 1)), int(rng.integers(0, columns - width + 1))
        boxes = picture.boxes
        apart = (boxes[:, 1] >= x + width) | (boxes[:, 3] <= x) | (boxes[:, 2] >= y + height) | (boxes[:, 4] <= y)
        if apart.all() and min(height, width) >= 32:
            part = picture.pixels[y : y + height, x : x + width]
            if rng.random() < 0.5:
                part = cv2.GaussianBlur(part, (0, 0), float(rng.uniform(0.01, 0.06)) * width)
            return replace(picture, pixels=np.ascontiguousarray(part), boxes=boxes[:0], mask=None)
    return picture


def known_window(
    picture: Picture, boxes: np.ndarray, window: tuple[int, int, int, int], known: np.ndarray, task: Task
) -> None:
    """Marks in `known` [masks, H, W] where this picture's mask may be believed: everywhere when it was drawn by a person;
    else only outside its boxes, where there is surely nothing."""
    x0, y0, x1, y1 = window
    if picture.mask is not None and picture.believed[0] > 0:
        known[:, y0:y1, x0:x1] = 1
        return
    for channel, kinds in enumerate(task.mask_classes):
        if picture.believed[channel] < 1.0:
            continue
        known[channel, y0:y1, x0:x1] = 1
        for box in boxes[np.isin(boxes[:, 0], kinds)] if len(boxes) else []:
            low = np.floor(box[1:3]).astype(int)
            high = np.ceil(box[3:5]).astype(int)
            known[channel, max(low[1], 0) : high[1] + 1, max(low[0], 0) : high[0] + 1] = 0


def view(chosen: list[Picture], width: int, height: int, task: Task, rng: np.random.Generator):
    """One canvas from one picture, or a mosaic from four. Returns pixels, boxes, the windows with their beliefs, mask cells
    and where those are known."""
    canvas = np.full((height, width, 3), PAD, np.uint8)
    mask = np.zeros((height, width), np.uint8)
    known = np.zeros((len(task.masks), height, width), np.uint8)
    if len(chosen) == 1:
        windows = [(0, 0, width, height)]
    else:
        x, y = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
        windows = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    boxes = []
    for picture, window in zip(chosen, windows):
        matrix = place(picture, window, task.views, rng)
        x0, y0, x1, y1 = window
        local = matrix - np.array([[0, 0, x0], [0, 0, y0]], np.float32)
        how = cv2.INTER_AREA if rng.random() < 0.3 else cv2.INTER_LINEAR
        canvas[y0:y1, x0:x1] = cv2.warpAffine(
            picture.pixels, local, (x1 - x0, y1 - y0), flags=how, borderValue=(PAD, PAD, PAD)
        )
        if picture.mask is not None:
            mask[y0:y1, x0:x1] = cv2.warpAffine(picture.mask, local, (x1 - x0, y1 - y0), flags=cv2.INTER_NEAREST)
        moved = move_boxes(picture.boxes, matrix, window, task.views)
        known_window(picture, moved, window, known, task)
        boxes.append(moved)
    beliefs = np.array([[*window, *picture.believed] for picture, window in zip(chosen, windows)], np.float32)
    shape = (height // MASK_STRIDE, MASK_STRIDE, width // MASK_STRIDE, MASK_STRIDE)
    blocks = mask.reshape(shape)
    cells = np.zeros((len(task.masks), shape[0], shape[2]), np.float32)
    for channel in range(len(task.masks)):
        cells[channel] = (blocks == channel + 1).any((1, 3))
    believable = known.reshape(len(task.masks), *shape).min((2, 4)).astype(np.float32)
    return weather(colours(canvas, rng), rng), np.concatenate(boxes), beliefs, cells, believable


class Loader:
    """Batches of one epoch, made ahead by one thread. `mosaic` is the share of canvases made of four pictures."""

    def __init__(
        self,
        pictures: list[Picture],
        task: Task,
        width: int,
        height: int,
        batch: int,
        seed: int,
        epoch: int,
        mosaic: float,
    ):
        self.pictures, self.task, self.width, self.height, self.batch = pictures, task, width, height, batch
        self.seed, self.epoch, self.mosaic = seed, epoch, mosaic
        self.steps = len(pictures) // batch

    def make(self, step: int) -> Batch:
        items = []
        for place_in_epoch in range(step * self.batch, (step + 1) * self.batch):
            rng = np.random.default_rng([self.seed, self.epoch, place_in_epoch])
            chosen = [self.pictures[place_in_epoch]]
            if self.task.views.empty and rng.random() < self.task.views.empty:
                chosen = [without_boxes(chosen[0], rng)]
            elif rng.random() < self.mosaic:
                chosen += [self.pictures[i] for i in rng.integers(0, len(self.pictures), 3)]
            items.append(view(chosen, self.width, self.height, self.task, rng))
        pixels = np.stack([item[0] for item in items])[..., ::-1]
        images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div_(255)
        return Batch(
            images.contiguous(memory_format=torch.channels_last),
            [torch.from_numpy(item[1].astype(np.float32)) for item in items],
            [torch.from_numpy(item[2]) for item in items],
            torch.from_numpy(np.stack([item[3] for item in items])),
            torch.from_numpy(np.stack([item[4] for item in items])),
        )

    def __iter__(self):
        ready: queue.Queue = queue.Queue(maxsize=3)

        def work() -> None:
            try:
                for step in range(self.steps):
                    ready.put(self.make(step))
            except BaseException as error:  # handed to the consumer, which raises it
                ready.put(error)

        threading.Thread(target=work, daemon=True).start()
        for _ in range(self.steps):
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch
