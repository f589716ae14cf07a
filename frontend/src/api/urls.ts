/** Every address that the page asks, in one place. */

import type { Finding, Priority, StudyStatus } from "./schema";

const ROOT = "/api/v1";

export interface StudyQuery {
  readonly priorities: readonly Priority[];
  readonly statuses: readonly StudyStatus[];
  readonly limit: number;
  readonly cursor: string | null;
}

export const STUDIES_URL = `${ROOT}/studies`;
export const SYSTEM_URL = `${ROOT}/system`;
export const ME_URL = `${ROOT}/me`;
export const SIGN_OUT_URL = `${ROOT}/sign-out`;

/** Of the page's own files, not of the REST API: nobody needs a role to see a synthetic image. */
const EXAMPLES = `${import.meta.env.BASE_URL}examples/`;
export const EXAMPLES_URL = `${EXAMPLES}index.json`;

export function exampleUrl(file: string): string {
  return `${EXAMPLES}${encodeURIComponent(file)}`;
}

/** Where a person signs in, to come back to `place` of the page. */
export function signInUrl(signIn: string, place: string): string {
  return `${signIn}?${new URLSearchParams({ return_to: place }).toString()}`;
}

export function driftUrl(weeks: number): string {
  return `${ROOT}/drift?weeks=${weeks}`;
}

export function studyUrl(id: string): string {
  return `${STUDIES_URL}/${encodeURIComponent(id)}`;
}

export function rerunUrl(id: string): string {
  return `${studyUrl(id)}/rerun`;
}

export function imageUrl(id: string): string {
  return `${studyUrl(id)}/image.png`;
}

/** The file without its patient, for whoever sees that the image itself names nobody. */
export function deidentifiedUrl(id: string): string {
  return `${studyUrl(id)}/deidentified?pixels_reviewed=true`;
}

export function overlayUrl(id: string): string {
  return `${studyUrl(id)}/overlay.png`;
}

export function heatmapUrl(id: string, finding: Finding): string {
  return `${studyUrl(id)}/heatmaps/${encodeURIComponent(finding)}.png`;
}

export function studiesUrl(query: StudyQuery): string {
  const parameters = new URLSearchParams();
  query.priorities.forEach((priority) => parameters.append("priority", priority));
  query.statuses.forEach((status) => parameters.append("status", status));
  parameters.set("limit", String(query.limit));
  if (query.cursor !== null) {
    parameters.set("cursor", query.cursor);
  }
  return `${STUDIES_URL}?${parameters.toString()}`;
}
