/** Geometry for drawing only: chains for street names, circles, bounds. Longitude and latitude in degrees. */

import type { Bounds, Position, SectionFeature } from "../api";

type Point = [number, number];
const METRES_PER_DEGREE = 111_320;
/** The radius that holds 95 % of a round two-dimensional normal distribution, in sigmas: sqrt(-2 ln 0.05). */
const SIGMAS_OF_95_PERCENT = 2.448;

export interface StreetLine {
  name: string;
  roadClass: string | null;
  /** Whether any section of the street has a defect. */
  damaged: boolean;
  line: Point[];
}

/**
 * Joins the sections of each street end to end. Sections are about 100 m long, too short to carry a name; the
 * joined line is long enough. Where a street forks, one branch goes on and the other starts a line of its own.
 */
export function streetLines(
  sections: readonly SectionFeature[],
): StreetLine[] {
  const groups = new Map<string, SectionFeature[]>();
  for (const section of sections) {
    const { name, road_class } = section.properties;
    if (name === null || name === "" || section.geometry.coordinates.length < 2) continue;
    const key = `${name}\n${road_class ?? ""}`;
    const group = groups.get(key);
    if (group) group.push(section);
    else groups.set(key, [section]);
  }
  return [...groups.values()].flatMap((group) =>
    chains(group.map((s) => s.geometry.coordinates)).map((line) => ({
      name: group[0]?.properties.name ?? "",
      roadClass: group[0]?.properties.road_class ?? null,
      damaged: group.some((s) => s.properties.defects > 0),
      line,
    })),
  );
}

function chains(lines: readonly Point[][]): Point[][] {
  const key = (p: Point): string => `${p[0].toFixed(6)} ${p[1].toFixed(6)}`;
  const first = (line: Point[]): Point => line[0] as Point;
  const last = (line: Point[]): Point => line[line.length - 1] as Point;
  const free = new Set(lines);
  const atEnd = new Map<string, Point[][]>();
  for (const line of lines) {
    for (const end of [key(first(line)), key(last(line))]) {
      const there = atEnd.get(end);
      if (there) there.push(line);
      else atEnd.set(end, [line]);
    }
  }
  const grow = (chain: Point[]): Point[] => {
    for (;;) {
      const end = key(last(chain));
      const next = atEnd.get(end)?.find((line) => free.has(line));
      if (next === undefined) return chain;
      free.delete(next);
      const onward = key(first(next)) === end ? next : [...next].reverse();
      chain = chain.concat(onward.slice(1));
    }
  };
  const result: Point[][] = [];
  for (const line of lines) {
    if (!free.delete(line)) continue;
    result.push(grow(grow([...line]).reverse()).reverse());
  }
  return result;
}

/** A ring of points around `centre`; good enough for tens of metres. */
export function circle(centre: Position, radiusMetres: number): Point[] {
  const steps = 48;
  const dLat = radiusMetres / METRES_PER_DEGREE;
  const dLon = dLat / Math.cos((centre.lat * Math.PI) / 180);
  return Array.from({ length: steps + 1 }, (_, i): Point => {
    const angle = (2 * Math.PI * (i % steps)) / steps;
    return [centre.lon + dLon * Math.cos(angle), centre.lat + dLat * Math.sin(angle)];
  });
}

export function radiusOf95Percent(sigmaMetres: number): number {
  return SIGMAS_OF_95_PERCENT * sigmaMetres;
}

/** The smallest box around the points, not smaller than `leastMetres` either way; nothing for no points. */
export function boundsOf(points: Iterable<Position>, leastMetres: number): Bounds | null {
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { lat, lon } of points) {
    west = Math.min(west, lon);
    east = Math.max(east, lon);
    south = Math.min(south, lat);
    north = Math.max(north, lat);
  }
  if (west > east) return null;
  const half = leastMetres / METRES_PER_DEGREE / 2;
  const halfLon = half / Math.cos((south * Math.PI) / 180);
  const [lon, lat] = [(west + east) / 2, (south + north) / 2];
  return [
    Math.min(west, lon - halfLon),
    Math.min(south, lat - half),
    Math.max(east, lon + halfLon),
    Math.max(north, lat + half),
  ];
}
