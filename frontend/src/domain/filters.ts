import type { Priority, StudyStatus, WorklistState } from "../api/schema";
import { PRIORITIES, STATUSES, WORKLIST_STATES } from "./studies";

/** Which studies the list shows; null means all. */
export interface StudyFilter {
  readonly priority: Priority | null;
  readonly status: StudyStatus | null;
  readonly work: WorklistState | null;
  /** Words that must all occur. */
  readonly text: string;
}

export const NO_FILTER: StudyFilter = { priority: null, status: null, work: null, text: "" };

export function isFiltering({ priority, status, work, text }: StudyFilter): boolean {
  return priority !== null || status !== null || work !== null || text !== "";
}

/** The filter without what contradicts itself: an unread or refused study has no priority. */
export function withPriority(filter: StudyFilter, priority: Priority | null): StudyFilter {
  const contradicts = filter.status === "failed" || filter.status === "rejected";
  return { ...filter, priority, status: priority !== null && contradicts ? null : filter.status };
}

export function withStatus(filter: StudyFilter, status: StudyStatus | null): StudyFilter {
  const contradicts = status === "failed" || status === "rejected";
  return { ...filter, status, priority: contradicts ? null : filter.priority };
}

/** The filter of an address's query; what it does not know is no filter. */
export function filterOf(search: string): StudyFilter {
  const asked = new URLSearchParams(search);
  const one = <Value extends string>(name: string, values: readonly Value[]): Value | null =>
    values.find((value) => value === asked.get(name)) ?? null;
  return {
    priority: one("priority", PRIORITIES),
    status: one("status", STATUSES),
    work: one("work", WORKLIST_STATES),
    text: asked.get("q") ?? "",
  };
}

/** The query of an address, with its question mark; empty without a filter. */
export function searchOf({ priority, status, work, text }: StudyFilter): string {
  const parts = Object.entries({ priority, status, work, q: text }).filter(
    (part): part is [string, string] => part[1] !== null && part[1] !== "",
  );
  return parts.length === 0 ? "" : `?${new URLSearchParams(parts).toString()}`;
}
