/** The dangers that nobody has acknowledged yet, the newest hour first. Pure: no DOM, no network. */

import type { Danger } from "./api";

export class DangerList {
  #byId = new Map<string, Danger>();

  replaceAll(dangers: readonly Danger[]): void {
    this.#byId = new Map(dangers.filter((d) => !d.acknowledged).map((d) => [d.id, d]));
  }

  /** True when it is one that was not known yet. */
  apply(danger: Danger): boolean {
    if (danger.acknowledged) {
      this.#byId.delete(danger.id);
      return false;
    }
    const fresh = !this.#byId.has(danger.id);
    this.#byId.set(danger.id, danger);
    return fresh;
  }

  ordered(): readonly Danger[] {
    return [...this.#byId.values()].sort((a, b) => b.hour.localeCompare(a.hour) || a.id.localeCompare(b.id));
  }
}
