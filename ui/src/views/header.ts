/** The top bar: whose town this is, whether it is simulated or on trial, whether the line stands, and the language. */

import type { Language, Status } from "../api";
import { h, outdated, svg } from "../dom";
import * as format from "../format";
import { counted, hourWords, language, t } from "../i18n";
import type { Connection } from "../live";

export class Header {
  #brand = h("div", { class: "brand" });
  #news = h("div", { class: "bar-news" });
  #devices = h("button", { type: "button", class: "devices-button", id: "devices-button", "aria-haspopup": "dialog" });
  #languages = h("div", { class: "languages", role: "group" });
  readonly element = h(
    "header",
    { class: "bar" },
    this.#brand,
    h("div", { class: "bar-right" }, this.#news, this.#devices, this.#languages),
  );

  constructor(
    private readonly onLanguage: (next: Language) => void,
    onDevices: () => void,
  ) {
    this.#devices.addEventListener("click", onDevices);
  }

  render(status: Status | null, connection: Connection): void {
    this.#renderBrand(status);
    this.#renderNews(status, connection);
    this.#renderDevices(status);
    this.#renderLanguages();
  }

  #renderBrand(status: Status | null): void {
    const { name } = status?.town ?? {};
    const unbatched = (status?.devices.unbatched ?? 0) > 0;
    if (!outdated(this.#brand, name, status?.simulated, status?.trial_operation, unbatched, language())) return;
    this.#brand.replaceChildren(
      h("img", { src: "/umsicht.svg", alt: "", width: 30, height: 30 }),
      h("span", { class: "brand-name" }, "Umsicht"),
      h("h1", { class: "town" }, name === undefined ? t("title") : `${t("title")} ${name}`),
    );
    if (status?.simulated === true) {
      this.#brand.append(h("span", { class: "simulated", id: "simulated", title: t("simulatedHint") }, t("simulated")));
    }
    if (status?.trial_operation === true) {
      this.#brand.append(h("span", { class: "simulated", id: "trial", title: t("trialHint") }, t("trial")));
    }
    if (unbatched) {
      this.#brand.append(h("span", { class: "simulated unbatched", id: "unbatched", title: t("unbatchedHint") }, t("unbatched")));
    }
  }

  #renderNews(status: Status | null, connection: Connection): void {
    if (!outdated(this.#news, status, connection, language())) return;
    this.#news.replaceChildren(this.#connection(shownState(status, connection), connection, status));
    if (status !== null) this.#news.prepend(this.#counts(status));
  }

  #counts(status: Status): HTMLElement {
    const shown = (n: number): string => format.number(n, 0, language());
    return h(
      "p",
      { class: "counts" },
      h("span", {}, counted("defects", status.defects, shown(status.defects))),
      h("span", {}, counted("sightings", status.sightings, shown(status.sightings))),
      status.rejected > 0 &&
        h("span", { class: "rejected" }, counted("rejected", status.rejected, shown(status.rejected))),
    );
  }

  /** The button itself stays, so that the focus comes back to it when the dialog closes. */
  #renderDevices(status: Status | null): void {
    const { known, with_concerns: troubled, blind } = status?.devices ?? { known: 0, with_concerns: 0, blind: 0 };
    if (!outdated(this.#devices, known, troubled, blind, language())) return;
    const shown = (n: number): string => format.number(n, 0, language());
    const words = [
      troubled > 0 && counted("devicesTroubled", troubled, shown(troubled)),
      blind > 0 && counted("devicesBlind", blind, shown(blind)),
    ]
      .filter((part): part is string => typeof part === "string")
      .join(", ");
    this.#devices.title = words;
    this.#devices.classList.toggle("troubled", troubled > 0);
    this.#devices.replaceChildren(
      h("span", {}, `${t("devices")} ${shown(known)}`),
      ...(troubled > 0
        ? [
            h("span", { class: "troubled-count", "aria-hidden": "true" }, `! ${shown(troubled)}`),
            ...(blind > 0
              ? [h("span", { class: "blind-count", "aria-hidden": "true" }, counted("devicesBlind", blind, shown(blind)))]
              : []),
            h("span", { class: "visually-hidden" }, `, ${words}`),
          ]
        : []),
    );
  }

  #connection(state: ShownState, connection: Connection, status: Status | null): HTMLElement {
    let text = t("connecting");
    let hint = "";
    if (state === "live" || state === "deaf") {
      text = t(state);
      hint = t(`${state}Hint`);
      const last = status?.last_event_at ?? null;
      if (last !== null) hint += ` ${t("lastEvent", { hour: hourWords(format.hourAgo(last, new Date(), language())) })}`;
    } else if (connection.state === "broken") {
      const time = format.clock(connection.since, language());
      text = t("broken", { time });
      hint = t("brokenHint", { time, seconds: Math.round(connection.retryInMillis / 1000) });
    }
    return h(
      "p",
      { class: `connection ${state}`, id: "connection", role: "status", "data-state": state, title: hint },
      svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, signOf(state)),
      h("span", {}, text),
    );
  }

  /** Built anew with the language only: news come every moment, and a button must stay under the pointer. */
  #renderLanguages(): void {
    if (!outdated(this.#languages, language())) return;
    this.#languages.setAttribute("aria-label", t("language"));
    const names: [Language, string, string][] = [
      ["de", "DE", "Deutsch"],
      ["en", "EN", "English"],
    ];
    const buttons = names.map(([code, short, long]) => {
      const button = h(
        "button",
        { type: "button", lang: code, "aria-label": long, "aria-pressed": String(language() === code), "data-language": code },
        short,
      );
      button.addEventListener("click", () => {
        this.onLanguage(code);
        this.#languages.querySelector<HTMLButtonElement>(`[data-language="${code}"]`)?.focus();
      });
      return button;
    });
    this.#languages.replaceChildren(...buttons);
  }
}

/** A page that is live shows nothing new when the service itself hears no vehicle: that is said as well. */
type ShownState = Connection["state"] | "deaf";

function shownState(status: Status | null, connection: Connection): ShownState {
  return connection.state === "live" && status?.broker_connected === false ? "deaf" : connection.state;
}

/** Different shapes, not only colours: a dot when live, a cross when broken, a ring while connecting. */
function signOf(state: ShownState): SVGElement {
  const stroke = { fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round" };
  switch (state) {
    case "live":
      return svg("circle", { cx: 5, cy: 5, r: 4, fill: "currentColor" });
    case "deaf":
      return svg("path", { d: "M5 1.5v4M5 8.5v.01", ...stroke });
    case "broken":
      return svg("path", { d: "M2 2l6 6M8 2l-6 6", ...stroke });
    case "connecting":
      return svg("circle", { cx: 5, cy: 5, r: 3.5, ...stroke });
  }
}
