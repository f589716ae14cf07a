import type { Box } from "../api/schema";
import { rectOf } from "./geometry";
import { overlapShare } from "./labels";

/** One thing to the eye, and two names for it: where does a nodule end and a mass begin? */
const ALIKE: ReadonlySet<string> = new Set(["Nodule", "Mass"]);
const MIN_SHARE = 0.4;

/**
 * The box that speaks for each box, by their places: itself, or the more certain one of a nodule
 * and a mass in one place.
 *
 * @param boxes the most certain first.
 */
export function speakersOf(boxes: readonly Box[]): number[] {
  const speakers: number[] = [];
  boxes.forEach((box, index) => {
    const speaker = boxes.slice(0, index).findIndex(
      (other, at) =>
        speakers[at] === at &&
        other.finding !== box.finding &&
        ALIKE.has(other.finding) &&
        ALIKE.has(box.finding) &&
        overlapShare(rectOf(other), rectOf(box)) >= MIN_SHARE,
    );
    speakers.push(speaker === -1 ? index : speaker);
  });
  return speakers;
}
