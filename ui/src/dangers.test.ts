import { expect, test } from "vitest";

import type { Danger } from "./api";
import { DangerList } from "./dangers";

function danger(id: string, hour: string, acknowledged = false): Danger {
  return {
    id,
    hour,
    marked_by: null,
    class: "D40",
    position: { lat: 51.5, lon: 8.1 },
    length_metres: 0.8,
    width_metres: 0.6,
    calibrated: true,
    simulated: false,
    section: null,
    acknowledged,
  };
}

test("open dangers are listed, the newest hour first, until somebody has seen them", () => {
  const list = new DangerList();
  list.replaceAll([danger("a", "2026-03-17T08:00:00Z"), danger("b", "2026-03-17T09:00:00Z", true)]);
  expect(list.apply(danger("c", "2026-03-17T09:00:00Z"))).toBe(true);
  expect(list.apply(danger("c", "2026-03-17T09:00:00Z"))).toBe(false);
  expect(list.ordered().map((d) => d.id)).toEqual(["c", "a"]);
  expect(list.apply(danger("c", "2026-03-17T09:00:00Z", true))).toBe(false);
  expect(list.ordered().map((d) => d.id)).toEqual(["a"]);
});

test("a mark of a driver waits like any danger", () => {
  const list = new DangerList();
  const mark: Danger = {
    id: "m",
    hour: "2026-03-17T10:00:00Z",
    marked_by: "driver",
    position: { lat: 51.5, lon: 8.1 },
    sigma_metres: 9,
    simulated: false,
    section: null,
    acknowledged: false,
  };
  list.replaceAll([danger("a", "2026-03-17T08:00:00Z")]);
  expect(list.apply(mark)).toBe(true);
  expect(list.ordered().map((d) => d.id)).toEqual(["m", "a"]);
  expect(list.apply({ ...mark, acknowledged: true })).toBe(false);
  expect(list.ordered().map((d) => d.id)).toEqual(["a"]);
});
