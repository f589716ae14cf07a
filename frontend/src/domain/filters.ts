import type { Priority, StudyStatus } from "../api/schema";

/** Which studies the list shows; null means all. */
export interface StudyFilter {
  readonly priority: Priority | null;
  readonly status: StudyStatus | null;
}

export const NO_FILTER: StudyFilter = { priority: null, status: null };

export function isFiltering({ priority, status }: StudyFilter): boolean {
  return priority !== null || status !== null;
}

/** The filter without what contradicts itself: an unread or refused study has no priority. */
export function withPriority(filter: StudyFilter, priority: Priority | null): StudyFilter {
  const contradicts = filter.status === "failed" || filter.status === "rejected";
  return { priority, status: priority !== null && contradicts ? null : filter.status };
}

export function withStatus(filter: StudyFilter, status: StudyStatus | null): StudyFilter {
  const contradicts = status === "failed" || status === "rejected";
  return { status, priority: contradicts ? null : filter.priority };
}
