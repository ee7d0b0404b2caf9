import { describe, expect, test } from "vitest";

import { area, hour, hourAgo, moment, number, position, reasonBars, size } from "./format";

describe("numbers and sizes", () => {
  test("follow the language", () => {
    expect(number(1234.5, 1, "de")).toBe("1.234,5");
    expect(number(1234.5, 1, "en")).toBe("1,234.5");
    expect(position({ lat: 50.0012, lon: -8.25 }, "de")).toBe("50,001200° N, 8,250000° W");
  });

  test("say when they are only an indication", () => {
    expect(size(1.204, 0.45, true, "de")).toBe("1,2 × 0,45 m");
    expect(size(1.204, 0.45, false, "en")).toBe("≈ 1.2 × 0.45 m");
    expect(area(0.5, false, "de")).toBe("≈ 0,50 m²");
  });

  test("show what is not known as not known", () => {
    expect(number(null, 1, "de")).toBe("–");
    expect(number(Number.NaN, 1, "en")).toBe("–");
    expect(hour("yesterday", "de")).toBe("–");
  });

  test("an hour carries no minutes in German", () => {
    expect(hour("2026-11-20T14:00:00Z", "de")).toMatch(/^\d\d\.11\.2026, \d{1,2} Uhr$/);
  });
});

describe("moments", () => {
  test("carry minutes, and the day when it is not today", () => {
    const at = new Date(2026, 10, 20, 9, 47, 11);
    expect(moment(at.toISOString(), new Date(2026, 10, 20, 23, 0), "de")).toBe("09:47 Uhr");
    expect(moment(at.toISOString(), new Date(2026, 10, 21, 0, 1), "en")).toBe("20/11/2026, 09:47");
    expect(moment("soon", at, "de")).toBe("–");
  });
});

describe("reason bars", () => {
  test("follow one another and end at the priority", () => {
    const bars = reasonBars([20, 12.5, 7.5]);
    expect(bars).toEqual([
      { start: 0, width: 20 },
      { start: 20, width: 12.5 },
      { start: 32.5, width: 7.5 },
    ]);
  });

  test("a reason that lowers the priority goes back, and nothing leaves the track", () => {
    expect(reasonBars([30, -10])[1]).toEqual({ start: 20, width: 10 });
    for (const bar of reasonBars([80, 60, -200])) {
      expect(bar.start).toBeGreaterThanOrEqual(0);
      expect(bar.start + bar.width).toBeLessThanOrEqual(100);
    }
  });
});

test("an hour is told as far as it is known", () => {
  const now = new Date("2026-03-17T09:59:59Z");
  expect(hourAgo("2026-03-17T09:00:00Z", now, "de")).toEqual({ kind: "this" });
  expect(hourAgo("2026-03-17T08:00:00Z", now, "de")).toEqual({ kind: "last" });
  expect(hourAgo("2026-03-17T07:00:00Z", now, "de").kind).toBe("at");
});
