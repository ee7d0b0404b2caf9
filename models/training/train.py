"""Train the detector of one task. See README.md for the commands and where the data comes from.

The learning rate rises over the first steps, stays flat, and falls as a cosine from `--anneal-from` of the epochs on, so a
run can be stopped in its flat part and resumed with more data. A checkpoint is written after every epoch; `--resume`
continues it (weights, averages, optimiser, epoch), `--init` starts a new schedule from its averaged weights.

On a machine shared with other work an epoch takes no predictable time: `--minutes` lets the schedule follow the clock
from the start of this run instead of the epochs, and ends the run in time. The number of steps then depends on the
machine, and only the views of each step follow from the seed.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from augment import Batch, Loader
from cover import cover_summary
from evaluate import road_summary
from loss import DetectionLoss
from network import DetectorNet, load_backbone
from pictures import Picture
from predict import predict_pictures
from privacy_pictures import read_privacy
from road_pictures import read_real, read_simulated
from tasks import TASKS
from warm_start import load_onnx

SUMMARY = {"road": road_summary, "privacy": cover_summary}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=sorted(TASKS), default="road")
    parser.add_argument("--data", type=Path, required=True, help="real pictures: images/, labels/, classes.txt, manifest.csv")
    parser.add_argument("--masks", type=Path, help="road: folder of palette masks (1 crack, 2 pothole)")
    parser.add_argument("--unseen", metavar="SOURCE", help="road: hold out a whole source, as a camera never seen")
    parser.add_argument("--roads", type=Path, help="privacy: road pictures seen by a teacher (see teacher.py)")
    parser.add_argument("--taught", type=Path, help="privacy: a teacher's labels in place of the set's (see teacher.py)")
    parser.add_argument("--simulated", type=Path, help="road: simulated training pictures: images/, labels/, classes.txt")
    parser.add_argument("--simulated-share", type=float, default=1.0, help="simulated pictures per real one in an epoch")
    parser.add_argument("--simulated-validation", type=Path, help="simulated pictures of the validation families")
    parser.add_argument("--backbone", type=Path, help="FastestDet weights to start the backbone from")
    parser.add_argument("--init", type=Path, help="checkpoint whose averaged weights start a new schedule")
    parser.add_argument("--init-onnx", type=Path, help="exported model to go on from, as published (see warm_start.py)")
    parser.add_argument("--resume", type=Path, help="checkpoint to continue")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--minutes", type=float, help="follow the clock instead of the epochs, and stop in time")
    parser.add_argument("--anneal-from", type=float, default=0.5, help="share of the epochs after which the rate falls")
    parser.add_argument("--mosaic", type=float, default=0.25, help="share of mosaics before the rate falls; none after it")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--backbone-rate", type=float, default=1.0, help="share of the rate for the backbone: low keeps what it knows from COCO"
    )
    parser.add_argument("--channels", type=int, help="else the task's")
    parser.add_argument("--width", type=int, help="else the task's")
    parser.add_argument("--height", type=int, help="else the task's")
    parser.add_argument("--validate-every", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="convolutions in bfloat16, faster where the CPU has it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    foreign = {"road": ("roads", "taught"), "privacy": ("masks", "unseen", "simulated", "simulated_validation")}
    for name in foreign[options.task]:
        if getattr(options, name):
            parser.error(f"--{name.replace('_', '-')} is not for the task {options.task}")
    for name in ("channels", "width", "height"):
        setattr(options, name, getattr(options, name) or getattr(TASKS[options.task], name))
    return options


def rate_at(progress: float, warm: float, anneal_from: float) -> float:
    """Share of the full learning rate at `progress` (0..1) of all epochs."""
    if progress < warm:
        return (progress + 1e-6) / warm
    if progress < anneal_from:
        return 1.0
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - anneal_from) / (1 - anneal_from)))


def update_average(average: DetectorNet, net: DetectorNet, steps: int) -> None:
    decay = 0.998 * (1 - math.exp(-steps / 300))
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), net.state_dict().values()):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def parameters(net: DetectorNet, backbone_share: float) -> list[dict]:
    """Weight decay only on the weights of convolutions; `share` is each group's part of the learning rate."""
    groups = []
    for part, share in ((net.backbone, backbone_share), (net.pyramid, 1.0), (net.head, 1.0)):
        values = list(part.parameters())
        groups.append({"params": [v for v in values if v.ndim > 1], "weight_decay": 0.03, "share": share})
        groups.append({"params": [v for v in values if v.ndim <= 1], "weight_decay": 0.0, "share": share})
    return groups


def resume_optimiser(optimiser: torch.optim.Optimizer, saved: dict, path: Path) -> None:
    """The saved moments under this run's settings: loading replaces the groups' own, `share` with them."""
    if len(saved["param_groups"]) != len(optimiser.param_groups):
        raise SystemExit(f"{path}: its optimiser has other groups than this program's; start a new schedule with --init")
    shares = [group["share"] for group in optimiser.param_groups]
    optimiser.load_state_dict(saved)
    for group, share in zip(optimiser.param_groups, shares, strict=True):
        group["share"] = share


def on_device(batch: Batch, device: str) -> Batch:
    if device == "cpu":
        return batch
    return Batch(
        batch.images.to(device),
        [boxes.to(device) for boxes in batch.boxes],
        [windows.to(device) for windows in batch.beliefs],
        batch.masks.to(device),
        batch.mask_known.to(device),
    )


class Clock:
    """Where in the schedule a run stands: by epochs, or by minutes since it started when `--minutes` is given."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.started = options, time.monotonic()

    def progress(self, epochs_done: float) -> float:
        if self.options.minutes:
            return min(1.0, (time.monotonic() - self.started) / (60 * self.options.minutes))
        return epochs_done / self.options.epochs

    def warm(self) -> float:
        """Share of the schedule in which the rate rises; a resumed run is warm already."""
        if self.options.resume:
            return 0.0
        return 0.04 if self.options.minutes else 1.5 / self.options.epochs

    def over(self, epoch: int) -> bool:
        return self.progress(epoch) >= 1.0


def times(repeat: float, rng: np.random.Generator) -> int:
    """`repeat` on average, as whole numbers."""
    whole = int(repeat)
    return whole if repeat == whole else whole + int(rng.random() < repeat - whole)


def order(train: list[Picture], simulated: list[Picture], options: argparse.Namespace, epoch: int) -> list[Picture]:
    """The pictures of one epoch: every real one as often as it is repeated, some simulated ones, shuffled."""
    rng = np.random.default_rng([options.seed, epoch])
    chosen = [picture for picture in train for _ in range(times(picture.repeat, rng))]
    if simulated:
        count = min(len(simulated), round(len(train) * options.simulated_share))
        chosen += [simulated[i] for i in rng.permutation(len(simulated))[:count]]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def save(options, net: DetectorNet, average: DetectorNet, optimiser, epoch: int, steps: int) -> None:
    """`last.pt`, replaced in one move, so that a run killed at any time leaves a whole checkpoint."""
    state = {
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "epoch": epoch,
        "steps": steps,
        "task": options.task,
        "unseen": options.unseen,
        "channels": options.channels,
        "width": options.width,
        "height": options.height,
    }
    torch.save(state, options.out / "next.pt")
    (options.out / "next.pt").replace(options.out / "last.pt")


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)

    started = time.time()
    task = TASKS[options.task]
    if task.name == "road":
        train, held_out = read_real(options.data, options.masks, options.unseen)
    else:
        train, held_out = read_privacy(options.data, options.taught)
    if options.roads:
        train += read_privacy(options.roads)[0]
    simulated = read_simulated(options.simulated) if options.simulated else []
    simulated_held = read_simulated(options.simulated_validation) if options.simulated_validation else []
    print(f"{len(train)} real, {len(simulated)} simulated, {len(held_out)} held out; {time.time() - started:.0f} s", flush=True)

    net = DetectorNet(task, options.channels)
    if options.backbone:
        load_backbone(net, str(options.backbone))
    start = options.init or options.resume
    state = torch.load(start, map_location="cpu", weights_only=True) if start else None
    if state and state.get("unseen", options.unseen) != options.unseen:
        raise SystemExit(f"{start}: trained with --unseen {state['unseen']}; it must not see that source now")
    if state:
        net.load_state_dict(state["average"] if options.init else state["net"])
    if options.init_onnx:
        loader = Loader(train, task, options.width, options.height, 96, options.seed, 0, 0.0)
        missing = load_onnx(net, str(options.init_onnx), loader.make(0).images)
        print(f"{options.init_onnx}: loaded; starts at random: {', '.join(missing) or 'nothing'}", flush=True)
    net = net.to(options.device, memory_format=torch.channels_last)
    average = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(parameters(net, options.backbone_rate), lr=options.rate)
    first_epoch = steps_done = 0
    if options.resume:
        average.load_state_dict(state["average"])
        resume_optimiser(optimiser, state["optimiser"], options.resume)
        first_epoch, steps_done = state["epoch"] + 1, state["steps"]
    elif options.init or options.init_onnx:
        steps_done = 1500  # the averages are worth keeping from the start
    criterion = DetectionLoss(task, options.width, options.height, options.device)

    clock = Clock(options)
    epoch = first_epoch
    while not clock.over(epoch):
        chosen = order(train, simulated, options, epoch)
        mosaic = options.mosaic if clock.progress(epoch) < options.anneal_from else 0.0
        loader = Loader(chosen, task, options.width, options.height, options.batch, options.seed, epoch, mosaic)
        net.train()
        sums: dict[str, float] = {}
        began = time.time()
        for step, batch in enumerate(loader):
            batch = on_device(batch, options.device)
            share = rate_at(clock.progress(epoch + step / loader.steps), clock.warm(), options.anneal_from)
            for group in optimiser.param_groups:
                group["lr"] = options.rate * share * group["share"]
            with torch.autocast(options.device, torch.bfloat16, enabled=options.bf16):
                output = net(batch.images)
            loss, parts = criterion(net, tuple(part.float() for part in output), batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
            optimiser.step()
            steps_done += 1
            update_average(average, net, steps_done)
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            if step % 20 == 0:
                print(f"  {epoch} {step}/{loader.steps} {(time.time() - began) / (step + 1):.2f} s/step", flush=True)
            if step % 60 == 59:
                save(options, net, average, optimiser, epoch - 1, steps_done)
            if clock.over(epoch):
                break
        means = " ".join(f"{name} {value / (step + 1):.3f}" for name, value in sums.items())
        print(f"epoch {epoch} rate {options.rate * share:.5f} {means} {time.time() - began:.0f} s", flush=True)
        save(options, net, average, optimiser, epoch, steps_done)
        epoch += 1
        if epoch % options.validate_every == 0 or clock.over(epoch):
            for name, pictures in (("held out", held_out), ("simulated validation", simulated_held)):
                if pictures:
                    found = predict_pictures(average, pictures, options.width, options.height, options.device)
                    print(SUMMARY[task.name](name, found, pictures), flush=True)


if __name__ == "__main__":
    main()
