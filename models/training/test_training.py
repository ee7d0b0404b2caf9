"""Checks of the parts that fail silently when wrong: `python -m unittest` in this folder."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import cv2
import numpy as np
import torch

from augment import Batch, move_boxes, view
from boxes import judge, suppress
from cover import Rule, Scorer, lower_bound
from loss import DetectionLoss, assign
from export import write_onnx
from network import Deployed, DetectorNet, cell_centres, class_scores
from pictures import Picture
from predict import Seen
from privacy_pictures import held_out, read_privacy, rules
from road_pictures import read_real
from tasks import PRIVACY, ROAD
from train import parameters, resume_optimiser
from warm_start import load_onnx


def picture_with_square() -> Picture:
    pixels = np.full((400, 640, 3), 30, np.uint8)
    pixels[250:330, 200:320] = 230
    return Picture("square", "simulated", "simulated", pixels, np.array([[3, 200, 250, 320, 330, 1]], np.float32), (1.0, 1.0, 1.0))


class Views(unittest.TestCase):
    def test_boxes_follow_the_pixels(self) -> None:
        seen = 0
        for seed in range(40):
            pixels, boxes, *_ = view([picture_with_square()], 512, 320, ROAD, np.random.default_rng(seed))
            for _, x0, y0, x1, y1, _ in boxes:
                inside = pixels[round(y0) + 2 : round(y1) - 2, round(x0) + 2 : round(x1) - 2]
                if inside.size == 0:
                    continue
                seen += 1
                ring = pixels[max(0, round(y0) - 4) : round(y0) - 2, round(x0) + 2 : round(x1) - 2]
                if ring.size and y0 > 6:
                    self.assertGreater(inside.mean(), ring.mean() + 30, f"seed {seed}")
        self.assertGreater(seen, 20)

    def test_a_box_out_of_the_window_is_dropped(self) -> None:
        shift = np.array([[1, 0, -500], [0, 1, 0]], np.float32)
        self.assertEqual(len(move_boxes(picture_with_square().boxes, shift, (0, 0, 512, 320), ROAD.views)), 0)


    def test_a_drawn_mask_is_believed_everywhere_and_boxes_hide_what_is_unknown(self) -> None:
        picture = picture_with_square()
        *_, cells, known = view([picture], 512, 320, ROAD, np.random.default_rng(3))
        self.assertEqual(cells.sum(), 0)
        self.assertTrue(0 < (known[1] == 0).mean() < 0.5, "the pothole's box is unknown, the rest is not")
        picture.mask = np.zeros((400, 640), np.uint8)
        picture.mask[250:330, 200:320] = 2
        *_, cells, known = view([picture], 512, 320, ROAD, np.random.default_rng(3))
        self.assertTrue(cells[1].sum() > 10 and cells[0].sum() == 0 and bool((known == 1).all()))


class Assignment(unittest.TestCase):
    def test_cells_inside_answer_and_the_better_placed_gets_more(self) -> None:
        centres, strides = cell_centres(512, 320)
        truth = torch.tensor([[100.0, 100.0, 180.0, 150.0]])
        boxes = torch.cat([centres - 20, centres + 20], 1)
        best = int(((centres - torch.tensor([140.0, 125.0])).norm(dim=1) + (strides != 8) * 99).argmin())
        boxes[best] = truth[0]
        owner, target = assign(torch.full((len(centres), 3), 0.3), boxes, truth, torch.tensor([1]), centres, strides)
        inside = ((centres > truth[0, :2]) & (centres < truth[0, 2:])).all(1)
        self.assertTrue(bool(inside[owner >= 0].all()))
        self.assertEqual(int(target.argmax()), best)
        self.assertAlmostEqual(float(target.max()), 1.0, places=4)

    def test_a_picture_without_damage_is_all_background(self) -> None:
        centres, strides = cell_centres(512, 320)
        owner, target = assign(
            torch.rand(len(centres), 3),
            torch.rand(len(centres), 4),
            torch.zeros(0, 4),
            torch.zeros(0, dtype=torch.long),
            centres,
            strides,
        )
        self.assertTrue(bool((owner < 0).all()))
        self.assertEqual(float(target.sum()), 0.0)


class PartialLabels(unittest.TestCase):
    """What nobody labelled must teach nothing."""

    def score_gradient(self, boxes: list[list[float]], believed: list[float]) -> torch.Tensor:
        torch.manual_seed(1)
        net = DetectorNet(PRIVACY)
        scores, sides = (part.detach().requires_grad_() for part in net.eval()(torch.rand(1, 3, 128, 192)))
        batch = Batch(
            torch.zeros(1),
            [torch.tensor(boxes).reshape(-1, 6)],
            [torch.tensor([[0, 0, 192, 128, *believed]])],
            torch.zeros(0),
            torch.zeros(0),
        )
        loss, _ = DetectionLoss(PRIVACY, 192, 128, "cpu")(net, (scores, sides), batch)
        loss.backward()
        return scores.grad[0].abs()

    def test_a_class_that_is_not_labelled_gets_no_gradient(self) -> None:
        gradient = self.score_gradient([[2, 40, 20, 100, 110, 1.0]], [0.0, 1.0, 1.0, 1.0])
        self.assertEqual(float(gradient[0].sum()), 0.0)
        self.assertTrue(all(float(gradient[k].sum()) > 0 for k in (1, 2, 3)))

    def test_a_box_without_trust_hides_its_cells_in_its_class_only(self) -> None:
        gradient = self.score_gradient([[1, 40, 20, 100, 110, 0.0]], [1.0, 1.0, 1.0, 1.0])
        centres, _ = cell_centres(192, 128)
        inside = ((centres >= torch.tensor([40.0, 20.0])) & (centres <= torch.tensor([100.0, 110.0]))).all(1)
        self.assertEqual(float(gradient[1, inside].sum()), 0.0)
        self.assertTrue(bool((gradient[1, ~inside] > 0).all() and (gradient[0] > 0).all()))

    def test_half_the_trust_is_half_the_lesson(self) -> None:
        whole, half = (
            self.score_gradient([[2, 20, 20, 80, 110, trust], [3, 100, 20, 180, 110, 1.0]], [0.0] * 4)
            for trust in (1.0, 0.5)
        )
        # Both boxes are divided by one sum, so the other box tells what that was.
        ratio = (whole[2].sum() / whole[3].sum()) / (half[2].sum() / half[3].sum())
        self.assertAlmostEqual(float(ratio), 2.0, places=4)


class Cover(unittest.TestCase):
    def test_masks_of_other_classes_count_and_what_is_masked_elsewhere_is_known(self) -> None:
        pixels = np.zeros((200, 400, 3), np.uint8)
        boxes = np.array([[0, 110, 60, 130, 80, 1], [1, 300, 100, 340, 120, 1]], np.float32)
        picture = Picture("x_y", "x", "", pixels, boxes, (1.0,) * 4)
        rows = np.array([[100.0, 50, 140, 150, 2, 0.9], [0, 0, 400, 200, 3, 0.01]])
        tally = Scorer([Seen(rows, None)], [picture]).tally((Rule(0.5, 0.0),) * 4)
        self.assertEqual((tally.covered["face"], tally.covered["licence_plate"]), (1, 0))
        self.assertAlmostEqual(tally.elsewhere, (40 * 100 - 24 * 24) / (400 * 200 - 24 * 24 - 48 * 24), places=2)

    def test_the_bound_is_the_exact_one(self) -> None:
        self.assertAlmostEqual(lower_bound(50, 50), 0.05 ** (1 / 50), places=6)
        self.assertAlmostEqual(lower_bound(95, 100), 0.8977, places=3)


class Choice(unittest.TestCase):
    def test_rules_mask_what_is_labelled_and_not_what_scores_less(self) -> None:
        # Each picture: a face that scores 0.6, and a wrong, large person that scores 0.3.
        pictures, seen = [], []
        for number in range(40):
            pixels = np.zeros((100, 100, 3), np.uint8)
            boxes = np.array([[0, 10, 10, 40, 40, 1.0]], np.float32)
            pictures.append(Picture(f"fc_{number}", "fc", "", pixels, boxes, (1.0,) * 4))
            seen.append(Seen(np.array([[10, 10, 40, 40, 0, 0.6], [50, 0, 100, 100, 2, 0.3]], np.float32), None))
        rules = Scorer(seen, pictures).choose()
        self.assertTrue(rules[0].threshold <= 0.6 and rules[2].threshold > 0.3, rules)


class HeldOut(unittest.TestCase):
    def test_frames_of_one_drive_are_split_by_time_and_crops_stay_with_their_frame(self) -> None:
        listed = rules()
        self.assertTrue(held_out("rl_dayridet1_001_0734p0", listed))
        self.assertTrue(held_out("rl_dayridet1_001_0734p0_crop", listed))
        self.assertFalse(held_out("rl_dayridet1_001_0697p0_crop", listed))

    def test_the_two_copies_of_one_still_stay_together(self) -> None:
        for number in range(50):
            self.assertEqual(held_out(f"fc_press_{number}_jpg_00aa", []), held_out(f"fg_press_{number}_jpg_11bb", []))


class Sets(unittest.TestCase):
    """Small sets on disk: what is read, whose labels count, what stays apart."""

    def setUp(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.folder = Path(self.place.name)
        for name in ("images", "labels", "labels_pseudo", "taught"):
            (self.folder / name).mkdir()

    def add(self, stem: str, human: str, pseudo: str = "") -> None:
        cv2.imwrite(str(self.folder / "images" / f"{stem}.png"), np.full((40, 60, 3), 90, np.uint8))
        (self.folder / "labels" / f"{stem}.txt").write_text(human)
        (self.folder / "labels_pseudo" / f"{stem}.txt").write_text(pseudo)

    def test_a_source_that_is_unseen_is_held_out_whole_and_alone(self) -> None:
        (self.folder / "classes.txt").write_text("D00\nD40\n")
        rows = [("dnit_1", "dnit", "dnit_a"), ("dnit_2", "dnit", "dnit_386RS191729"), ("cmb_1", "cmb", "cmb_s1"), ("cmb_2", "cmb", "cmb_s2")]
        for stem, _, _ in rows:
            self.add(stem, "1 0.5 0.5 0.5 0.5\n")
        lines = [f"{stem}.png,{source},{group}" for stem, source, group in rows]
        (self.folder / "manifest.csv").write_text("\n".join(["file,source,group", *lines]) + "\n")
        train, unseen = read_real(self.folder, unseen="cmb")
        self.assertEqual([p.name for p in train], ["dnit_1"], "held-out segments stay held out")
        self.assertEqual([p.name for p in unseen], ["cmb_1", "cmb_2"])
        with self.assertRaises(SystemExit):
            read_real(self.folder, unseen="cbm")

    def test_a_teacher_s_labels_replace_the_set_s_for_training_only_and_none_may_be_missing(self) -> None:
        (self.folder / "classes.txt").write_text("face\nlicence_plate\nperson\nvehicle\n")
        stems = [f"lpv_{number}" for number in range(12)]
        for stem in stems:
            self.add(stem, "", "2 0.5 0.5 0.5 0.9 0.9\n")
            (self.folder / "taught" / f"{stem}.txt").write_text("2 0.25 0.5 0.5 0.9 0.3\n3 0.5 0.5 0.9 0.9 0.9\n")
        lines = [f"{stem}.png,x,licence_plate+vehicle,," for stem in stems]
        (self.folder / "manifest.csv").write_text("\n".join(["file,source,human_labelled_classes,group,boxes", *lines]) + "\n")
        train, held = read_privacy(self.folder, self.folder / "taught")
        self.assertTrue(train and held)
        for picture in train:  # the doubtful person; the vehicle is left to the people who labelled vehicles
            self.assertEqual(picture.boxes[:, [0, 5]].tolist(), [[2.0, 0.0]])
        for picture in held:  # the sure person of the set itself
            self.assertEqual(picture.boxes[:, 0].tolist(), [2.0])
            self.assertGreater(picture.boxes[0, 5], 0)
        (self.folder / "taught" / f"{train[0].name}.txt").unlink()
        with self.assertRaises(SystemExit):
            read_privacy(self.folder, self.folder / "taught")


class Rates(unittest.TestCase):
    def test_a_resumed_run_takes_this_run_s_share_for_the_backbone(self) -> None:
        net = DetectorNet(PRIVACY)
        saved = torch.optim.AdamW(parameters(net, 1.0), lr=1e-3).state_dict()
        optimiser = torch.optim.AdamW(parameters(net, 0.2), lr=1e-3)
        resume_optimiser(optimiser, saved, Path("last.pt"))
        self.assertEqual([group["share"] for group in optimiser.param_groups], [0.2, 0.2, 1.0, 1.0, 1.0, 1.0])
        covered = sum(value.numel() for group in optimiser.param_groups for value in group["params"])
        self.assertEqual(covered, sum(value.numel() for value in net.parameters()))
        with self.assertRaises(SystemExit):
            resume_optimiser(optimiser, torch.optim.AdamW(net.parameters()).state_dict(), Path("last.pt"))


class Scores(unittest.TestCase):
    def test_the_likeliest_crack_type_carries_the_crack_score(self) -> None:
        raw = torch.randn(1, 6, 50)
        scores = class_scores(raw, ROAD)
        self.assertEqual(tuple(scores.shape), (1, 5, 50))
        torch.testing.assert_close(scores[:, :3].amax(1), raw[:, 0].sigmoid())
        self.assertTrue(bool((scores[:, :3].argmax(1) == raw[:, 3:].argmax(1)).all()))

    def test_suppression_works_across_crack_types_only(self) -> None:
        rows = np.array([[0, 0, 10, 10, 0, 0.9], [0, 0, 10, 11, 2, 0.8], [0, 0, 10, 10, 3, 0.7]])
        self.assertEqual(suppress(rows, 0.5, ROAD.group_of_class)[:, 4].tolist(), [0, 3])

    def test_each_truth_is_found_once(self) -> None:
        found = [np.array([[0, 0, 10, 10, 0, 0.9], [0, 0, 10, 10, 0, 0.8]])]
        score = judge(found, [np.array([[2, 0, 0, 10, 10]])], 0.5, "group", ROAD.group_of_class, 0.5)
        self.assertEqual((score.precision, score.recall), (0.5, 1.0))
        self.assertEqual(judge(found, [np.array([[2, 0, 0, 10, 10]])], 0.5, "exact", ROAD.group_of_class, 0.5).recall, 0.0)


class Network(unittest.TestCase):
    def test_every_cell_has_one_column_of_output(self) -> None:
        scores, sides, mask = DetectorNet(ROAD).eval()(torch.zeros(1, 3, 320, 512))
        cells = len(cell_centres(512, 320)[0])
        self.assertEqual((scores.shape[2], sides.shape[2]), (cells, cells))
        self.assertEqual(tuple(mask.shape[2:]), (40, 64))

    def test_a_task_without_extent_and_types_has_boxes_and_one_score_per_class(self) -> None:
        deployed = Deployed(DetectorNet(PRIVACY), 192, 128).eval()
        (predictions,) = deployed(torch.rand(1, 3, 128, 192))
        self.assertEqual(tuple(predictions.shape), (1, 4 + 4, len(cell_centres(192, 128)[0])))

    def test_an_exported_model_goes_on_learning_from_where_it_is(self) -> None:
        torch.manual_seed(2)
        old, new = DetectorNet(ROAD).eval(), DetectorNet(ROAD)
        for module in old.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        pictures = torch.rand(4, 3, 64, 64)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "old.onnx"
            write_onnx(old, path, 64, 64)
            self.assertEqual(load_onnx(new, str(path), pictures), [])
        for a, b in zip(Deployed(old, 64, 64).eval()(pictures), Deployed(new.eval(), 64, 64).eval()(pictures)):
            torch.testing.assert_close(a, b, atol=1e-2, rtol=1e-3)


if __name__ == "__main__":
    unittest.main()
