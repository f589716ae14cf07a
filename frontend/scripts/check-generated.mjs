/** Fails if the committed types are not those of the committed OpenAPI document. */

import { execSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const COMMITTED = "src/api/schema.d.ts";
const frontend = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), "cxr-types-"));

try {
  const generated = join(folder, "schema.d.ts");
  // The very command of `npm run generate`, with another output.
  const { scripts } = JSON.parse(readFileSync(join(frontend, "package.json"), "utf8"));
  const command = scripts.generate.replace(COMMITTED, generated);
  const path = [join(frontend, "node_modules", ".bin"), process.env.PATH].join(delimiter);
  execSync(command, {
    cwd: frontend,
    env: { ...process.env, PATH: path },
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (readFileSync(generated, "utf8") !== readFileSync(join(frontend, COMMITTED), "utf8")) {
    process.stderr.write(`${COMMITTED} is not what docs/openapi.json says; run \`npm run generate\`.\n`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
