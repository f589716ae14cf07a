/** What a reader says of the models' answers, and what is shown of it. */

import type {
  Box,
  Corners,
  FindingProbability,
  Review,
  ReviewChange,
  ReviewEntry,
  Study,
  Verdict,
} from "../api/schema";
import { FINDING_COLOURS } from "./colours";
import { displayName } from "./format";
import type { Size } from "./geometry";
import { t } from "../i18n/t";

export type Target = NonNullable<ReviewEntry["target"]>;
export type ReviewLabel = NonNullable<ReviewEntry["label"]>;

/** As the gateway limits it. */
export const MAX_COMMENT_CHARS = 4000;
/** Below this a box has no area that anybody could have drawn on purpose. */
export const MIN_SIDE_PX = 2;

/** What a reader may call something: the known names, and those of the models that answered. */
export function reviewLabels({ findings, boxes }: Pick<Study, "findings" | "boxes">): ReviewLabel[] {
  const said = [...findings, ...boxes].map(({ finding }) => finding);
  return [...new Set([...Object.keys(FINDING_COLOURS), ...said])].sort();
}

/** What is being written: about an answer, or about what no answer says. */
export type Editing = Target | { readonly kind: "added" };

export function findingTarget({ finding }: Pick<FindingProbability, "finding">): Target {
  return { kind: "finding", finding };
}

export function boxTarget(index: number, { finding }: Pick<Box, "finding">): Target {
  return { kind: "box", index, region: finding };
}

export function isSame(a: Editing | null, b: Editing | null): boolean {
  if (a === null || b === null || a.kind !== b.kind) {
    return a === b;
  }
  if (a.kind === "finding" && b.kind === "finding") {
    return a.finding === b.finding;
  }
  return a.kind === "box" && b.kind === "box" ? a.index === b.index : a.kind === "added";
}

/** "mass", or "mass region 2". */
export function targetName(target: Target): string {
  return target.kind === "finding"
    ? displayName(target.finding).toLowerCase()
    : t("{0} region {1}", displayName(target.region).toLowerCase(), target.index + 1);
}

const VERDICT_NAMES: Record<Verdict, string> = {
  accepted: t("Accepted"),
  rejected: t("Rejected"),
  modified: t("Changed"),
  added: t("Added"),
  commented: t("Comment on"),
};

export function verdictName(verdict: Verdict): string {
  return VERDICT_NAMES[verdict];
}

type Said = Pick<ReviewEntry, "verdict" | "target" | "label">;

/** "Accepted: mass", "Changed: mass region 1, now nodule", "Added: fracture". */
export function saidText({ verdict, target, label }: Said): string {
  const name = label === null ? "" : displayName(label).toLowerCase();
  if (target === null) {
    return verdict === "commented" ? t("Comment on the study") : t("Added: {0}", name);
  }
  if (verdict === "commented") {
    return t("Comment on {0}", targetName(target));
  }
  const before = target.kind === "finding" ? target.finding : target.region;
  const renamed = verdict === "modified" && label !== null && label !== before ? t(", now {0}", name) : "";
  return `${verdictName(verdict)}: ${targetName(target)}${renamed}`;
}

/** What is kept here until the gateway has it. */
export interface Waiting {
  readonly entryId: string;
  readonly studyId: string;
  /** Why the gateway did not take it; null while it is to be sent. */
  readonly refusal: { readonly title: string; readonly detail: string } | null;
}

/** A word of a reader on its way. */
export interface Outgoing extends Waiting {
  /** Null takes the entry back. */
  readonly change: ReviewChange | null;
}

/** An entry as the page shows it, sent or not. */
export interface Mark extends Pick<ReviewEntry, "id" | "verdict" | "target" | "label" | "corners" | "comment" | "by" | "mine"> {
  readonly state: "kept" | "waiting" | "refused";
}

/** What stands of a study's review, with what is still on its way; the latest last. */
export function marksOf(review: Review | null, outgoing: readonly Outgoing[]): Mark[] {
  const backs = new Set(outgoing.filter(({ change }) => change === null).map(({ entryId }) => entryId));
  const kept = (review?.entries ?? [])
    .filter(({ id, counts }) => counts && !backs.has(id))
    .map(({ id, verdict, target, label, corners, comment, by, mine }): Mark => {
      return { id, verdict, target, label, corners, comment, by, mine, state: "kept" };
    });
  const known = new Set(kept.map(({ id }) => id));
  const more = outgoing.flatMap(({ entryId, change, refusal }): Mark[] =>
    change === null || known.has(entryId) ? [] : [markOf(entryId, change, refusal !== null)],
  );
  return more.reduce(replaced, kept);
}

function markOf(id: string, change: ReviewChange, isRefused: boolean): Mark {
  const target = change.target ?? null;
  const own = target === null ? null : target.kind === "finding" ? target.finding : target.region;
  return {
    ...{ id, target, verdict: change.verdict, comment: change.comment },
    ...{ label: change.label ?? own, corners: change.corners ?? null, by: "you", mine: true },
    state: isRefused ? "refused" : "waiting",
  };
}

/** A later word of the same reader on the same answer takes the place of the one before. */
function replaced(marks: Mark[], mark: Mark): Mark[] {
  const replaces = mark.state === "waiting" && mark.target !== null && mark.verdict !== "commented";
  const others = marks.filter(
    (one) => !(replaces && one.mine && one.verdict !== "commented" && isSame(one.target, mark.target)),
  );
  return [...others, mark];
}

/** What this person last said of an answer, other than words; null for nothing. */
export function ownVerdict(marks: readonly Mark[], target: Target): Verdict | null {
  const own = marks.filter(
    (mark) => mark.mine && mark.state !== "refused" && mark.verdict !== "commented" && isSame(mark.target, target),
  );
  return own.at(-1)?.verdict ?? null;
}

/** What others said of it, other than words. */
export function othersOn(marks: readonly Mark[], target: Target): Mark[] {
  return marks.filter((mark) => !mark.mine && mark.verdict !== "commented" && isSame(mark.target, target));
}

/** A rectangle between two points of the image, cut to it; whole pixels. */
export function cornersBetween(
  a: { readonly x: number; readonly y: number },
  b: { readonly x: number; readonly y: number },
  image: Size,
): Corners {
  const cut = (value: number, most: number): number => Math.round(Math.min(Math.max(value, 0), most));
  return {
    x_min: cut(Math.min(a.x, b.x), image.width),
    y_min: cut(Math.min(a.y, b.y), image.height),
    x_max: cut(Math.max(a.x, b.x), image.width),
    y_max: cut(Math.max(a.y, b.y), image.height),
  };
}

/** What a form holds. */
export interface Draft {
  readonly label: string;
  readonly corners: Corners | null;
  readonly comment: string;
}

/** What the form begins with: the answer as it is. */
export function draftOf(editing: Editing, study: Study): Draft {
  if (editing.kind === "finding") {
    return { label: editing.finding, corners: null, comment: "" };
  }
  const box = editing.kind === "box" ? study.boxes[editing.index] : undefined;
  if (box === undefined) {
    return { label: "", corners: null, comment: "" };
  }
  const { finding, x_min, y_min, x_max, y_max } = box;
  return { label: finding, corners: { x_min, y_min, x_max, y_max }, comment: "" };
}

/** The change that a form says, or why it says none: a sentence. */
export function changeOf(
  editing: Editing,
  draft: Draft,
  study: Study,
  revision: number,
): ReviewChange | string {
  const comment = draft.comment.trim();
  if (comment.length > MAX_COMMENT_CHARS) {
    return t("The comment has {0} characters; at most {1} are kept.", comment.length, MAX_COMMENT_CHARS);
  }
  const { corners } = draft;
  const label = reviewLabels(study).find((known) => known === draft.label);
  const wrong = corners === null ? null : whatIsWrong(corners, study.image);
  if (wrong !== null) {
    return wrong;
  }
  if (editing.kind === "added") {
    if (label !== undefined) {
      return { revision, verdict: "added", label, corners, comment };
    }
    return comment === ""
      ? t("Choose what was missed, or write a comment on the study.")
      : { revision, verdict: "commented", comment };
  }
  const before = draftOf(editing, study);
  const renamed = label !== undefined && label !== before.label ? label : null;
  const moved = corners !== null && before.corners !== null && !isSamePlace(corners, before.corners) ? corners : null;
  if (renamed !== null || moved !== null) {
    return { revision, verdict: "modified", target: editing, label: renamed, corners: moved, comment };
  }
  return comment === ""
    ? t("Nothing is changed: choose another name, draw another box, or write a comment.")
    : { revision, verdict: "commented", target: editing, comment };
}

function whatIsWrong(corners: Corners, image: Size): string | null {
  const { x_min, y_min, x_max, y_max } = corners;
  if (![x_min, y_min, x_max, y_max].every((value) => Number.isFinite(value) && value >= 0)) {
    return t("The box needs four numbers from 0 on.");
  }
  if (x_max - x_min < MIN_SIDE_PX || y_max - y_min < MIN_SIDE_PX) {
    return t("The box has no area: each side needs at least {0} pixels.", MIN_SIDE_PX);
  }
  return x_max > image.width || y_max > image.height ? t("The box lies outside the image.") : null;
}

function isSamePlace(a: Corners, b: Corners): boolean {
  return a.x_min === b.x_min && a.y_min === b.y_min && a.x_max === b.x_max && a.y_max === b.y_max;
}

/** A random UUID, also where the page is not served over HTTPS. */
export function newEntryId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = [...bytes].map((byte, index) => {
    const fixed = index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return fixed.toString(16).padStart(2, "0");
  });
  return [hex.slice(0, 4), hex.slice(4, 6), hex.slice(6, 8), hex.slice(8, 10), hex.slice(10)]
    .map((part) => part.join(""))
    .join("-");
}
