import { defineConfig } from "vitest/config";

// The central service embeds `dist` and serves it under `default-src 'self'`: no inlined assets, no inline scripts.
export default defineConfig({
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    rollupOptions: {
      output: {
        // The map's worker comes as `.mjs`; some servers do not know that ending as JavaScript.
        assetFileNames: (asset) =>
          asset.names.some((name) => name.endsWith(".mjs")) ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]",
        manualChunks: { map: ["maplibre-gl"] },
      },
    },
  },
  server: { proxy: { "/api": process.env["UMSICHT_CENTRAL"] ?? "http://127.0.0.1:8080" } },
  test: { include: ["src/**/*.test.ts"] },
});
