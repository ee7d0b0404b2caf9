// A driver's mark in a real Chromium: node tests/mark.mjs URL
//
// The page is that of a service that has one open danger, a mark. Exit status 0 when all holds; otherwise the reasons stand on
// stderr. UMSICHT_SCREENSHOT names a file for a picture of the strip with the mark.

import { strict as assert } from "node:assert";
import process from "node:process";
import { open } from "./chromium.mjs";

const url = process.argv[2];

const { browser, page, complaints } = await open(url);

const words = (part) => page.textContent(`#dangers li ${part}`);

try {
  await page.goto(url);
  await page.waitForSelector("#dangers li[data-marked-by=driver]");
  assert.equal(await words(".danger-what"), "Gefahr Von der Fahrerin oder dem Fahrer markiert, Bahnhofstraße");
  assert.match(await words(".danger-facts"), /^Stelle auf etwa 7 m, gemeldet in (dieser|der vorigen) Stunde$/);
  assert.equal(await page.locator("#dangers img").count(), 0, "there is no picture of a mark");
  await page.click("#dangers button.show");
  const marker = page.locator(".danger-marker");
  await marker.waitFor();
  await page.waitForFunction(() => {
    const map = window.umsicht?.map?.map;
    return map !== undefined && map.loaded() && !map.isMoving();
  });
  assert.equal(await marker.count(), 1, "its sign stands on the map");
  const [sign, map] = [await marker.boundingBox(), await page.locator(".maplibregl-canvas").boundingBox()];
  const off = Math.abs(sign.x + sign.width / 2 - (map.x + map.width / 2));
  assert.ok(off < map.width / 4, `the place is in the middle of the map, not ${off} px beside it`);
  if (process.env.UMSICHT_SCREENSHOT) await page.screenshot({ path: process.env.UMSICHT_SCREENSHOT });
  await page.setViewportSize({ width: 390, height: 844 });
  const cut = await page.$eval("#dangers .danger-what", (text) => text.scrollWidth > text.clientWidth || text.scrollHeight > text.clientHeight + 2);
  assert.ok(!cut && (await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "on a phone nothing is cut off");
  if (process.env.UMSICHT_SCREENSHOT) await page.screenshot({ path: `${process.env.UMSICHT_SCREENSHOT}.phone.png` });
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.click("[data-language=en]");
  assert.equal(await words(".danger-what"), "Danger Marked by the driver, Bahnhofstraße");
  assert.match(await words(".danger-facts"), /^place to about 7 m, reported in (this hour|the hour before)$/);
  await page.click("#dangers button.seen");
  await page.waitForSelector("#dangers", { state: "hidden" });
  await marker.waitFor({ state: "detached" });
  await page.reload();
  await page.waitForFunction(() => document.querySelector("#connection")?.dataset.state === "live");
  assert.equal(await page.locator("#dangers li").count(), 0, "it stays acknowledged");
  assert.deepEqual(complaints, [], "no errors");
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  for (const complaint of complaints) console.error(complaint);
  process.exitCode = 1;
} finally {
  await browser.close();
}
