/** One defect: its evidence, why it stands where it stands, how large it is, and who saw it. */

import type { Defect, DefectDetail, SightingDetail } from "../api";
import { h, outdated } from "../dom";
import * as format from "../format";
import { gradeClass, gradeStep, symbolIcon } from "../grade";
import { className, counted, gradeWord, language, t } from "../i18n";

export type DetailState = { kind: "loading" } | { kind: "failed" } | { kind: "ready"; detail: DefectDetail };

export class DetailView {
  readonly element = h("aside", { class: "detail", id: "detail", hidden: true, "aria-labelledby": "detail-title" });
  #shownId: string | null = null;

  constructor(private readonly onClose: () => void) {
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.onClose();
    });
  }

  render(defect: Defect | null, state: DetailState): void {
    this.element.hidden = defect === null;
    if (defect === null) {
      this.#shownId = null;
      outdated(this.element, null);
      this.element.replaceChildren();
      return;
    }
    if (!outdated(this.element, defect, state, language())) return;
    const scroll = this.#shownId === defect.id ? (this.element.querySelector(".detail-body")?.scrollTop ?? 0) : 0;
    const focusInside = this.element.contains(document.activeElement);
    this.#shownId = defect.id;
    this.element.dataset["id"] = defect.id;
    const body = h(
      "div",
      { class: "detail-body" },
      this.#summary(defect),
      evidence(defect),
      reasons(defect),
      measures(defect),
      sightings(state),
      h(
        "footer",
        { class: "honest" },
        !defect.reasons.some((r) => r.code === "depth_not_measured") && h("p", {}, t("noDepth")),
        h("p", {}, t("personDecides")),
      ),
    );
    this.element.replaceChildren(this.#head(defect), body);
    body.scrollTop = scroll;
    if (focusInside) this.focus();
  }

  focus(): void {
    this.element.querySelector<HTMLElement>("#detail-title")?.focus({ preventScroll: true });
  }

  #head(defect: Defect): HTMLElement {
    const close = h("button", { type: "button", class: "close", "aria-label": t("close") }, "×");
    close.addEventListener("click", this.onClose);
    return h(
      "div",
      { class: "detail-head" },
      symbolIcon(defect.class, defect.grade, 38),
      h(
        "div",
        { class: "detail-names" },
        h("h2", { id: "detail-title", tabindex: -1 }, className(defect.class)),
        h("p", {}, defect.section?.name ?? t("unknownStreet")),
      ),
      close,
    );
  }

  #summary(defect: Defect): HTMLElement {
    const lang = language();
    const step = gradeStep(defect.grade);
    return h(
      "dl",
      { class: "summary" },
      h(
        "div",
        {},
        h("dt", {}, t("priority")),
        h("dd", {}, h("b", {}, format.number(defect.priority, 1, lang)), h("small", {}, " / 100")),
      ),
      h(
        "div",
        {},
        h("dt", {}, t("grade")),
        h(
          "dd",
          {},
          h("span", { class: `grade ${gradeClass(step)}` }, format.number(defect.grade, 1, lang)),
          h("small", {}, gradeWord(step)),
        ),
      ),
      h(
        "div",
        {},
        h("dt", {}, t("sightingsTitle")),
        h("dd", {}, h("b", {}, format.number(defect.sightings, 0, lang))),
      ),
    );
  }
}

function block(title: string, ...children: (Node | false | null)[]): HTMLElement {
  return h("section", { class: "block" }, h("h3", {}, title), ...children);
}

function evidence(defect: Defect): HTMLElement {
  if (defect.evidence_url === null) return block(t("evidence"), h("p", { class: "absent" }, t("noEvidence")));
  const street = defect.section?.name ?? t("unknownStreet");
  const picture = h("img", {
    src: defect.evidence_url,
    alt: t("evidenceAlt", { class: className(defect.class), street }),
  });
  const figure = h("figure", {}, picture, h("figcaption", {}, t("evidenceCaption")));
  picture.addEventListener("error", () => figure.replaceChildren(h("p", { class: "absent" }, t("evidenceBroken"))));
  return block(t("evidence"), figure);
}

function reasons(defect: Defect): HTMLElement {
  const lang = language();
  const counting = defect.reasons.filter((r) => r.points !== 0);
  const remarks = defect.reasons.filter((r) => r.points === 0);
  const bars = format.reasonBars(counting.map((r) => r.points));
  const list = h("ul", { class: "reasons", id: "reasons" });
  counting.forEach((reason, i) => {
    const { start, width } = bars[i] ?? { start: 0, width: 0 };
    list.append(reasonRow(reason.text[lang], format.number(reason.points, 1, lang), start, width, ""));
  });
  list.append(reasonRow(t("sum"), format.number(defect.priority, 1, lang), 0, Math.min(100, defect.priority), "sum"));
  if (remarks.length === 0) return block(t("reasons"), list);
  return block(
    t("reasons"),
    list,
    h("ul", { class: "remarks" }, ...remarks.map((r) => h("li", {}, r.text[lang]))),
  );
}

function reasonRow(text: string, points: string, start: number, width: number, kind: string): HTMLElement {
  const fill = h("span", { class: "reason-fill" });
  fill.style.left = `${start}%`;
  fill.style.width = `${width}%`;
  return h(
    "li",
    { class: `reason ${kind}` },
    h("span", { class: "reason-text" }, text),
    h("span", { class: "reason-points" }, points),
    h("span", { class: "reason-track", "aria-hidden": "true" }, fill),
  );
}

function measures(defect: Defect): HTMLElement {
  const lang = language();
  const facts: [string, string][] = [
    [t("size"), format.size(defect.length_metres, defect.width_metres, defect.calibrated, lang)],
    [t("area"), format.area(defect.area_square_metres, defect.calibrated, lang)],
    [t("position"), format.position(defect.position, lang)],
    [t("accuracy"), `± ${format.number(defect.sigma_metres, 1, lang)} m`],
    [t("firstSeen"), format.hour(defect.first_seen, lang)],
    [t("lastSeen"), format.hour(defect.last_seen, lang)],
  ];
  return block(
    t("measures"),
    !defect.calibrated && h("p", { class: "warning", id: "uncalibrated" }, t("uncalibrated")),
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
  );
}

function sightings(state: DetailState): HTMLElement {
  if (state.kind === "loading") return block(t("sightingsTitle"), h("p", { class: "absent" }, t("loading")));
  if (state.kind === "failed") return block(t("sightingsTitle"), h("p", { class: "absent" }, t("detailFailed")));
  const all = state.detail.sightings_detail;
  const models = new Map(all.map((s) => [s.model.sha256, s.model]));
  return h(
    "div",
    {},
    block(t("sightingsTitle"), h("ol", { class: "sightings" }, ...all.map(sighting))),
    block(
      t(models.size > 1 ? "models" : "model"),
      h(
        "ul",
        { class: "models" },
        ...[...models.values()].map((m) =>
          h(
            "li",
            {},
            `${m.name} ${m.version} `,
            h("code", { title: `SHA-256 ${m.sha256}` }, m.sha256.slice(0, 12)),
            m.trial_operation && h("p", { class: "warning" }, t("trialHint")),
          ),
        ),
      ),
    ),
  );
}

function sighting(seen: SightingDetail): HTMLElement {
  const lang = language();
  return h(
    "li",
    {},
    h("span", { class: "sighting-hour" }, format.hour(seen.hour, lang)),
    h("span", { class: "sighting-class" }, className(seen.class)),
    h(
      "span",
      { class: "sighting-facts" },
      [
        t("score", { percent: format.percent(seen.score, lang) }),
        counted("frames", seen.frames_seen, format.number(seen.frames_seen, 0, lang)),
        `± ${format.number(seen.sigma_metres, 1, lang)} m`,
      ].join(" · "),
    ),
  );
}
