/** Numbers, sizes and times as people of either language write them. Pure functions. */

import type { Language, Position } from "./api";

const LOCALE: Record<Language, string> = { de: "de-DE", en: "en-GB" };
const NOT_KNOWN = "–";

export function number(value: number | null | undefined, digits: number, language: Language): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOT_KNOWN;
  return value.toLocaleString(LOCALE[language], { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Centimetres matter below one metre only. */
function metres(value: number, language: Language): string {
  return number(value, value < 0.995 ? 2 : 1, language);
}

export function size(lengthMetres: number, widthMetres: number, calibrated: boolean, language: Language): string {
  return `${calibrated ? "" : "≈ "}${metres(lengthMetres, language)} × ${metres(widthMetres, language)} m`;
}

export function area(squareMetres: number, calibrated: boolean, language: Language): string {
  return `${calibrated ? "" : "≈ "}${metres(squareMetres, language)} m²`;
}

export function position(at: Position, language: Language): string {
  const part = (value: number, plus: string, minus: string): string =>
    `${number(Math.abs(value), 6, language)}° ${value < 0 ? minus : plus}`;
  return `${part(at.lat, "N", "S")}, ${part(at.lon, language === "de" ? "O" : "E", "W")}`;
}

/** Events carry no finer time than the hour; no minutes are shown that nobody knows. */
export function hour(rfc3339: string, language: Language): string {
  const date = new Date(rfc3339);
  if (Number.isNaN(date.getTime())) return NOT_KNOWN;
  const day = date.toLocaleDateString(LOCALE[language], { day: "2-digit", month: "2-digit", year: "numeric" });
  const clock = date.getHours();
  return language === "de" ? `${day}, ${clock} Uhr` : `${day}, ${String(clock).padStart(2, "0")}:00`;
}

export type Ago = { kind: "this" } | { kind: "last" } | { kind: "at"; hour: string };

/** How long ago an hour was, as far as that is known: nothing tells when within the hour it was. */
export function hourAgo(rfc3339: string, now: Date, language: Language): Ago {
  const millis = 3_600_000;
  const hours = Math.floor(now.getTime() / millis) - Math.floor(new Date(rfc3339).getTime() / millis);
  if (hours === 0) return { kind: "this" };
  return hours === 1 ? { kind: "last" } : { kind: "at", hour: hour(rfc3339, language) };
}

export function clock(at: Date, language: Language): string {
  return at.toLocaleTimeString(LOCALE[language], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** A moment that matters to the minute; the day is told when it is not today's. */
export function moment(rfc3339: string, now: Date, language: Language): string {
  const date = new Date(rfc3339);
  if (Number.isNaN(date.getTime())) return NOT_KNOWN;
  const time = date.toLocaleTimeString(LOCALE[language], { hour: "2-digit", minute: "2-digit" });
  const clock = language === "de" ? `${time} Uhr` : time;
  if (date.toDateString() === now.toDateString()) return clock;
  return `${date.toLocaleDateString(LOCALE[language], { day: "2-digit", month: "2-digit", year: "numeric" })}, ${clock}`;
}

export function percent(share: number, language: Language): string {
  return share.toLocaleString(LOCALE[language], { style: "percent", maximumFractionDigits: 0 });
}

export interface ReasonBar {
  /** Where the bar starts and how long it is, in percent of 0 … 100 points. */
  start: number;
  width: number;
}

/** Bars that follow one another, so that the end of the last one is the priority itself. */
export function reasonBars(points: readonly number[]): ReasonBar[] {
  let sum = 0;
  return points.map((p) => {
    const from = sum;
    sum += p;
    const start = Math.max(0, Math.min(from, sum));
    return { start, width: Math.min(100, Math.max(from, sum)) - start };
  });
}
