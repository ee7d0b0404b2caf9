"""What each model is asked to see. A task drives network, loss, pictures, views, scores and export; nothing else differs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Views:
    """How the random views of a task differ."""

    grow_square: float  # squares leave half of a wide window empty when fitted: enlarge them by this
    grow_wide: float
    scale_spread: float  # standard deviation of the logarithm of the size
    stretch_spread: float  # the same of the ratio of the sides
    low: float  # 1: any height of the picture is as likely; 2: its lower part is kept more often
    fragment: float | None  # trust in a box of which little is left in view; None drops the box
    empty: float = 0.0  # share of views that show a part of a picture without any box, enlarged: surfaces are nobody
    smallest_px: float = 0.0  # boxes with a shorter side than this in the view are neither right nor wrong


@dataclass(frozen=True)
class Task:
    name: str
    classes: tuple[str, ...]
    groups: tuple[str, ...]  # what the head scores; classes of one group suppress each other
    group_of_class: tuple[int, ...]
    types: int  # the first classes are types of the first group, told apart by a choice; 0: none
    masks: tuple[str, ...]  # extent channels
    mask_classes: tuple[tuple[int, ...], ...]  # the classes whose boxes hold cells of each extent channel
    detail: bool  # carry lines of one or two pixels past the pooling
    channels: int
    width: int
    height: int
    views: Views


ROAD = Task(
    name="road",
    classes=("D00", "D10", "D20", "D40", "Repair"),
    groups=("crack", "pothole", "repair"),
    group_of_class=(0, 0, 0, 1, 2),
    types=3,
    masks=("crack", "pothole"),
    mask_classes=((0, 1, 2), (3,)),
    detail=True,
    channels=64,
    width=512,
    height=288,
    # The near road fills the lower rows and carries most damages.
    views=Views(grow_square=1.45, grow_wide=1.12, scale_spread=0.22, stretch_spread=0.07, low=2.0, fragment=None),
)

PRIVACY = Task(
    name="privacy",
    classes=("face", "licence_plate", "person", "vehicle"),
    groups=("face", "licence_plate", "person", "vehicle"),
    group_of_class=(0, 1, 2, 3),
    types=0,
    masks=(),
    mask_classes=(),
    detail=False,
    channels=64,
    width=480,
    height=352,
    views=Views(
        grow_square=1.0, grow_wide=1.0, scale_spread=0.4, stretch_spread=0.12, low=1.0, fragment=0.0, empty=0.15, smallest_px=5.0
    ),
)

TASKS = {task.name: task for task in (ROAD, PRIVACY)}
