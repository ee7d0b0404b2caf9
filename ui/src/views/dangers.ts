/** The strip below the bar: what vehicles told at once and nobody has acknowledged yet. Gone when there is nothing. */

import type { Danger, DriverMark } from "../api";
import { h, outdated, svg } from "../dom";
import * as format from "../format";
import { className, counted, hourWords, language, t } from "../i18n";

/** More are counted, not listed: the strip must not push the map away. */
const MOST_SHOWN = 3;
const MINUTE_MILLIS = 60_000;

export class DangerStrip {
  readonly element = h("section", { class: "dangers", id: "dangers", hidden: true });
  #failed: string | null = null;

  constructor(
    private readonly onShow: (danger: Danger) => void,
    private readonly onSeen: (danger: Danger) => Promise<void>,
  ) {
    this.element.addEventListener("click", (event) => this.#click(event));
  }

  #shown: readonly Danger[] = [];

  render(dangers: readonly Danger[]): void {
    // "In this hour" becomes "in the hour before" while nothing else happens.
    const minute = Math.floor(Date.now() / MINUTE_MILLIS);
    const key = JSON.stringify(dangers);
    if (!outdated(this.element, key, language(), minute, this.#failed)) return;
    this.#shown = dangers.slice(0, MOST_SHOWN);
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset : {};
    this.element.hidden = dangers.length === 0;
    this.element.setAttribute("aria-label", t("dangers"));
    const more = dangers.length - this.#shown.length;
    this.element.replaceChildren(
      h("ul", {}, ...this.#shown.map((danger) => this.#row(danger))),
      more > 0 ? h("p", { class: "dangers-more" }, counted("dangerMore", more, format.number(more, 0, language()))) : "",
    );
    const { act, danger } = focused;
    if (act !== undefined && danger !== undefined) {
      this.element.querySelector<HTMLElement>(`[data-act="${act}"][data-danger="${danger}"]`)?.focus();
    }
  }

  #row(danger: Danger): HTMLElement {
    const lang = language();
    const place = whatAndWhere(danger);
    const hour = hourWords(format.hourAgo(danger.hour, new Date(), lang));
    const button = (act: "show" | "seen", words: string, name: string, hint: string): HTMLElement =>
      h("button", { type: "button", class: act, "data-act": act, "data-danger": danger.id, "aria-label": name, title: hint }, words);
    return h(
      "li",
      { "data-id": danger.id, "data-marked-by": danger.marked_by ?? "" },
      warningSign(20),
      h("p", { class: "danger-what" }, h("strong", {}, t("danger")), ` ${t("dangerAt", place)}`),
      h("p", { class: "danger-facts" }, facts(danger, hour)),
      this.#failed === danger.id && h("p", { class: "danger-failed", role: "alert" }, t("dangerSeenFailed")),
      h(
        "div",
        { class: "danger-buttons" },
        button("show", t("dangerShow"), t("dangerShowName", place), ""),
        button("seen", t("dangerSeen"), t("dangerSeenName", place), t(isMark(danger) ? "markSeenHint" : "dangerSeenHint")),
      ),
    );
  }

  #click(event: MouseEvent): void {
    const button = (event.target as Element).closest<HTMLButtonElement>("button[data-danger]");
    const danger = this.#shown.find((d) => d.id === button?.dataset["danger"]);
    if (button === null || danger === undefined) return;
    if (button.dataset["act"] === "show") return this.onShow(danger);
    button.disabled = true;
    this.#failed = null;
    this.onSeen(danger).catch(() => {
      button.disabled = false;
      this.#failed = danger.id;
      this.render(this.#shown);
    });
  }
}

const isMark = (danger: Danger): danger is DriverMark => danger.marked_by === "driver";

/** For sentences that name a danger. */
export function whatAndWhere(danger: Danger): { what: string; street: string } {
  const what = isMark(danger) ? t("markedByDriver") : className(danger.class);
  return { what, street: danger.section?.name ?? t("unknownStreet") };
}

function facts(danger: Danger, hour: string): string {
  const lang = language();
  if (isMark(danger)) {
    return t("markFacts", { sigma: format.number(Math.max(1, danger.sigma_metres), 0, lang), hour });
  }
  return t("dangerFacts", { size: format.size(danger.length_metres, danger.width_metres, danger.calibrated, lang), hour });
}

/** A triangle with an exclamation mark, also on the map; decorative, the words stand beside it. */
export function warningSign(size: number): SVGElement {
  const line = { fill: "none", stroke: "#2b1d00", "stroke-width": 2.4, "stroke-linecap": "round" };
  return svg(
    "svg",
    { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "warning-sign" },
    svg("path", {
      d: "M12 2.6L22.4 20.8H1.6z",
      fill: "#f2b233",
      stroke: "#2b1d00",
      "stroke-width": 1.6,
      "stroke-linejoin": "round",
    }),
    svg("path", { d: "M12 9v5.2M12 17.6v.01", ...line }),
  );
}
