/** The words of the page: German first, English by a switch. The choice is kept in the browser. */

import type { Language } from "./api";
import type { Ago } from "./format";

const GERMAN = {
  title: "Straßenschäden",
  simulated: "Simuliert",
  trial: "Erprobung",
  trialHint:
    "Das Modell ist in Erprobung: für Kameras, die es nicht kennt, ist seine Güte nicht nachgewiesen. Jede Meldung muss ein Mensch prüfen; nichts wird von selbst geschlossen.",
  simulatedHint: "Bilder und Schäden stammen aus einer simulierten Stadt, nicht aus einer echten Straße.",
  language: "Sprache",
  connecting: "Verbinde …",
  live: "Live",
  liveHint: "Neue Meldungen erscheinen sofort.",
  deaf: "Kein Meldungseingang",
  deafHint: "Der Dienst hat gerade keine Verbindung zum MQTT-Broker; Meldungen kommen an, sobald sie wieder steht.",
  broken: "Getrennt seit {time}",
  brokenHint: "Die Anzeige ist der Stand von {time}. Neuer Versuch in {seconds} s.",
  loading: "Schäden werden geladen …",
  loadFailed: "Die Daten konnten nicht geladen werden.",
  loadFailedHint: "Läuft der Dienst „umsicht central“? Die Seite versucht es selbst weiter.",
  retry: "Erneut versuchen",
  empty: "Noch keine Schäden gemeldet",
  emptyHint: "Sobald ein Fahrzeug einen Schaden meldet, erscheint er hier und auf der Karte.",
  list: "Schäden nach Dringlichkeit",
  listHint: "Pfeiltasten oder j und k wählen, Eingabe öffnet.",
  priority: "Priorität",
  priorityOf: "Priorität {points} von 100",
  unknownStreet: "Straße unbekannt",
  sightings_one: "1 Sichtung",
  sightings_other: "{n} Sichtungen",
  defects_one: "1 Schaden",
  defects_other: "{n} Schäden",
  rejected_one: "1 Meldung abgewiesen",
  rejected_other: "{n} Meldungen abgewiesen",
  grade: "Zustandsnote",
  grade1: "sehr gut",
  grade2: "gut",
  grade3: "mittel",
  grade4: "schlecht",
  grade5: "sehr schlecht",
  legend: "Legende",
  legendClasses: "Schadensart",
  legendSections: "Linie: Abschnitt, Symbol: Schaden",
  legendCircle: "Kreis: Lage mit 95 % Sicherheit",
  D00: "Längsriss",
  D10: "Querriss",
  D20: "Netzriss",
  D40: "Schlagloch",
  Repair: "Flickstelle",
  otherClass: "Anderer Schaden",
  map: "Karte der Schäden",
  zoomIn: "Näher",
  zoomOut: "Weiter weg",
  fit: "Alle Schäden zeigen",
  mapFailed: "Die Karte braucht WebGL; dieser Browser stellt es nicht bereit. Die Liste bleibt benutzbar.",
  networkFailed: "Das Straßennetz konnte nicht geladen werden.",
  close: "Schließen",
  reasons: "Warum diese Priorität?",
  sum: "Summe",
  evidence: "Beleg",
  evidenceAlt: "Ausschnitt der Fahrbahn: {class}, {street}. Alles außerhalb des Schadens ist unkenntlich.",
  evidenceCaption: "Nur die Fahrbahn um den Schaden ist sichtbar; alles andere wurde im Fahrzeug geschwärzt.",
  noEvidence: "Kein Bild: es wurde keines übertragen oder keines durfte entstehen.",
  evidenceBroken: "Das Bild ist nicht mehr verfügbar.",
  measures: "Maße und Lage",
  size: "Länge × Breite",
  area: "Fläche",
  position: "Lage",
  accuracy: "Genauigkeit",
  firstSeen: "Zuerst gesehen",
  lastSeen: "Zuletzt gesehen",
  uncalibrated: "Nicht kalibriert: Lage und Größe nur Anhalt",
  sightingsTitle: "Sichtungen",
  score: "Konfidenz {percent}",
  frames_one: "in 1 Bild",
  frames_other: "in {n} Bildern",
  model: "Modell",
  models: "Modelle",
  noDepth: "Die Tiefe wird nicht gemessen.",
  personDecides: "Priorität und Note sind ein Vorschlag; über Maßnahmen entscheidet ein Mensch.",
  detailFailed: "Die Sichtungen konnten nicht geladen werden.",
  gone: "Dieser Schaden wurde mit einem anderen zusammengeführt.",
  newDefect: "Neuer Schaden: {class}, {street}, Priorität {points}.",
  newSighting: "Neue Sichtung: {class}, {street}, jetzt {n}.",
  justNew: "Neu",
  justSighted: "Erneut gesehen",
  inThisHour: "in dieser Stunde",
  inLastHour: "in der vorigen Stunde",
  lastEvent: "Letzte Meldung: {hour}.",
  dangers: "Gefahren",
  danger: "Gefahr",
  dangerAt: "{what}, {street}",
  dangerFacts: "{size}, gemeldet {hour}",
  dangerNew: "Gefahr gemeldet: {what}, {street}.",
  dangerShow: "Zeigen",
  dangerShowName: "Auf der Karte zeigen: {what}, {street}",
  dangerSeen: "Gesehen",
  dangerSeenName: "Als gesehen abhaken: {what}, {street}",
  dangerSeenHint: "Hakt diese Meldung für alle ab. Was weiter geschieht, entscheidet ein Mensch; in der Liste der Schäden bleibt die Stelle.",
  dangerSeenFailed: "Das Abhaken ist nicht angekommen. Bitte noch einmal.",
  markedByDriver: "Von der Fahrerin oder dem Fahrer markiert",
  markFacts: "Stelle auf etwa {sigma} m, gemeldet {hour}",
  markSeenHint: "Hakt diese Markierung für alle ab. Kein Modell hat hier etwas gesehen: In der Liste der Schäden steht die Stelle nur, wenn eine Kamera sie sieht.",
  dangerMore_one: "und 1 weitere",
  dangerMore_other: "und {n} weitere",
  devices: "Geräte",
  devicesHint: "So ist der Zustand jetzt. Ein Verlauf wird nicht gespeichert: er zeigte, wer wann im Dienst war.",
  devicesNone: "Noch kein Gerät hat sich gemeldet, seit dieser Dienst läuft.",
  devicesFailed: "Die Geräte konnten nicht geladen werden.",
  devicesTroubled_one: "1 Gerät braucht Aufmerksamkeit",
  devicesTroubled_other: "{n} Geräte brauchen Aufmerksamkeit",
  devicesBlind_one: "1 blind",
  devicesBlind_other: "{n} blind",
  concernSince: "Seit {time}.",
  deviceOnline: "verbunden",
  deviceOffline: "nicht verbunden",
  deviceWell: "Alles in Ordnung.",
  deviceUnknown: "Hat noch nicht gesagt, wie es ihm geht.",
  deviceProgram: "Programm {version}",
  deviceWaiting: "auf den nächsten Versand warten: {n}",
  deviceBatch: "Bündelung: {n} min",
  unbatched: "Bündelung aus",
  unbatchedHint:
    "Mindestens ein Gerät sendet Ereignisse sofort statt gebündelt. Wer den Datenstrom mitliest, kann daraus lesen, wer wann wo gefahren ist.",
} as const;

type Key = keyof typeof GERMAN;

const ENGLISH: Record<Key, string> = {
  title: "Road defects",
  simulated: "Simulated",
  trial: "Trial operation",
  trialHint:
    "The model is in trial operation: it was not shown to see well enough through cameras it does not know. A person must check every report; nothing is closed by itself.",
  simulatedHint: "Pictures and defects come from a simulated town, not from a real street.",
  language: "Language",
  connecting: "Connecting …",
  live: "Live",
  liveHint: "New reports appear at once.",
  deaf: "No reports coming in",
  deafHint: "The service has no connection to the MQTT broker right now; reports arrive once it is back.",
  broken: "Disconnected since {time}",
  brokenHint: "This is how things stood at {time}. Trying again in {seconds} s.",
  loading: "Loading defects …",
  loadFailed: "The data could not be loaded.",
  loadFailedHint: "Is the service “umsicht central” running? This page keeps trying by itself.",
  retry: "Try again",
  empty: "No defects reported yet",
  emptyHint: "As soon as a vehicle reports a defect, it appears here and on the map.",
  list: "Defects by urgency",
  listHint: "Arrow keys or j and k move, Enter opens.",
  priority: "Priority",
  priorityOf: "Priority {points} of 100",
  unknownStreet: "Street unknown",
  sightings_one: "1 sighting",
  sightings_other: "{n} sightings",
  defects_one: "1 defect",
  defects_other: "{n} defects",
  rejected_one: "1 message rejected",
  rejected_other: "{n} messages rejected",
  grade: "Condition grade",
  grade1: "very good",
  grade2: "good",
  grade3: "fair",
  grade4: "poor",
  grade5: "very poor",
  legend: "Legend",
  legendClasses: "Type of defect",
  legendSections: "Line: section, symbol: defect",
  legendCircle: "Circle: position, 95 % certain",
  D00: "Longitudinal crack",
  D10: "Transverse crack",
  D20: "Alligator crack",
  D40: "Pothole",
  Repair: "Patch",
  otherClass: "Other defect",
  map: "Map of defects",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  fit: "Show all defects",
  mapFailed: "The map needs WebGL, which this browser does not offer. The list remains usable.",
  networkFailed: "The street network could not be loaded.",
  close: "Close",
  reasons: "Why this priority?",
  sum: "Sum",
  evidence: "Evidence",
  evidenceAlt: "Piece of road surface: {class}, {street}. Everything beyond the defect is blacked out.",
  evidenceCaption: "Only the road surface around the defect is visible; all else was blacked out in the vehicle.",
  noEvidence: "No picture: none was sent, or none was allowed to be made.",
  evidenceBroken: "The picture is no longer available.",
  measures: "Size and position",
  size: "Length × width",
  area: "Area",
  position: "Position",
  accuracy: "Accuracy",
  firstSeen: "First seen",
  lastSeen: "Last seen",
  uncalibrated: "Not calibrated: position and size are indications only",
  sightingsTitle: "Sightings",
  score: "Confidence {percent}",
  frames_one: "in 1 frame",
  frames_other: "in {n} frames",
  model: "Model",
  models: "Models",
  noDepth: "Depth is not measured.",
  personDecides: "Priority and grade are a proposal; a person decides what is done.",
  detailFailed: "The sightings could not be loaded.",
  gone: "This defect was merged into another one.",
  newDefect: "New defect: {class}, {street}, priority {points}.",
  newSighting: "New sighting: {class}, {street}, now {n}.",
  justNew: "New",
  justSighted: "Seen again",
  inThisHour: "in this hour",
  inLastHour: "in the hour before",
  lastEvent: "Last report: {hour}.",
  dangers: "Dangers",
  danger: "Danger",
  dangerAt: "{what}, {street}",
  dangerFacts: "{size}, reported {hour}",
  dangerNew: "Danger reported: {what}, {street}.",
  dangerShow: "Show",
  dangerShowName: "Show on the map: {what}, {street}",
  dangerSeen: "Seen",
  dangerSeenName: "Mark as seen: {what}, {street}",
  dangerSeenHint: "Takes this report off the strip for everybody. What is done next, a person decides; the place stays in the list of defects.",
  dangerSeenFailed: "It was not taken. Please try again.",
  markedByDriver: "Marked by the driver",
  markFacts: "place to about {sigma} m, reported {hour}",
  markSeenHint: "Takes this mark off the strip for everybody. No model saw anything here: the place is in the list of defects only if a camera sees it.",
  dangerMore_one: "and 1 more",
  dangerMore_other: "and {n} more",
  devices: "Devices",
  devicesHint: "This is how they are now. No history is kept: it would show who was on duty when.",
  devicesNone: "No device has spoken yet since this service started.",
  devicesFailed: "The devices could not be loaded.",
  devicesTroubled_one: "1 device needs attention",
  devicesTroubled_other: "{n} devices need attention",
  devicesBlind_one: "1 blind",
  devicesBlind_other: "{n} blind",
  concernSince: "Since {time}.",
  deviceOnline: "connected",
  deviceOffline: "not connected",
  deviceWell: "All is well.",
  deviceUnknown: "Has not said yet how it is.",
  deviceProgram: "program {version}",
  deviceWaiting: "waiting for the next delivery: {n}",
  deviceBatch: "batches of {n} min",
  unbatched: "Batching off",
  unbatchedHint:
    "At least one device sends its events at once instead of in batches. Whoever reads the stream can tell from it who drove where and when.",
};

const STORAGE_KEY = "umsicht.language";

let current: Language = "de";

export function language(): Language {
  return current;
}

export function useStoredLanguage(): void {
  let stored: string | null = null;
  try {
    stored = window.localStorage.getItem(STORAGE_KEY);
  } catch {
    // Storage may be forbidden; German is then shown each time.
  }
  applyLanguage(stored === "en" ? "en" : "de");
}

export function setLanguage(next: Language): void {
  applyLanguage(next);
  try {
    window.localStorage.setItem(STORAGE_KEY, next);
  } catch {
    // The choice then holds for this visit only.
  }
}

function applyLanguage(next: Language): void {
  current = next;
  document.documentElement.lang = next;
}

export type Values = Record<string, string | number>;

export function t(key: Key, values: Values = {}): string {
  const words: string = current === "de" ? GERMAN[key] : ENGLISH[key];
  return words.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** An hour as far as it is known, in words. */
export function hourWords(ago: Ago): string {
  switch (ago.kind) {
    case "this":
      return t("inThisHour");
    case "last":
      return t("inLastHour");
    case "at":
      return ago.hour;
  }
}

type Counted = "sightings" | "defects" | "rejected" | "frames" | "dangerMore" | "devicesTroubled" | "devicesBlind";

export function counted(key: Counted, n: number, shown: string): string {
  return t(n === 1 ? `${key}_one` : `${key}_other`, { n: shown });
}

export function className(code: string): string {
  switch (code) {
    case "D00":
    case "D10":
    case "D20":
    case "D40":
    case "Repair":
      return t(code);
    default:
      return `${t("otherClass")} (${code})`;
  }
}

export function gradeWord(step: 1 | 2 | 3 | 4 | 5): string {
  return t(`grade${step}`);
}
