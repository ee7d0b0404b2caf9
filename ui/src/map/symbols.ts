/** The symbols of the map, drawn once for each class and grade. */

import { CLASSES, GRADE_COLOUR, GRADE_STEPS, gradeStep, isKnownClass, symbolOf, type GradeStep } from "../grade";

/** Pixels of the screen; drawn twice as fine for dense screens. */
const SIZE = 32;
const FINENESS = 2;

export function iconName(className: string, grade: number): string {
  return `${isKnownClass(className) ? className : "other"}-${gradeStep(grade)}`;
}

export interface Icon {
  name: string;
  image: ImageData;
  pixelRatio: number;
}

export function allIcons(): Icon[] {
  return [...CLASSES, "other"].flatMap((name) =>
    GRADE_STEPS.map((step) => ({ name: `${name}-${step}`, image: draw(name, step), pixelRatio: FINENESS })),
  );
}

function draw(className: string, step: GradeStep): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * FINENESS;
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser offers no 2D canvas");
  const symbol = symbolOf(className);
  const colour = GRADE_COLOUR[step];
  context.scale(FINENESS, FINENESS);
  context.lineJoin = context.lineCap = "round";
  const outline = new Path2D(symbol.outline);
  context.lineWidth = 5;
  context.strokeStyle = "rgba(18, 52, 59, 0.55)";
  context.stroke(outline);
  context.lineWidth = 3.4;
  context.strokeStyle = "#ffffff";
  context.stroke(outline);
  context.fillStyle = colour.fill;
  context.fill(outline);
  context.lineWidth = 2.3;
  context.strokeStyle = colour.ink;
  context.stroke(new Path2D(symbol.sign));
  if (symbol.dot !== undefined) {
    context.fillStyle = colour.ink;
    context.fill(new Path2D(symbol.dot));
  }
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
