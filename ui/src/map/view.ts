/** The map: shows the network and the defects, reports clicks, moves to what is selected. */

import type { Feature, FeatureCollection } from "geojson";
import {
  Map as MapLibre,
  Marker,
  ScaleControl,
  setWorkerUrl,
  type GeoJSONSource,
  type MapMouseEvent,
} from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";

import type { Bounds, Danger, Defect, Network, Position } from "../api";
import { GRADE_COLOUR, gradeStep } from "../grade";
import { boundsOf, circle, radiusOf95Percent, streetLines } from "./geometry";
import { FONT, rankOf, townStyle } from "./style";
import { allIcons, iconName } from "./symbols";

const CLICK_TOLERANCE_PIXELS = 5;
/** As long as the style sheet lets a ring run; a batch of reports must not cover the map with rings. */
const PULSE_MILLIS = 3_300;
const MOST_PULSES = 12;
const LEAST_VIEW_METRES = 220;
const NEAR_ENOUGH_ZOOM = 17.4;

export class MapView {
  readonly map: MapLibre;
  #ready: Promise<void>;
  #touched = false;
  #defects: readonly Defect[] = [];
  #networkBounds: Bounds | null = null;
  #pulses = 0;
  #dangers = new Map<string, Marker>();
  #selected: Defect | null = null;
  #coveredRightPixels = 0;
  /** How far the legend reaches into the map from the left; nothing is fitted beneath it where there is room. */
  legendPixels = 0;

  static async create(container: HTMLElement, onSelect: (id: string) => void): Promise<MapView> {
    // Names are drawn with the page's own font; it must be there before the first name is.
    await document.fonts.load(`500 16px "${FONT}"`).catch(() => []);
    return new MapView(container, onSelect);
  }

  private constructor(container: HTMLElement, onSelect: (id: string) => void) {
    setWorkerUrl(new URL(workerUrl, window.location.href).href);
    this.map = new MapLibre({
      container,
      style: townStyle(),
      center: [10.3, 51.1],
      zoom: 5,
      maxZoom: 20,
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-right");
    this.#ready = new Promise((resolve) => {
      this.map.once("load", () => {
        for (const { name, image, pixelRatio } of allIcons()) this.map.addImage(name, image, { pixelRatio });
        resolve();
      });
    });
    for (const gesture of ["dragstart", "wheel", "boxzoomstart"] as const) {
      this.map.on(gesture, () => (this.#touched = true));
    }
    this.map.on("click", (event) => {
      const id = this.#defectAt(event);
      if (id !== null) onSelect(id);
    });
    this.map.on("mousemove", (event) => {
      this.map.getCanvas().style.cursor = this.#defectAt(event) === null ? "" : "pointer";
    });
  }

  /** The defect under the pointer; of several the most urgent. */
  #defectAt(event: MapMouseEvent): string | null {
    if (this.map.getLayer("defects") === undefined) return null;
    const { x, y } = event.point;
    const reach = CLICK_TOLERANCE_PIXELS;
    const found = this.map.queryRenderedFeatures([[x - reach, y - reach], [x + reach, y + reach]], {
      layers: ["defects"],
    });
    found.sort((a, b) => Number(b.properties["priority"]) - Number(a.properties["priority"]));
    return found[0] === undefined ? null : String(found[0].properties["id"]);
  }

  async setNetwork(network: Network): Promise<void> {
    await this.#ready;
    this.#source("network").setData(network as FeatureCollection);
    this.#source("names").setData({
      type: "FeatureCollection",
      features: streetLines(network.features).map(({ name, roadClass, damaged, line }) => ({
        type: "Feature",
        properties: { name, rank: rankOf(roadClass), damaged },
        geometry: { type: "LineString", coordinates: line },
      })),
    });
    const corners = network.features.flatMap((f) => f.geometry.coordinates.map(([lon, lat]) => ({ lon, lat })));
    const first = this.#networkBounds === null;
    this.#networkBounds = boundsOf(corners, LEAST_VIEW_METRES);
    if (first && !this.#touched) this.fit(false);
  }

  async setDefects(defects: readonly Defect[]): Promise<void> {
    const before = this.#defects.length;
    this.#defects = defects;
    await this.#ready;
    this.#source("defects").setData({
      type: "FeatureCollection",
      features: defects.map((d) => ({
        type: "Feature",
        properties: { id: d.id, priority: d.priority, icon: iconName(d.class, d.grade) },
        geometry: { type: "Point", coordinates: [d.position.lon, d.position.lat] },
      })),
    });
    if (this.#touched || this.#selected !== null || defects.length === before) return;
    if (before === 0 || defects.some((d) => !this.#inView(d))) this.fit(before > 0);
  }

  async select(defect: Defect | null, move: boolean): Promise<void> {
    this.#selected = defect;
    await this.#ready;
    if (this.#selected !== defect) return;
    this.map.setFilter("selected-halo", ["==", ["get", "id"], defect?.id ?? ""]);
    if (defect !== null) {
      this.map.setPaintProperty("selected-halo", "circle-stroke-color", GRADE_COLOUR[gradeStep(defect.grade)].fill);
    }
    this.#source("uncertainty").setData({
      type: "FeatureCollection",
      features: defect === null ? [] : [uncertaintyOf(defect)],
    });
    if (defect === null || !move) return;
    const zoom = Math.max(this.map.getZoom(), NEAR_ENOUGH_ZOOM);
    this.map.easeTo({ center: [defect.position.lon, defect.position.lat], zoom, duration: this.#millis(700) });
  }

  /** A ring that spreads once where something was just seen. */
  async pulse({ position }: { position: Position }): Promise<void> {
    await this.#ready;
    if (this.#pulses >= MOST_PULSES) return;
    this.#pulses += 1;
    const ring = document.createElement("div");
    ring.className = "pulse";
    ring.setAttribute("aria-hidden", "true");
    const marker = new Marker({ element: ring }).setLngLat([position.lon, position.lat]).addTo(this.map);
    window.setTimeout(() => {
      marker.remove();
      this.#pulses -= 1;
    }, PULSE_MILLIS);
  }

  /** Signs where the open dangers are; they hide no symbol that could be clicked, for they take no clicks themselves. */
  async setDangers(dangers: readonly Danger[], sign: () => Element): Promise<void> {
    await this.#ready;
    const wanted = new Map(dangers.map((d) => [d.id, d]));
    for (const [id, marker] of this.#dangers) {
      if (wanted.has(id)) continue;
      marker.remove();
      this.#dangers.delete(id);
    }
    for (const [id, { position }] of wanted) {
      if (this.#dangers.has(id)) continue;
      const element = document.createElement("div");
      element.className = "danger-marker";
      element.append(sign());
      const marker = new Marker({ element, anchor: "bottom", offset: [0, -14] });
      this.#dangers.set(id, marker.setLngLat([position.lon, position.lat]).addTo(this.map));
    }
  }

  /** Brings a place into the middle and points at it. */
  async show(at: { position: Position }): Promise<void> {
    await this.#ready;
    this.#touched = true;
    const zoom = Math.max(this.map.getZoom(), NEAR_ENOUGH_ZOOM);
    this.map.easeTo({ center: [at.position.lon, at.position.lat], zoom, duration: this.#millis(700) });
    void this.pulse(at);
  }

  /** How much of the map's right side is covered by a panel: the middle of what remains is the map's centre. */
  cover(rightPixels: number): void {
    if (rightPixels === this.#coveredRightPixels) return;
    this.#coveredRightPixels = rightPixels;
    this.map.setPadding({ top: 0, bottom: 0, left: 0, right: rightPixels });
  }

  /** Shows all defects, or the whole network when there are none. */
  fit(animate: boolean): void {
    const bounds = boundsOf(this.#defects.map((d) => d.position), LEAST_VIEW_METRES) ?? this.#networkBounds;
    if (bounds === null) return;
    const free = this.map.getContainer().clientWidth - this.#coveredRightPixels;
    const left = free > 3 * this.legendPixels ? this.legendPixels : 0;
    this.map.fitBounds(bounds, {
      padding: { top: 56, bottom: 56, right: 56, left: 56 + left },
      maxZoom: 18.2,
      duration: animate ? this.#millis(800) : 0,
    });
  }

  zoomBy(steps: number): void {
    this.#touched = true;
    this.map.zoomTo(this.map.getZoom() + steps, { duration: this.#millis(250) });
  }

  /** Where a defect stands on the screen, in pixels of the page. */
  pixelOf(id: string): { x: number; y: number } | null {
    const defect = this.#defects.find((d) => d.id === id);
    if (defect === undefined) return null;
    const box = this.map.getCanvas().getBoundingClientRect();
    const point = this.map.project([defect.position.lon, defect.position.lat]);
    return { x: box.left + point.x, y: box.top + point.y };
  }

  /** The defects that are really drawn at the moment. */
  drawnDefects(): string[] {
    if (this.map.getLayer("defects") === undefined) return [];
    return [...new Set(this.map.queryRenderedFeatures({ layers: ["defects"] }).map((f) => String(f.properties["id"])))];
  }

  #inView(defect: Defect): boolean {
    const { x, y } = this.map.project([defect.position.lon, defect.position.lat]);
    const { clientWidth, clientHeight } = this.map.getContainer();
    return x > 20 && y > 20 && x < clientWidth - this.#coveredRightPixels - 20 && y < clientHeight - 20;
  }

  #source(id: string): GeoJSONSource {
    return this.map.getSource(id) as GeoJSONSource;
  }

  #millis(duration: number): number {
    return window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : duration;
  }
}

function uncertaintyOf(defect: Defect): Feature {
  return {
    type: "Feature",
    properties: {},
    geometry: { type: "Polygon", coordinates: [circle(defect.position, radiusOf95Percent(defect.sigma_metres))] },
  };
}
