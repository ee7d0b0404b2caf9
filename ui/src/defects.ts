/** The defects that the page knows, in order of urgency. Pure: no DOM, no network. */

import type { Defect } from "./api";

/** Highest priority first; equal ones keep a fixed order, so that rows do not jump. */
export function byUrgency(a: Defect, b: Defect): number {
  return b.priority - a.priority || b.sightings - a.sightings || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** What an event from the live stream did to the list. */
export type Change = "new" | "sighted" | "changed" | "unchanged";

export class DefectList {
  #byId = new Map<string, Defect>();
  #ordered: Defect[] | null = null;

  replaceAll(defects: readonly Defect[]): void {
    this.#byId = new Map(defects.map((d) => [d.id, d]));
    this.#ordered = null;
  }

  apply(defect: Defect): Change {
    const before = this.#byId.get(defect.id);
    this.#byId.set(defect.id, defect);
    this.#ordered = null;
    if (before === undefined) return "new";
    if (defect.sightings > before.sightings) return "sighted";
    return JSON.stringify(before) === JSON.stringify(defect) ? "unchanged" : "changed";
  }

  remove(id: string): boolean {
    this.#ordered = null;
    return this.#byId.delete(id);
  }

  get(id: string): Defect | undefined {
    return this.#byId.get(id);
  }

  get size(): number {
    return this.#byId.size;
  }

  ordered(): readonly Defect[] {
    this.#ordered ??= [...this.#byId.values()].sort(byUrgency);
    return this.#ordered;
  }

  /** The neighbour `step` rows away from `id`, kept inside the list; the first one when `id` is not in it. */
  neighbour(id: string | null, step: number): Defect | undefined {
    const all = this.ordered();
    const index = all.findIndex((d) => d.id === id);
    if (index < 0) return all[0];
    return all[Math.min(all.length - 1, Math.max(0, index + step))];
  }
}
