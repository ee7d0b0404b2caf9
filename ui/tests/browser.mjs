// Drives the page in a real Chromium: node tests/browser.mjs URL LEAST_DEFECTS
//
// The page is that of a running demo: while these steps are taken, its vehicle drives on and reports what it sees.
// Tells each step on stdout. Exit status 0 when all holds; otherwise the reasons stand on stderr. UMSICHT_SCREENSHOT names a
// file for a picture.

import { strict as assert } from "node:assert";
import process from "node:process";
import { open, PATIENCE_MILLIS } from "./chromium.mjs";

const [url, least] = [process.argv[2], Number(process.argv[3] ?? 1)];
/** The map may move under a click when something new is reported at that moment. */
const CLICKS = 5;
const CLICK_PATIENCE_MILLIS = 5_000;

const { browser, page, complaints } = await open(url);

/** How often each defect was seen, as its row says it, by id. */
const rows = () =>
  page.$$eval("#defects .row", (all) => Object.fromEntries(all.map((row) => [row.dataset.id, row.querySelector(".row-facts span:last-child").textContent])));
const drawn = () => page.evaluate(() => window.umsicht?.map?.drawnDefects() ?? []);

/** Waits until `condition` holds in the page; a failure names what was waited for. */
async function until(what, condition, argument) {
  try {
    return await page.waitForFunction(condition, argument);
  } catch {
    throw new Error(`waited ${PATIENCE_MILLIS / 1000} s in vain until ${what}`);
  }
}

const settled = () =>
  until("the map rests", () => {
    const map = window.umsicht?.map?.map;
    return map !== undefined && map.loaded() && !map.isMoving();
  });

/** Share of the pixels around a point of the screen that have one of the five grades' colours. */
async function painted({ x, y }) {
  const half = 9;
  const clip = { x: x - half, y: y - half, width: 2 * half, height: 2 * half };
  const png = (await page.screenshot({ clip })).toString("base64");
  return page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const grades = [1, 2, 3, 4, 5].map((n) => {
      const hex = getComputedStyle(document.documentElement).getPropertyValue(`--grade-${n}`).trim();
      return [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
    });
    let hits = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (grades.some((grade) => grade.every((channel, k) => Math.abs(channel - data[i + k]) < 10))) hits += 1;
    }
    return hits / (data.length / 4);
  }, png);
}

async function mapShowsTheDefects() {
  const response = await page.goto(url);
  const policy = response?.headers()["content-security-policy"] ?? "";
  assert.match(policy, /default-src 'self'/, "the page comes under default-src 'self'");
  await until(`${least} defects are listed`, (n) => document.querySelectorAll("#defects .row").length >= n, least);
  await until("the connection is live", () => document.querySelector("#connection")?.dataset.state === "live");
  await settled();
  await until("all listed defects are drawn on the map", () => {
    const rows = [...document.querySelectorAll("#defects .row")].map((row) => row.dataset.id);
    const onMap = new Set(window.umsicht.map.drawnDefects());
    return rows.length > 0 && rows.every((id) => onMap.has(id));
  });
  assert.equal(await page.getAttribute("html", "lang"), "de", "German comes first");
  assert.equal(await page.textContent("#list-title"), "Schäden nach Dringlichkeit");
  const priorities = (await page.$$eval(".priority-number", (all) => all.map((one) => Number(one.textContent)))).slice();
  assert.deepEqual(priorities, [...priorities].sort((a, b) => b - a), "the most urgent come first");
  console.log(`map shows ${(await drawn()).length} defects`);
}

async function itSaysThatItIsSimulated() {
  await page.waitForSelector("#simulated");
  assert.equal(await page.textContent("#simulated"), "Simuliert");
  assert.ok(await page.isVisible("#simulated"), "it can be read");
  assert.match((await page.getAttribute("#simulated", "title")) ?? "", /nicht aus einer echten Straße/);
  console.log("it says that it is simulated");
}

/** A symbol that nothing covers: neither a panel of the page nor a more urgent symbol. */
const openSymbol = () =>
  page.evaluate(() => {
    const ids = [...document.querySelectorAll("#defects .row")].map((row) => row.dataset.id);
    const places = ids.map((id) => ({ id, ...window.umsicht.map.pixelOf(id) }));
    return places.find(
      (p, i) =>
        document.elementFromPoint(p.x, p.y)?.tagName === "CANVAS" &&
        places.every((other, k) => k === i || Math.hypot(other.x - p.x, other.y - p.y) > 30 || k > i),
    );
  });

/** Clicks a symbol that is really painted; the id of what opened, or what was wrong. */
async function clickASymbol() {
  await settled();
  const target = await openSymbol();
  if (target === undefined) return { problem: "no symbol lies open on the map" };
  const share = await painted(target);
  if (share <= 0.25) return { problem: `${(share * 100).toFixed(0)} % of the symbol's pixels have a grade's colour` };
  await page.mouse.click(target.x, target.y);
  const opened = page.waitForSelector(`#detail[data-id="${target.id}"]`, { timeout: CLICK_PATIENCE_MILLIS });
  return opened.then(() => ({ id: target.id }), () => ({ problem: `the click on ${target.id} opened something else or nothing` }));
}

async function aClickOpensTheReasons() {
  let clicked = { problem: "" };
  for (let k = 0; k < CLICKS && clicked.id === undefined; k += 1) {
    clicked = await clickASymbol();
    if (clicked.id === undefined) await page.waitForTimeout(500);
  }
  assert.ok(clicked.id, clicked.problem);
  await page.waitForSelector("#reasons .reason-points");
  const points = await page.$$eval("#reasons .reason-points", (all) =>
    all.map((one) => Number(one.textContent.replace(",", "."))),
  );
  const sum = points.pop();
  assert.ok(points.length > 0, "reasons are listed");
  const added = points.reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(added - sum) <= 0.06 * points.length, `the reasons' points (${added}) sum to the priority (${sum})`);
  await page.waitForSelector("#detail .sightings li");
  await until("the picture is shown", () => {
    const picture = document.querySelector("#detail figure img");
    return picture === null || (picture.complete && picture.naturalWidth > 0);
  });
  assert.equal(await page.getAttribute(`#row-${clicked.id}`, "aria-selected"), "true", "its row is selected");
  await settled();
  console.log(`a click opened ${points.length} reasons`);
  return clicked.id;
}

async function languageSwitches() {
  await page.click("[data-language=en]");
  assert.equal(await page.getAttribute("html", "lang"), "en");
  assert.equal(await page.textContent("#list-title"), "Defects by urgency");
  const stored = await page.evaluate(() => window.localStorage.getItem("umsicht.language"));
  assert.equal(stored, "en", "the choice is kept");
  assert.equal(await page.textContent("#simulated"), "Simulated");
  await page.click("[data-language=de]");
  assert.equal(await page.textContent("#list-title"), "Schäden nach Dringlichkeit");
  console.log("the language switches");
}

async function theDevicesAreShown() {
  await page.click("#devices-button");
  await page.waitForSelector("#devices[open] .devices-inner > :is(ul, p.absent)");
  assert.match((await page.textContent("#devices .devices-hint")) ?? "", /Verlauf wird nicht gespeichert/);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#devices", { state: "hidden" });
  console.log("the devices are shown");
}

async function aNewSightingAppears(openId) {
  const before = await rows();
  await page.evaluate(() => {
    window.sameVisit = true;
  });
  const fresh = await until("the vehicle's next sighting appears", (known) => {
    const all = [...document.querySelectorAll("#defects .row")];
    return all.find((row) => known[row.dataset.id] !== row.querySelector(".row-facts span:last-child").textContent)?.dataset.id;
  }, before);
  const id = await fresh.jsonValue();
  assert.ok(await page.evaluate(() => window.sameVisit === true), "the page was not loaded anew");
  assert.match((await page.textContent("#announcer")) ?? "", /^Neue/, "it is announced to those who do not see it");
  assert.equal(await page.getAttribute(`#row-${openId}`, "aria-selected"), "true", "the selection stays");
  assert.ok(await page.isVisible("#detail"), "the open panel stays");
  await page.click("#detail .close");
  await page.evaluate(() => window.umsicht.map.fit(false));
  await until("what was seen is drawn on the map", (wanted) => window.umsicht.map.drawnDefects().includes(wanted), id);
  console.log(`a ${id in before ? "second sighting of a known defect" : "new defect"} appeared`);
}

try {
  await mapShowsTheDefects();
  await itSaysThatItIsSimulated();
  const openId = await aClickOpensTheReasons();
  await languageSwitches();
  await theDevicesAreShown();
  await aNewSightingAppears(openId);
  assert.deepEqual(complaints, [], "no errors, and nothing from elsewhere");
  console.log("all holds");
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  for (const complaint of complaints) console.error(complaint);
  process.exitCode = 1;
} finally {
  if (process.env.UMSICHT_SCREENSHOT) await page.screenshot({ path: process.env.UMSICHT_SCREENSHOT }).catch(() => {});
  await browser.close();
}
