// A page in a real Chromium, as everyone here looks at it, and whatever it complains of meanwhile.

import process from "node:process";
import { chromium } from "playwright-core";

/** A wait that lasts longer has failed. */
export const PATIENCE_MILLIS = 60_000;

/** The browser, its page, and the complaints so far: errors, refused answers, and requests to elsewhere than `url`. */
export async function open(url) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
  });
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, locale: "de-DE" });
  page.setDefaultTimeout(PATIENCE_MILLIS);
  const complaints = [];
  page.on("console", (m) => m.type() === "error" && complaints.push(`console: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`uncaught: ${e.message}`));
  page.on("request", (r) => new URL(r.url()).origin !== new URL(url).origin && complaints.push(`foreign: ${r.url()}`));
  page.on("response", (r) => r.status() >= 400 && complaints.push(`HTTP ${r.status()}: ${r.url()}`));
  return { browser, page, complaints };
}
