/** The REST interface of the central service as this page uses it. Lengths are metres, angles degrees, positions WGS84. */

export type Language = "de" | "en";

export interface Position {
  lat: number;
  lon: number;
}

export interface SectionRef {
  id: string | number;
  name: string | null;
  road_class: string | null;
}

export interface Reason {
  code: string;
  points: number;
  text: Record<Language, string>;
}

export interface Defect {
  id: string;
  class: string;
  status: string;
  position: Position;
  sigma_metres: number;
  heading_degrees: number;
  length_metres: number;
  width_metres: number;
  area_square_metres: number;
  calibrated: boolean;
  simulated: boolean;
  sightings: number;
  first_seen: string;
  last_seen: string;
  section: SectionRef | null;
  /** 1 very good … 5 very poor. */
  grade: number;
  /** 0 … 100. */
  priority: number;
  /** Their points sum to the priority. */
  reasons: Reason[];
  evidence_url: string | null;
}

export interface SightingDetail {
  id: string;
  hour: string;
  class: string;
  score: number;
  sigma_metres: number;
  frames_seen: number;
  model: { name: string; version: string; sha256: string; trial_operation: boolean };
  calibrated: boolean;
  simulated: boolean;
  evidence_url: string | null;
}

export interface DefectDetail extends Defect {
  sightings_detail: SightingDetail[];
}

export type Bounds = [west: number, south: number, east: number, north: number];

export interface Status {
  site: string;
  town: { name: string };
  version: string;
  simulated: boolean;
  /** A model that has reported was not shown to see well enough through a camera it does not know. */
  trial_operation: boolean;
  defects: number;
  sightings: number;
  rejected: number;
  sections: number;
  /** Dangers that nobody has acknowledged yet. */
  dangers: number;
  /** The hour; nothing finer is kept. */
  last_event_at: string | null;
  bounds: Bounds | null;
  /** Whether the service hears the vehicles at all right now. */
  broker_connected?: boolean;
  devices: DeviceCounts;
}

export interface DeviceCounts {
  known: number;
  online: number;
  with_concerns: number;
  /** Devices with a camera that sees nothing. */
  blind: number;
  /** Online devices whose events go at once, so that who drove where can be read from the stream. */
  unbatched: number;
  /** Another number than before: the list of devices has changed. */
  revision: number;
}

/** What a vehicle told at once: a model saw it, or the driver pressed a button. */
export type Danger = SeenDanger | DriverMark;

interface ToldAtOnce {
  id: string;
  hour: string;
  position: Position;
  simulated: boolean;
  section: SectionRef | null;
  acknowledged: boolean;
}

export interface SeenDanger extends ToldAtOnce {
  marked_by: null;
  class: string;
  length_metres: number;
  width_metres: number;
  calibrated: boolean;
}

/** Nobody has said yet what it is or how large. */
export interface DriverMark extends ToldAtOnce {
  marked_by: "driver";
  /** One standard deviation of the position. */
  sigma_metres: number;
}

export interface Device {
  name: string;
  online: boolean;
  /** What is wrong, the most pressing first. */
  concerns: Concern[];
  health: DeviceHealth | null;
}

export interface Concern {
  code: string;
  text: Record<Language, string>;
  /** Since when, where that is known. */
  since?: string;
}

/** Of what a device says, the part that this page shows. */
export interface DeviceHealth {
  program: string;
  batch_minutes: number;
  waiting: number;
  spool_items: number;
  models: Record<string, string>;
}

export interface SectionProperties {
  id: string | number;
  name: string | null;
  road_class: string | null;
  grade: number | null;
  defects: number;
}

export interface SectionFeature {
  type: "Feature";
  id?: string | number;
  geometry: { type: "LineString"; coordinates: [number, number][] };
  properties: SectionProperties;
}

export interface Network {
  type: "FeatureCollection";
  features: SectionFeature[];
  /** Whom the source of the street network wants to be named. */
  attribution?: string;
}

export class ApiError extends Error {}

async function ask<T>(method: "GET" | "POST", path: string): Promise<T> {
  const response = await fetch(`/api/v1/${path}`, { method, headers: { accept: "application/json" } });
  if (!response.ok) {
    const body = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
    throw new ApiError(body?.error?.message ?? `HTTP ${response.status}`);
  }
  return (await response.json()) as T;
}

const get = <T>(path: string): Promise<T> => ask<T>("GET", path);

const MOST_DEFECTS = 1000;

export const api = {
  status: () => get<Status>("status"),
  defects: () => get<{ defects: Defect[]; total: number }>(`defects?limit=${MOST_DEFECTS}`),
  defect: (id: string) => get<DefectDetail>(`defects/${encodeURIComponent(id)}`),
  network: () => get<Network>("network"),
  openDangers: () => get<Danger[]>("dangers?acknowledged=false"),
  acknowledge: (id: string) => ask<Danger>("POST", `dangers/${encodeURIComponent(id)}/acknowledge`),
  devices: () => get<Device[]>("devices"),
};
