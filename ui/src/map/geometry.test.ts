import { expect, test } from "vitest";

import type { SectionFeature } from "../api";
import { boundsOf, circle, streetLines } from "./geometry";

function section(name: string | null, coordinates: [number, number][]): SectionFeature {
  return {
    type: "Feature",
    geometry: { type: "LineString", coordinates },
    properties: { id: "1", name, road_class: "residential", grade: null, defects: 0 },
  };
}

test("the sections of a street become one line, whichever way they were drawn", () => {
  const lines = streetLines([
    section("Ring", [[2, 0], [1, 0]]),
    section("Ring", [[0, 0], [1, 0]]),
    section("Ring", [[3, 0], [2, 0]]),
    section("Quer", [[1, 0], [1, 1]]),
    section(null, [[5, 5], [6, 6]]),
  ]);
  expect(lines.map((l) => [l.name, l.line.length])).toEqual([["Ring", 4], ["Quer", 2]]);
});

test("a street that closes or forks keeps each of its sections once", () => {
  const loop = streetLines([section("A", [[0, 0], [1, 0]]), section("A", [[1, 0], [0, 1]]), section("A", [[0, 1], [0, 0]])]);
  expect(loop.map((l) => l.line.length)).toEqual([4]);
  const fork = streetLines([section("B", [[0, 0], [1, 0]]), section("B", [[1, 0], [2, 1]]), section("B", [[1, 0], [2, -1]])]);
  expect(fork.reduce((pieces, l) => pieces + l.line.length - 1, 0)).toBe(3);
});

test("a circle has its radius in metres both ways", () => {
  const ring = circle({ lat: 50, lon: 8 }, 100);
  const north = Math.max(...ring.map(([, lat]) => lat));
  const east = Math.max(...ring.map(([lon]) => lon));
  expect((north - 50) * 111_320).toBeCloseTo(100, 3);
  expect((east - 8) * 111_320 * Math.cos((50 * Math.PI) / 180)).toBeCloseTo(100, 3);
  expect(ring[0]).toEqual(ring[ring.length - 1]);
});

test("bounds never shrink to a point, and nothing has none", () => {
  expect(boundsOf([], 100)).toBeNull();
  const box = boundsOf([{ lat: 50, lon: 8 }], 111.32);
  expect((box?.[3] ?? 0) - (box?.[1] ?? 0)).toBeCloseTo(0.001, 6);
});
