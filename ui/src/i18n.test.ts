import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

// The key sets are compared by the type checker; this looks at what it cannot see: the places to be filled in.
test("both languages fill in the same values", () => {
  const source = readFileSync(new URL("./i18n.ts", import.meta.url), "utf8");
  const entries = [...source.matchAll(/^ {2}(\w+): "(.*)",$/gm)];
  const places = new Map<string, string[]>();
  for (const [, key = "", words = ""] of entries) {
    const holes = [...words.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort().join(",");
    places.set(key, [...(places.get(key) ?? []), holes]);
  }
  expect(places.size).toBeGreaterThan(60);
  for (const [key, holes] of places) {
    expect(holes, key).toHaveLength(2);
    expect(holes[0], key).toBe(holes[1]);
  }
});
