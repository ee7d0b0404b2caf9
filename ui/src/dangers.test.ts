import { expect, test } from "vitest";

import type { Danger } from "./api";
import { DangerList } from "./dangers";

function danger(id: string, hour: string, acknowledged = false): Danger {
  return {
    id,
    hour,
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
