/** Ties the page together: what arrives goes into the list of defects, what changes is drawn. */

import { api, type Danger, type Defect, type DefectDetail, type Language, type Status } from "./api";
import { DangerList } from "./dangers";
import { DefectList, type Change } from "./defects";
import { h } from "./dom";
import * as format from "./format";
import { className, counted, language, setLanguage, t } from "./i18n";
import { follow, type Connection } from "./live";
import { MapView } from "./map/view";
import type { ServerSentEvent } from "./sse";
import { DangerStrip, warningSign, whatAndWhere } from "./views/dangers";
import { DetailView, type DetailState } from "./views/detail";
import { DevicesDialog, type DevicesState } from "./views/devices";
import { Header } from "./views/header";
import { Legend } from "./views/legend";
import { ListView, type ListState } from "./views/list";
import { MapFrame } from "./views/mapframe";

const DRAW_PAUSE_MILLIS = 40;
/** Grades of sections follow the defects; the network is loaded anew at most this often. */
const NETWORK_PAUSE_MILLIS = 4_000;
/** "In this hour" is looked at again. */
const HOUR_PAUSE_MILLIS = 60_000;

export class App {
  #defects = new DefectList();
  #dangers = new DangerList();
  #devices: DevicesState = { kind: "loading" };
  #devicesRevision: number | null = null;
  #status: Status | null = null;
  #connection: Connection = { state: "connecting" };
  #listState: ListState = { kind: "loading" };
  #openId: string | null = null;
  #detail: DetailState = { kind: "loading" };
  #attribution: string | null = null;
  #mapNote: "mapFailed" | "networkFailed" | null = null;
  #networkLoaded = false;
  #networkTimer: number | null = null;
  #drawTimer: number | null = null;
  /** Events that came while the list was being loaded; they are applied on top of it. */
  #waiting: ServerSentEvent[] | null = null;

  #header = new Header((next) => this.#switchLanguage(next), () => this.#openDevices());
  #strip = new DangerStrip((danger) => void this.map?.show(danger), (danger) => this.#acknowledge(danger));
  #dialog = new DevicesDialog();
  #list = new ListView(this.#defects, (id, how) => this.#open(id, how), () => void this.#load());
  #detailView = new DetailView(() => this.#close());
  #legend = new Legend();
  #frame = new MapFrame(this.#legend.element, this.#detailView.element);
  #announcer = h("div", { class: "visually-hidden", "aria-live": "polite", id: "announcer" });

  constructor(root: HTMLElement) {
    root.append(
      this.#header.element,
      this.#strip.element,
      h("main", {}, this.#frame.element, this.#list.element),
      this.#dialog.element,
      this.#announcer,
    );
    this.#render();
    window.setInterval(() => this.#render(), HOUR_PAUSE_MILLIS);
    document.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("resize", () => this.#cover());
    this.#legend.element.addEventListener("toggle", () => this.#cover());
  }

  map: MapView | null = null;

  start(): void {
    void this.#startMap();
    follow("/api/v1/events", {
      opened: () => void this.#load(),
      event: (event) => this.#take(event),
      connection: (connection) => {
        this.#connection = connection;
        if (connection.state === "broken" && this.#listState.kind === "loading") void this.#load();
        this.#render();
      },
    });
  }

  async #startMap(): Promise<void> {
    try {
      this.map = await MapView.create(this.#frame.canvas, (id) => this.#open(id, "pointer"));
    } catch {
      this.#mapNote = "mapFailed";
      this.#render();
      return;
    }
    this.#frame.attach(this.map);
    this.#cover();
    void this.map.setDefects(this.#defects.ordered());
    this.#drawDangers();
    await this.#loadNetwork();
  }

  async #load(): Promise<void> {
    this.#waiting = [];
    try {
      const [status, list, dangers] = await Promise.all([api.status(), api.defects(), api.openDangers()]);
      this.#takeStatus(status);
      this.#defects.replaceAll(list.defects);
      this.#dangers.replaceAll(dangers);
      this.#listState = { kind: "ready" };
    } catch (error) {
      // What was loaded before stays on the screen; the connection's state says that it is old.
      if (this.#defects.size === 0) {
        this.#listState = { kind: "failed", message: error instanceof Error ? error.message : String(error) };
      }
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const event of waiting) this.#take(event);
    if (this.#openId !== null) void this.#loadDetail(this.#openId);
    void this.map?.setDefects(this.#defects.ordered());
    this.#drawDangers();
    this.#networkSoon();
    this.#render();
  }

  async #loadNetwork(): Promise<void> {
    try {
      const network = await api.network();
      this.#attribution = network.attribution ?? null;
      this.#mapNote = null;
      await this.map?.setNetwork(network);
      this.#networkLoaded = true;
    } catch {
      // Streets that were drawn once stay; only their grades may then be old, which the connection's state says.
      if (!this.#networkLoaded) this.#mapNote = "networkFailed";
    }
    this.#render();
  }

  #networkSoon(): void {
    if (this.#networkTimer !== null || this.map === null) return;
    this.#networkTimer = window.setTimeout(() => {
      this.#networkTimer = null;
      void this.#loadNetwork();
    }, NETWORK_PAUSE_MILLIS);
  }

  #take(event: ServerSentEvent): void {
    if (this.#waiting !== null) {
      this.#waiting.push(event);
      return;
    }
    if (event.name === "status") {
      this.#takeStatus(JSON.parse(event.data) as Status);
    } else if (event.name === "danger") {
      this.#takeDanger(JSON.parse(event.data) as Danger);
    } else if (event.name === "defect") {
      this.#takeDefect(JSON.parse(event.data) as Defect);
    } else if (event.name === "gone") {
      this.#takeGone((JSON.parse(event.data) as { id: string }).id);
    }
    this.#drawSoon();
  }

  /** Reports come in batches: a hundred of them are drawn once, not a hundred times. */
  #drawSoon(): void {
    this.#drawTimer ??= window.setTimeout(() => {
      this.#drawTimer = null;
      void this.map?.setDefects(this.#defects.ordered());
      this.#render();
    }, DRAW_PAUSE_MILLIS);
  }

  #takeStatus(status: Status): void {
    this.#status = status;
    if (status.devices.revision === this.#devicesRevision) return;
    this.#devicesRevision = status.devices.revision;
    if (this.#dialog.isOpen) void this.#loadDevices();
  }

  #takeDanger(danger: Danger): void {
    if (this.#dangers.apply(danger)) {
      this.#announcer.textContent = t("dangerNew", whatAndWhere(danger));
      void this.map?.pulse(danger);
    }
    this.#drawDangers();
  }

  #drawDangers(): void {
    void this.map?.setDangers(this.#dangers.ordered(), () => warningSign(26));
  }

  /** Others see it through the live stream; whoever clicked need not wait for it. */
  async #acknowledge(danger: Danger): Promise<void> {
    this.#takeDanger(await api.acknowledge(danger.id));
    this.#render();
  }

  #openDevices(): void {
    this.#dialog.open();
    void this.#loadDevices();
  }

  async #loadDevices(): Promise<void> {
    try {
      this.#devices = { kind: "ready", devices: await api.devices() };
    } catch {
      this.#devices = { kind: "failed" };
    }
    this.#render();
  }

  #takeDefect(defect: Defect): void {
    const change = this.#defects.apply(defect);
    if (change === "unchanged") return;
    this.#listState = { kind: "ready" };
    if (change !== "changed") {
      this.#list.highlight(defect.id, change);
      this.#announce(defect, change);
      void this.map?.pulse(defect);
    }
    if (defect.id === this.#openId) {
      void this.map?.select(defect, false);
      void this.#loadDetail(defect.id);
    }
    this.#networkSoon();
  }

  #takeGone(id: string): void {
    this.#defects.remove(id);
    if (id === this.#openId) {
      this.#close();
      this.#announcer.textContent = t("gone");
    }
    this.#networkSoon();
  }

  #announce(defect: Defect, change: Change): void {
    const values = {
      class: className(defect.class),
      street: defect.section?.name ?? t("unknownStreet"),
      points: format.number(defect.priority, 0, language()),
      n: counted("sightings", defect.sightings, format.number(defect.sightings, 0, language())),
    };
    this.#announcer.textContent = t(change === "new" ? "newDefect" : "newSighting", values);
  }

  #open(id: string, how: "pointer" | "keyboard"): void {
    const defect = this.#defects.get(id);
    if (defect === undefined) return;
    this.#openId = id;
    this.#detail = { kind: "loading" };
    this.#render();
    this.#list.activate(id);
    this.#cover();
    void this.map?.select(defect, true);
    void this.#loadDetail(id);
    if (how === "keyboard") this.#detailView.focus();
  }

  #close(): void {
    const focusInside = this.#detailView.element.contains(document.activeElement);
    this.#openId = null;
    this.#render();
    this.#cover();
    void this.map?.select(null, false);
    if (focusInside) this.#list.focus();
  }

  async #loadDetail(id: string): Promise<void> {
    let loaded: DetailState;
    try {
      const detail: DefectDetail = await api.defect(id);
      loaded = { kind: "ready", detail };
    } catch {
      loaded = { kind: "failed" };
    }
    if (this.#openId !== id) return;
    this.#detail = loaded;
    this.#render();
  }

  /** j and k work wherever the focus is; inside the list the list itself takes the keys. */
  #key(event: KeyboardEvent): void {
    if (this.#dialog.isOpen || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.#openId !== null) return this.#close();
    const step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
    if (step === 0) return;
    const next = this.#defects.neighbour(this.#openId ?? this.#list.active, step);
    if (next === undefined) return;
    if (this.#openId === null) this.#list.activate(next.id);
    else this.#open(next.id, "pointer");
  }

  #switchLanguage(next: Language): void {
    setLanguage(next);
    this.#render();
  }

  /** The map's middle is the middle of what the open panel leaves free. */
  #cover(): void {
    const panel = this.#detailView.element;
    const legend = this.#legend.element;
    if (this.map === null) return;
    const covered = this.#openId === null ? 0 : panel.offsetWidth + 16;
    // On a telephone the panel covers the whole map; there is no middle left to move to.
    this.map.cover(covered < 0.75 * this.#frame.element.offsetWidth ? covered : 0);
    this.map.legendPixels = legend.open ? legend.offsetWidth : 0;
  }

  #render(): void {
    const open = this.#openId === null ? null : (this.#defects.get(this.#openId) ?? null);
    document.title = this.#status === null ? "Umsicht" : `Umsicht · ${this.#status.town.name}`;
    this.#header.render(this.#status, this.#connection);
    this.#strip.render(this.#dangers.ordered());
    this.#dialog.render(this.#devices);
    this.#list.render(this.#listState, this.#openId);
    this.#detailView.render(open, this.#detail);
    this.#legend.render();
    this.#frame.render(this.#mapNote, this.#attribution);
  }
}
