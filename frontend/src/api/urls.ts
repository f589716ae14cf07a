/** Every address that the page asks, in one place. */

import type { Finding, Priority, Region, StudyStatus, WorklistState } from "./schema";

const ROOT = "/api/v1";

export interface StudyQuery {
  readonly priorities: readonly Priority[];
  readonly statuses: readonly StudyStatus[];
  readonly worklist?: readonly WorklistState[];
  /** Words that must all occur. */
  readonly text?: string;
  readonly patientId?: string | null;
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

export function worklistUrl(id: string): string {
  return `${studyUrl(id)}/worklist`;
}

export function reviewUrl(id: string): string {
  return `${studyUrl(id)}/review`;
}

export function reviewEntryUrl(id: string, entryId: string): string {
  return `${reviewUrl(id)}/${encodeURIComponent(entryId)}`;
}

export function firstReadUrl(id: string): string {
  return `${studyUrl(id)}/first-read`;
}

export function reportUrl(id: string, prior: string | null): string {
  const query = prior === null ? "" : `?${new URLSearchParams({ prior }).toString()}`;
  return `${studyUrl(id)}/report${query}`;
}

export function reportPdfUrl(id: string, version: number): string {
  return `${studyUrl(id)}/report.pdf?version=${version}`;
}

export function agreementUrl(months: number): string {
  return `${ROOT}/agreement?months=${months}`;
}

export const EVENTS_URL = `${ROOT}/events`;
export const FIRST_READS_URL = `${ROOT}/feedback/first-reads.csv`;
export const CORRECTIONS_URL = `${ROOT}/feedback/corrections.csv`;
export const COCO_URL = `${ROOT}/feedback/coco.json`;

export function imageUrl(id: string): string {
  return `${studyUrl(id)}/image.png`;
}

export function greysUrl(id: string): string {
  return `${studyUrl(id)}/pixels`;
}

export function pixelsUrl(id: string): string {
  return `${studyUrl(id)}/pixels.png`;
}

/** The file without its patient, for whoever sees that the image itself names nobody. */
export function deidentifiedUrl(id: string): string {
  return `${studyUrl(id)}/deidentified?pixels_reviewed=true`;
}

/** How an image with its findings is drawn; what is left out is as the gateway draws it. */
export interface Look {
  /** Stored values. */
  readonly black?: number;
  readonly white?: number;
  readonly inverted?: boolean;
  /** Patient and study in the corners. */
  readonly identifiers?: boolean;
  readonly boxes?: boolean;
  readonly least_score?: number;
  readonly hide?: readonly Region[];
  readonly heatmap?: Finding;
  readonly opacity?: number;
  /** Left for right, and then turned clockwise, in degrees. */
  readonly mirrored?: boolean;
  readonly turned?: number;
}

export function overlayUrl(id: string, look: Look): string {
  const parameters = new URLSearchParams();
  Object.entries(look).forEach(([name, value]: [string, unknown]) => {
    [value].flat().forEach((one) => parameters.append(name, String(one)));
  });
  const query = parameters.toString();
  return `${studyUrl(id)}/overlay.png${query === "" ? "" : `?${query}`}`;
}

export function heatmapUrl(id: string, finding: Finding): string {
  return `${studyUrl(id)}/heatmaps/${encodeURIComponent(finding)}.png`;
}

export function studiesUrl(query: StudyQuery): string {
  const parameters = new URLSearchParams();
  query.priorities.forEach((priority) => parameters.append("priority", priority));
  query.statuses.forEach((status) => parameters.append("status", status));
  query.worklist?.forEach((state) => parameters.append("worklist", state));
  Object.entries({ q: query.text, patient_id: query.patientId }).forEach(([name, value]) => {
    if (value !== undefined && value !== null && value !== "") {
      parameters.set(name, value);
    }
  });
  parameters.set("limit", String(query.limit));
  if (query.cursor !== null) {
    parameters.set("cursor", query.cursor);
  }
  return `${STUDIES_URL}?${parameters.toString()}`;
}
