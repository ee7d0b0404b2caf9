/**
 * How the town is drawn: from its own street network alone, without tiles, sprites or glyphs from elsewhere.
 *
 * Streets are as wide as they are in the world when one is near, and never thinner than a few pixels from afar.
 * The land between them is a broad, soft band along the streets, which gives the town its shape on the paper.
 */

import type {
  ExpressionSpecification,
  LayerSpecification,
  StyleSpecification,
  SymbolLayerSpecification,
} from "maplibre-gl";

import { GRADE_COLOUR } from "../grade";

export const FONT = "IBM Plex Sans Variable";

const PAPER = "#dbe3dc";
const LAND = "#eff1eb";
const CASING = "#b3beb8";
const STREET = "#ffffff";
const MAIN_STREET = "#fdf3d7";
const MAIN_CASING = "#c4ae74";
const PATH = "#c6cec7";
const INK = "#3f4f53";

const EMPTY = { type: "FeatureCollection" as const, features: [] };

type Rank = "main" | "middle" | "small" | "path";
const RANKS: Record<Rank, { classes: string[]; metres: number; leastPixels: number }> = {
  path: {
    classes: ["footway", "path", "cycleway", "pedestrian", "steps", "track", "bridleway", "corridor"],
    metres: 2.2,
    leastPixels: 0.5,
  },
  small: { classes: ["service", "living_street", "road"], metres: 4.5, leastPixels: 1.2 },
  middle: { classes: ["residential", "unclassified", "tertiary", "tertiary_link"], metres: 7, leastPixels: 2.2 },
  main: {
    classes: [
      "motorway", "motorway_link", "trunk", "trunk_link", "primary", "primary_link", "secondary", "secondary_link",
    ],
    metres: 10,
    leastPixels: 3.4,
  },
};
const ORDER: readonly Rank[] = ["path", "small", "middle", "main"];

/** What no rank names counts as an ordinary street. */
function isRank(rank: Rank): ExpressionSpecification {
  const known = ORDER.filter((r) => r !== "middle").flatMap((r) => RANKS[r].classes);
  const roadClass: ExpressionSpecification = ["coalesce", ["get", "road_class"], ""];
  return rank === "middle"
    ? ["!", ["in", roadClass, ["literal", known]]]
    : ["in", roadClass, ["literal", RANKS[rank].classes]];
}

/** Pixels at which a width in metres is drawn: true to scale from zoom 17 on (at 50° north), a minimum before. */
function width(metres: number, leastPixels: number, extraPixels = 0): ExpressionSpecification {
  const pixelsPerMetre = (zoom: number): number => (512 * 2 ** zoom) / (40_075_016 * Math.cos((50 * Math.PI) / 180));
  const at = (zoom: number): number => Math.max(leastPixels, metres * pixelsPerMetre(zoom)) + extraPixels;
  return [
    "interpolate", ["exponential", 2], ["zoom"],
    12, leastPixels * 0.55 + extraPixels * 0.5,
    15, Math.max(leastPixels, metres * pixelsPerMetre(15) * 1.3) + extraPixels,
    17, at(17),
    20, at(20),
  ];
}

function streetLayers(): LayerSpecification[] {
  const line = { "line-cap": "round", "line-join": "round" } as const;
  const casings = ORDER.filter((r) => r !== "path").map((rank): LayerSpecification => ({
    id: `casing-${rank}`,
    type: "line",
    source: "network",
    filter: isRank(rank),
    layout: line,
    paint: {
      "line-color": rank === "main" ? MAIN_CASING : CASING,
      "line-width": width(RANKS[rank].metres, RANKS[rank].leastPixels, 1.8),
    },
  }));
  const fills = ORDER.map((rank): LayerSpecification => ({
    id: `street-${rank}`,
    type: "line",
    source: "network",
    filter: isRank(rank),
    layout: line,
    paint: {
      "line-color": rank === "main" ? MAIN_STREET : rank === "path" ? PATH : STREET,
      "line-width": width(RANKS[rank].metres, RANKS[rank].leastPixels),
    },
  }));
  return [...casings, ...fills];
}

/** From here on there is room for a name beside its street. */
const NEAR_ZOOM = 16.5;

/**
 * Names stand on their street. Near by, the name of a street that has defects stands beside it instead: the symbols
 * have taken the place, and the library looks for collisions on the line only, not where the shifted name is drawn.
 */
function nameLayers(): LayerSpecification[] {
  const layout: SymbolLayerSpecification["layout"] = {
    "symbol-placement": "line",
    "symbol-sort-key": ["match", ["get", "rank"], "main", 0, "middle", 1, "small", 2, 3],
    "text-field": ["get", "name"],
    "text-font": [FONT],
    "text-size": ["interpolate", ["linear"], ["zoom"], 13.5, 11, 16, 13, 19, 16],
    "text-letter-spacing": 0.01,
    "text-max-angle": 35,
    "text-padding": 5,
  };
  const paint = { "text-color": INK, "text-halo-color": "rgba(255,255,255,0.92)", "text-halo-width": 1.6 };
  const base = { type: "symbol", source: "names", paint } as const;
  const onStreet = { ...layout, "symbol-spacing": 300 };
  const beside = {
    ...layout,
    "symbol-spacing": 500,
    "text-allow-overlap": true,
    "text-offset": [0, 1.9] as [number, number],
  };
  return [
    { ...base, id: "names", minzoom: 13.5, filter: ["!", ["get", "damaged"]], layout: onStreet },
    { ...base, id: "names-damaged", minzoom: 13.5, maxzoom: NEAR_ZOOM, filter: ["get", "damaged"], layout: onStreet },
    { ...base, id: "names-beside", minzoom: NEAR_ZOOM, filter: ["get", "damaged"], layout: beside },
  ];
}

export function gradeColour(property: string): ExpressionSpecification {
  const c = GRADE_COLOUR;
  return ["step", ["get", property], c[1].fill, 1.5, c[2].fill, 2.5, c[3].fill, 3.5, c[4].fill, 4.5, c[5].fill];
}

export function townStyle(): StyleSpecification {
  return {
    version: 8,
    sources: {
      network: { type: "geojson", data: EMPTY, tolerance: 0.2 },
      names: { type: "geojson", data: EMPTY, tolerance: 0.2 },
      uncertainty: { type: "geojson", data: EMPTY, tolerance: 0 },
      defects: { type: "geojson", data: EMPTY },
    },
    layers: [
      { id: "paper", type: "background", paint: { "background-color": PAPER } },
      {
        id: "land",
        type: "line",
        source: "network",
        layout: { "line-cap": "round", "line-join": "round" },
        paint: {
          "line-color": LAND,
          "line-width": ["interpolate", ["exponential", 2], ["zoom"], 11, 8, 14, 44, 17, 300, 20, 2000],
          "line-blur": ["interpolate", ["exponential", 2], ["zoom"], 11, 2, 14, 8, 17, 50],
        },
      },
      ...streetLayers(),
      {
        id: "section-grade",
        type: "line",
        source: "network",
        filter: ["!=", ["get", "grade"], null],
        layout: { "line-cap": "butt", "line-join": "round" },
        paint: {
          "line-color": gradeColour("grade"),
          "line-opacity": 0.8,
          "line-width": ["interpolate", ["linear"], ["zoom"], 12, 1.4, 15, 4, 17, 9, 20, 14],
        },
      },
      ...nameLayers(),
      {
        id: "uncertainty-area",
        type: "fill",
        source: "uncertainty",
        paint: { "fill-color": "#12343b", "fill-opacity": 0.1 },
      },
      {
        id: "uncertainty-edge",
        type: "line",
        source: "uncertainty",
        paint: { "line-color": "#12343b", "line-width": 1.5, "line-dasharray": [3, 2] },
      },
      {
        id: "selected-halo",
        type: "circle",
        source: "defects",
        filter: ["==", ["get", "id"], ""],
        paint: {
          "circle-radius": ["interpolate", ["linear"], ["zoom"], 12, 14, 17, 23],
          "circle-color": "#ffffff",
          "circle-stroke-color": "#12343b",
          "circle-stroke-width": 3,
        },
      },
      {
        id: "defects",
        type: "symbol",
        source: "defects",
        layout: {
          "icon-image": ["get", "icon"],
          "icon-size": ["interpolate", ["linear"], ["zoom"], 11, 0.5, 14, 0.78, 17, 1.1],
          "icon-allow-overlap": true,
          "symbol-sort-key": ["get", "priority"],
        },
      },
    ],
  };
}

/** The rank of a street, for the order in which names claim their place. */
export function rankOf(roadClass: string | null): Rank {
  return ORDER.find((rank) => RANKS[rank].classes.includes(roadClass ?? "")) ?? "middle";
}
