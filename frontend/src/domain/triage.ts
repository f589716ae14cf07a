import type { Box, Finding, FindingProbability, MeasuredPriority, Priority, Study, StudySummary, TriageCause } from "../api/schema";
import { displayName, outOfHundred, percent } from "./format";
import { LEVEL_NAMES } from "./levels";
import { PRIORITY_NAMES } from "./studies";
import { t } from "../i18n/t";

/** Below this a share of a hundred says nothing. */
const MIN_CALLED = 20;

/** What a priority was measured to mean, as a sentence; null where it was not. */
export function priorityMeaning(
  priority: Priority,
  measured: readonly MeasuredPriority[],
): string | null {
  const row = measured.find((entry) => entry.priority === priority);
  if (row === undefined || row.n_called < MIN_CALLED) {
    return null;
  }
  const immediate = outOfHundred(row.n_immediate / row.n_called);
  const sameDay = outOfHundred(row.n_same_day / row.n_called);
  const images = t("Of 100 test images called {0}", PRIORITY_NAMES[priority].toLowerCase());
  switch (priority) {
    case "urgent":
      return t("{0}, {1} showed an immediate finding.", images, immediate);
    case "soon":
      return t("{0}, {1} showed a finding to be read the same day, {2} an immediate one.", images, sameDay, immediate);
    case "routine":
      return t("{0}, {1} showed an immediate finding all the same.", images, immediate);
  }
}

/** "Pneumothorax", or "Fracture" where a region alone decided. */
export function causeName(cause: TriageCause): string {
  return displayName(cause.finding ?? cause.region ?? "");
}

/** What stands in a row of the list, after the priority. */
export function causeText(cause: TriageCause): string {
  if (cause.region !== null) {
    // Its box carries another number, how likely it is right; two would only confuse.
    return t("{0}, region marked", causeName(cause));
  }
  const level = cause.level === null ? "" : `, ${LEVEL_NAMES[cause.level].toLowerCase()}`;
  return `${causeName(cause)} ${percent(cause.value)}${level}`;
}

/** The strongest statement about a study, for its row: the cause of its priority first. */
export function headline({ triage, top_findings: [first] }: StudySummary): string {
  if (triage !== null && triage.cause !== null) {
    return causeText(triage.cause);
  }
  if (first === undefined) {
    return t("No findings: the classifier is missing");
  }
  return first.level === "unlikely"
    ? t("Nothing likely or possible")
    : `${displayName(first.finding)} ${percent(first.probability)}, ${LEVEL_NAMES[first.level].toLowerCase()}`;
}

/** The cards of a study: the cause's finding first, then the most likely ones. */
export function cardsOf({ triage, findings, top_findings }: Study): FindingProbability[] {
  const cause = findings.find(({ finding }) => finding === triage?.cause?.finding);
  return cause === undefined
    ? [...top_findings]
    : [cause, ...top_findings.filter(({ finding }) => finding !== cause.finding)];
}

/** The box that decided, if one did. */
export function causeBox({ triage, boxes }: Study): { readonly index: number; readonly box: Box } | null {
  const index = triage?.cause?.box ?? null;
  const box = index === null ? undefined : boxes[index];
  return index === null || box === undefined ? null : { index, box };
}

/** The finding whose map is offered first: the cause's, or the most likely. */
export function firstMap({ triage, top_findings: [first], heatmaps }: Study): Finding | null {
  const wanted = [triage?.cause?.finding, first?.finding].filter((finding) => finding !== null && finding !== undefined);
  return wanted.find((finding) => heatmaps.includes(finding)) ?? heatmaps[0] ?? null;
}
