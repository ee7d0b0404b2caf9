/**
 * The list of defects, the most urgent first. A listbox: one stop for the Tab key, arrows or j and k move, Enter
 * opens. Rows are kept and moved, not rebuilt, so that the selection and the scroll position survive live updates.
 */

import type { Defect } from "../api";
import type { Change, DefectList } from "../defects";
import { h, outdated } from "../dom";
import * as format from "../format";
import { gradeStep, gradeClass, symbolIcon } from "../grade";
import { className, counted, gradeWord, language, t } from "../i18n";

export type ListState = { kind: "loading" } | { kind: "failed"; message: string } | { kind: "ready" };

const HIGHLIGHT_MILLIS = 6_000;

export class ListView {
  readonly element: HTMLElement;
  #title = h("h2", { id: "list-title" });
  #hint = h("p", { class: "list-hint", id: "list-hint" });
  #message = h("div", { class: "message", role: "status" });
  #box = h("div", {
    class: "rows",
    id: "defects",
    role: "listbox",
    tabindex: 0,
    "aria-labelledby": "list-title",
    "aria-describedby": "list-hint",
  });
  #rows = new Map<string, HTMLElement>();
  #fresh = new Map<string, Change>();
  #active: string | null = null;

  constructor(
    private readonly defects: DefectList,
    private readonly onOpen: (id: string, how: "pointer" | "keyboard") => void,
    private readonly onRetry: () => void,
  ) {
    this.element = h(
      "section",
      { class: "list", "aria-labelledby": "list-title" },
      h("div", { class: "list-head" }, this.#title, this.#hint),
      this.#message,
      this.#box,
    );
    this.#box.addEventListener("focus", () => {
      if (this.#active === null && this.#box.matches(":focus-visible")) this.activate(this.defects.ordered()[0]?.id ?? null);
    });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#box.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-id]");
      if (row?.dataset["id"] !== undefined) this.onOpen(row.dataset["id"], "pointer");
    });
  }

  render(state: ListState, openId: string | null): void {
    const ordered = this.defects.ordered();
    this.#title.textContent = t("list");
    this.#hint.textContent = t("listHint");
    this.#renderMessage(state, ordered.length);
    this.#box.hidden = ordered.length === 0;
    if (this.#active !== null && this.defects.get(this.#active) === undefined) this.#active = null;

    for (const [id, row] of this.#rows) {
      if (this.defects.get(id) !== undefined) continue;
      row.remove();
      this.#rows.delete(id);
    }
    let place: ChildNode | null = this.#box.firstChild;
    for (const defect of ordered) {
      const row = this.#row(defect, openId);
      if (row === place) place = row.nextSibling;
      else this.#box.insertBefore(row, place);
    }
    this.#markActive();
  }

  /** Shows for a moment that a row is new or was seen again. */
  highlight(id: string, change: Change): void {
    this.#fresh.set(id, change);
    window.setTimeout(() => {
      this.#fresh.delete(id);
      const row = this.#rows.get(id);
      row?.classList.remove("fresh", "entering");
      row?.querySelector(".fresh-mark")?.remove();
    }, HIGHLIGHT_MILLIS);
  }

  /** Moves the active row, without opening it, and brings it into view. */
  activate(id: string | null): void {
    this.#active = id;
    this.#markActive();
    if (id !== null) this.#rows.get(id)?.scrollIntoView({ block: "nearest" });
  }

  focus(): void {
    this.#box.focus();
  }

  get active(): string | null {
    return this.#active;
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pageRows = 8;
    const steps: Record<string, number> = {
      ArrowDown: 1,
      j: 1,
      ArrowUp: -1,
      k: -1,
      PageDown: pageRows,
      PageUp: -pageRows,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      this.activate(this.defects.neighbour(this.#active, step)?.id ?? null);
    } else if ((event.key === "Enter" || event.key === " ") && this.#active !== null) {
      event.preventDefault();
      this.onOpen(this.#active, "keyboard");
    }
  }

  #row(defect: Defect, openId: string | null): HTMLElement {
    let row = this.#rows.get(defect.id);
    const entering = row === undefined;
    if (row === undefined) {
      row = h("div", { class: "row", role: "option", id: `row-${defect.id}`, "data-id": defect.id });
      this.#rows.set(defect.id, row);
    }
    const fresh = this.#fresh.get(defect.id);
    row.classList.toggle("fresh", fresh !== undefined);
    if (entering && fresh !== undefined) row.classList.add("entering");
    row.classList.toggle("open", defect.id === openId);
    row.setAttribute("aria-selected", String(defect.id === openId));
    if (outdated(row, defect, language(), fresh)) row.replaceChildren(...rowContent(defect, fresh));
    return row;
  }

  #markActive(): void {
    for (const [id, row] of this.#rows) row.classList.toggle("active", id === this.#active);
    if (this.#active === null) this.#box.removeAttribute("aria-activedescendant");
    else this.#box.setAttribute("aria-activedescendant", `row-${this.#active}`);
  }

  #renderMessage(state: ListState, count: number): void {
    if (!outdated(this.#message, state, count === 0, language())) return;
    this.#message.hidden = state.kind === "ready" && count > 0;
    this.#message.className = `message ${state.kind}`;
    if (state.kind === "loading") {
      this.#message.replaceChildren(h("div", { class: "spinner", "aria-hidden": "true" }), h("p", {}, t("loading")));
    } else if (state.kind === "failed") {
      const again = h("button", { type: "button", class: "button" }, t("retry"));
      again.addEventListener("click", this.onRetry);
      this.#message.replaceChildren(
        h("p", { class: "message-title" }, t("loadFailed")),
        h("p", {}, t("loadFailedHint")),
        h("p", { class: "technical" }, state.message),
        again,
      );
    } else {
      this.#message.replaceChildren(h("p", { class: "message-title" }, t("empty")), h("p", {}, t("emptyHint")));
    }
  }
}

function rowContent(defect: Defect, fresh: Change | undefined): HTMLElement[] {
  const lang = language();
  const step = gradeStep(defect.grade);
  const points = format.number(defect.priority, 0, lang);
  const bar = h("span", { class: "priority-fill" });
  bar.style.width = `${Math.max(0, Math.min(100, defect.priority))}%`;
  const street = defect.section?.name ?? t("unknownStreet");
  return [
    h(
      "div",
      { class: "priority" },
      h("span", { class: "visually-hidden" }, `${t("priorityOf", { points })}: `),
      h("span", { class: "priority-number", "aria-hidden": "true" }, points),
      h("span", { class: "priority-track", "aria-hidden": "true" }, bar),
    ),
    h("div", { class: "row-symbol" }, symbolIcon(defect.class, defect.grade, 28)),
    h(
      "div",
      { class: "row-text" },
      h(
        "p",
        { class: "row-title" },
        h("strong", {}, className(defect.class)),
        fresh !== undefined && h("span", { class: "fresh-mark" }, t(fresh === "new" ? "justNew" : "justSighted")),
      ),
      h("p", { class: "row-street" }, street),
      h(
        "p",
        { class: "row-facts" },
        h("span", {}, format.size(defect.length_metres, defect.width_metres, defect.calibrated, lang)),
        h("span", {}, counted("sightings", defect.sightings, format.number(defect.sightings, 0, lang))),
      ),
    ),
    h(
      "div",
      { class: `grade ${gradeClass(step)}`, title: `${t("grade")}: ${gradeWord(step)}` },
      h("span", { class: "visually-hidden" }, `${t("grade")} `),
      format.number(defect.grade, 1, lang),
    ),
  ];
}
