/** The devices in a dialog: which are there, and what is wrong with them in plain words. */

import type { Concern, Device, DeviceHealth } from "../api";
import { h, outdated } from "../dom";
import * as format from "../format";
import { language, t } from "../i18n";

export type DevicesState = { kind: "loading" } | { kind: "failed" } | { kind: "ready"; devices: Device[] };

export class DevicesDialog {
  readonly element = h("dialog", { class: "devices", id: "devices", "aria-labelledby": "devices-title" });

  constructor() {
    // A click beside the dialog closes it; inside, its children are the target.
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.element.close();
    });
  }

  open(): void {
    if (!this.element.open) this.element.showModal();
  }

  get isOpen(): boolean {
    return this.element.open;
  }

  render(state: DevicesState): void {
    if (!outdated(this.element, state, language())) return;
    const close = h("button", { type: "button", class: "close", "aria-label": t("close"), title: t("close") }, "×");
    close.addEventListener("click", () => this.element.close());
    this.element.replaceChildren(
      h(
        "div",
        { class: "devices-inner" },
        h("div", { class: "devices-head" }, h("h2", { id: "devices-title" }, t("devices")), close),
        h("p", { class: "devices-hint" }, t("devicesHint")),
        content(state),
      ),
    );
  }
}

function content(state: DevicesState): HTMLElement {
  if (state.kind === "loading") return h("div", { class: "spinner", "aria-hidden": "true" });
  if (state.kind === "failed") return h("p", { class: "absent" }, t("devicesFailed"));
  if (state.devices.length === 0) return h("p", { class: "absent" }, t("devicesNone"));
  return h("ul", {}, ...state.devices.map(row));
}

function row(device: Device): HTMLElement {
  const online = device.online ? "online" : "offline";
  return h(
    "li",
    { "data-device": device.name },
    h(
      "p",
      { class: "device-head" },
      h("span", { class: `device-dot ${online}`, "aria-hidden": "true" }),
      h("strong", {}, device.name),
      h("span", { class: "device-state" }, t(device.online ? "deviceOnline" : "deviceOffline")),
    ),
    ...said(device),
    device.health !== null && h("p", { class: "device-facts" }, facts(device.health)),
  );
}

function said(device: Device): HTMLElement[] {
  if (device.concerns.length > 0) return [h("ul", { class: "concerns" }, ...device.concerns.map(concern))];
  if (device.health === null) return [h("p", { class: "absent" }, t("deviceUnknown"))];
  return [h("p", { class: "device-well" }, t("deviceWell"))];
}

function concern({ code, text, since }: Concern): HTMLElement {
  const time = since === undefined ? null : format.moment(since, new Date(), language());
  return h("li", { "data-code": code }, text[language()], time !== null && ` ${t("concernSince", { time })}`);
}

function facts(health: DeviceHealth): string {
  const shown = (n: number): string => format.number(n, 0, language());
  const models = Object.entries(health.models).map(([name, version]) => `${name} ${version}`);
  return [
    health.program !== "" && t("deviceProgram", { version: health.program }),
    ...models,
    health.batch_minutes > 0 && t("deviceBatch", { n: shown(health.batch_minutes) }),
    health.waiting > 0 && t("deviceWaiting", { n: shown(health.waiting) }),
  ]
    .filter((part): part is string => typeof part === "string")
    .join(" · ");
}
