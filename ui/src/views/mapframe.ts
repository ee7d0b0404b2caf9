/** The frame around the map: its buttons, and the words shown when there is no map. */

import { h, outdated } from "../dom";
import { language, t } from "../i18n";
import type { MapView } from "../map/view";

export class MapFrame {
  readonly element = h("section", { class: "map-frame" });
  readonly canvas = h("div", { class: "map", id: "map" });
  readonly over: HTMLElement;
  #buttons = h("div", { class: "map-buttons", role: "group" });
  #note = h("p", { class: "map-note", role: "alert", hidden: true });
  #attribution = h("p", { class: "attribution", hidden: true });
  #view: MapView | null = null;

  constructor(...over: HTMLElement[]) {
    this.over = h("div", { class: "map-over" }, ...over);
    this.element.append(this.canvas, this.#buttons, this.#note, this.#attribution, this.over);
  }

  attach(view: MapView): void {
    this.#view = view;
    this.canvas.querySelector("canvas")?.setAttribute("aria-label", t("map"));
  }

  render(note: "mapFailed" | "networkFailed" | null, attribution: string | null): void {
    if (!outdated(this.element, note, attribution, language())) return;
    this.#attribution.hidden = attribution === null;
    this.#attribution.textContent = attribution;
    this.element.setAttribute("aria-label", t("map"));
    this.canvas.querySelector("canvas")?.setAttribute("aria-label", t("map"));
    this.#note.hidden = note === null;
    if (note !== null) this.#note.textContent = t(note);
    this.#buttons.setAttribute("aria-label", t("map"));
    this.#buttons.hidden = note === "mapFailed";
    this.#buttons.replaceChildren(
      this.#button("+", t("zoomIn"), () => this.#view?.zoomBy(1)),
      this.#button("−", t("zoomOut"), () => this.#view?.zoomBy(-1)),
      this.#button("⤢", t("fit"), () => this.#view?.fit(true)),
    );
  }

  #button(sign: string, name: string, act: () => void): HTMLElement {
    const button = h("button", { type: "button", "aria-label": name, title: name }, sign);
    button.addEventListener("click", act);
    return button;
  }
}
