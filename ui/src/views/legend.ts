/** What colours, shapes and lines on the map mean. */

import { h, outdated } from "../dom";
import { CLASSES, GRADE_STEPS, gradeClass, symbolIcon } from "../grade";
import { className, gradeWord, language, t } from "../i18n";

export class Legend {
  readonly element = h("details", { class: "legend", open: window.innerWidth >= 1200 });

  render(): void {
    if (!outdated(this.element, language())) return;
    this.element.replaceChildren(
      h("summary", {}, t("legend")),
      h("h3", {}, t("grade")),
      h(
        "ol",
        { class: "legend-grades" },
        ...GRADE_STEPS.map((step) =>
          h("li", {}, h("span", { class: `grade ${gradeClass(step)}` }, String(step)), h("span", {}, gradeWord(step))),
        ),
      ),
      h("h3", {}, t("legendClasses")),
      h(
        "ul",
        { class: "legend-classes" },
        ...CLASSES.map((name) =>
          h("li", {}, symbolIcon(name, null, 20), h("span", {}, className(name))),
        ),
      ),
      h("p", {}, t("legendSections")),
      h("p", {}, t("legendCircle")),
    );
  }
}
