import { execSync } from "node:child_process";

import { variable } from "./samples";

/** Ends the detector's process without warning. */
export function stopDetector(): void {
  execSync(variable("CXR_STOP_DETECTOR"), { stdio: "inherit" });
}

/** Starts it and returns when it is ready. */
export function startDetector(): void {
  execSync(variable("CXR_START_DETECTOR"), { stdio: "inherit" });
}
