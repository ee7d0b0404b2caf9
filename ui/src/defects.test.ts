import { expect, test } from "vitest";

import type { Defect } from "./api";
import { DefectList } from "./defects";

function defect(id: string, priority: number, sightings = 1): Defect {
  return {
    id,
    class: "D40",
    status: "new",
    position: { lat: 50, lon: 8 },
    sigma_metres: 1,
    heading_degrees: 0,
    length_metres: 1,
    width_metres: 1,
    area_square_metres: 1,
    calibrated: true,
    simulated: false,
    sightings,
    first_seen: "2026-11-20T14:00:00Z",
    last_seen: "2026-11-20T14:00:00Z",
    section: null,
    grade: 3,
    priority,
    reasons: [],
    evidence_url: null,
  };
}

const ids = (list: DefectList): string[] => list.ordered().map((d) => d.id);

test("the most urgent come first, and equal ones keep their order whatever order they arrive in", () => {
  const all = [defect("c", 10), defect("a", 90), defect("b", 10), defect("d", 10, 4)];
  for (const arrival of [all, [...all].reverse()]) {
    const list = new DefectList();
    list.replaceAll(arrival);
    expect(ids(list)).toEqual(["a", "d", "b", "c"]);
  }
});

test("a live update is told apart: new, sighted again, changed, unchanged", () => {
  const list = new DefectList();
  expect(list.apply(defect("a", 10))).toBe("new");
  expect(list.apply(defect("a", 10))).toBe("unchanged");
  expect(list.apply(defect("a", 12))).toBe("changed");
  expect(list.apply(defect("a", 15, 2))).toBe("sighted");
  expect(list.apply(defect("b", 90))).toBe("new");
  expect(ids(list)).toEqual(["b", "a"]);
  expect(list.remove("b")).toBe(true);
  expect(ids(list)).toEqual(["a"]);
});

test("moving stays inside the list", () => {
  const list = new DefectList();
  expect(list.neighbour(null, 1)).toBeUndefined();
  list.replaceAll([defect("a", 3), defect("b", 2), defect("c", 1)]);
  expect(list.neighbour(null, 1)?.id).toBe("a");
  expect(list.neighbour("a", 1)?.id).toBe("b");
  expect(list.neighbour("a", -1)?.id).toBe("a");
  expect(list.neighbour("a", Infinity)?.id).toBe("c");
});
