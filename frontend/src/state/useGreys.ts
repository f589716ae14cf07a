import { useEffect, useState } from "react";

import { getGreys, getPixels } from "../api/client";
import type { StoredGreys } from "../api/schema";
import type { GreyImage } from "../domain/greyPng";
import type { Histogram } from "../domain/presets";
import { greyOfStored } from "../domain/windowLevel";

export interface GreyPixels extends GreyImage {
  /** How many of its pixels have each value. */
  readonly counts: Uint32Array;
}

/** The file's own greys: what they are, and then themselves. Null until they are there. */
export interface OwnGreys {
  readonly greys: StoredGreys | null;
  readonly pixels: GreyPixels | null;
}

const NONE: OwnGreys = { greys: null, pixels: null };
/** `image.png` holds 8 bits already. */
const RENDERED_BITS = 8;

/** Asked once for each study that is opened; where they do not come, the rendered image stays. */
export function useGreys(studyId: string | null): OwnGreys {
  const [heard, setHeard] = useState<OwnGreys & { readonly of: string | null }>({ ...NONE, of: studyId });
  useEffect(() => {
    if (studyId === null) {
      return undefined;
    }
    const controller = new AbortController();
    ask(studyId, controller.signal, (own) => setHeard({ ...own, of: studyId })).catch(() => undefined);
    return () => controller.abort();
  }, [studyId]);
  return heard.of === studyId ? heard : NONE;
}

async function ask(id: string, signal: AbortSignal, hear: (own: OwnGreys) => void): Promise<void> {
  const greys = await getGreys(id, signal);
  hear({ greys, pixels: null });
  if (greys.bits > RENDERED_BITS) {
    const pixels = await decoded(await getPixels(id, signal), signal);
    if (pixels !== null && !signal.aborted) {
      hear({ greys, pixels });
    }
  }
}

function decoded(file: ArrayBuffer, signal: AbortSignal): Promise<GreyPixels | null> {
  const worker = new Worker(new URL("./greyWorker.ts", import.meta.url), { type: "module" });
  return new Promise<GreyPixels | null>((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<GreyPixels | null>) => resolve(data);
    worker.onerror = () => resolve(null);
    signal.addEventListener("abort", () => resolve(null));
    worker.postMessage(file, [file]);
  }).finally(() => worker.terminate());
}

/** Null while the greys themselves are not there. */
export function histogramOfOwn({ greys, pixels }: OwnGreys): Histogram | null {
  if (greys === null || pixels === null) {
    return null;
  }
  return {
    counts: pixels.counts,
    greyOf: (value) => greyOfStored(value, greys),
    ends: [greys.darkest, greys.brightest],
  };
}
