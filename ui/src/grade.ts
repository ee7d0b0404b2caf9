/**
 * How grades and classes look, on the map and in the list alike.
 *
 * Grades run from blue to wine red instead of green to red, so that they stay apart for people who do not tell green
 * from red; the five also differ in lightness, and the number stands beside them. Classes differ by shape and sign.
 */

import { svg } from "./dom";

export type GradeStep = 1 | 2 | 3 | 4 | 5;
export const GRADE_STEPS: readonly GradeStep[] = [1, 2, 3, 4, 5];

export const GRADE_COLOUR: Record<GradeStep, { fill: string; ink: string }> = {
  1: { fill: "#2f6fa8", ink: "#ffffff" },
  2: { fill: "#86b8d6", ink: "#10262f" },
  3: { fill: "#f1c453", ink: "#2d2203" },
  4: { fill: "#c4540f", ink: "#ffffff" },
  5: { fill: "#8c1239", ink: "#ffffff" },
};

export function gradeStep(grade: number): GradeStep {
  return Math.min(5, Math.max(1, Math.round(grade))) as GradeStep;
}

export const CLASSES = ["D40", "D20", "D10", "D00", "Repair"] as const;
export type KnownClass = (typeof CLASSES)[number];

export function isKnownClass(name: string): name is KnownClass {
  return (CLASSES as readonly string[]).includes(name);
}

/** Outline and sign on a field of 32 × 32; the sign is stroked, `dot` is filled. */
interface Symbol {
  outline: string;
  sign: string;
  dot?: string;
}

const CIRCLE = "M16 3.5a12.5 12.5 0 1 1 0 25a12.5 12.5 0 1 1 0-25z";
const SQUARE = "M8 4.5h16a3.5 3.5 0 0 1 3.5 3.5v16a3.5 3.5 0 0 1-3.5 3.5H8A3.5 3.5 0 0 1 4.5 24V8A3.5 3.5 0 0 1 8 4.5z";
const DIAMOND = "M13.9 2.9a3 3 0 0 1 4.2 0l11 11a3 3 0 0 1 0 4.2l-11 11a3 3 0 0 1-4.2 0l-11-11a3 3 0 0 1 0-4.2z";
const HEXAGON = "M11 4h10a2.6 2.6 0 0 1 2.25 1.3l5 8.7a4 4 0 0 1 0 4l-5 8.7A2.6 2.6 0 0 1 21 28H11a2.6 2.6 0 0 1-2.25-1.3l-5-8.7a4 4 0 0 1 0-4l5-8.7A2.6 2.6 0 0 1 11 4z";

export const SYMBOLS: Record<KnownClass | "other", Symbol> = {
  D00: { outline: CIRCLE, sign: "M16.6 8.2l-2 4.2l3 3.6l-2.6 3.8l1.6 4" },
  D10: { outline: CIRCLE, sign: "M8.2 16.6l4.2-2l3.6 3l3.8-2.6l4 1.6" },
  D20: { outline: HEXAGON, sign: "M12 9.5v13M20 9.5v13M9 13h14M9 19h14" },
  D40: { outline: DIAMOND, sign: "M9.2 14.2h3.1c.5 5.4 6.9 5.4 7.4 0h3.1" },
  Repair: { outline: SQUARE, sign: "M10.5 11.5v9h11v-9z" },
  other: { outline: CIRCLE, sign: "M16 10v7", dot: "M16 20.5a1.6 1.6 0 1 1 0 3.2a1.6 1.6 0 1 1 0-3.2z" },
};

export function symbolOf(className: string): Symbol {
  return isKnownClass(className) ? SYMBOLS[className] : SYMBOLS.other;
}

/** The same symbol as on the map, for lists and legends; decorative, the words stand beside it. */
export function symbolIcon(className: string, grade: number | null, size: number): SVGElement {
  const symbol = symbolOf(className);
  const colour = grade === null ? { fill: "#5d6f73", ink: "#ffffff" } : GRADE_COLOUR[gradeStep(grade)];
  return svg(
    "svg",
    { viewBox: "0 0 32 32", width: size, height: size, "aria-hidden": "true", class: "symbol" },
    svg("path", { d: symbol.outline, fill: colour.fill }),
    svg("path", {
      d: symbol.sign,
      fill: "none",
      stroke: colour.ink,
      "stroke-width": 2.3,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
    symbol.dot !== undefined && svg("path", { d: symbol.dot, fill: colour.ink }),
  );
}

/** The class of a grade's chip in the style sheet. */
export function gradeClass(step: GradeStep): string {
  return `grade-${step}`;
}
