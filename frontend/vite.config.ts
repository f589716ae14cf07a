import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Where `npm run dev` finds the gateway.
const gateway = process.env["CXR_BASE_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    sourcemap: true,
    target: "es2022",
    rolldownOptions: { input: { index: "index.html", docs: "docs.html" } },
    // Everything from our own origin, and nothing inlined: the page runs under a strict
    // content security policy and without the internet.
    assetsInlineLimit: 0,
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: { "/api": gateway, "/openapi.json": gateway },
    // A test compares the page's colours with the gateway's table.
    fs: { allow: [".", "../services/gateway/cxr_gateway/rendering"] },
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test/setup.ts"],
    restoreMocks: true,
    // A busy machine is no failure.
    testTimeout: 20_000,
  },
});
