/** What becomes of the files that were dropped: a queue as plain data, changed by actions. */

import type { ApiError } from "../api/errors";
import type { Study } from "../api/schema";

export type UploadPhase = "waiting" | "sending" | "analysing" | "done" | "failed";

export interface Upload {
  readonly id: number;
  readonly file: File;
  readonly phase: UploadPhase;
  /** The part of the file that is sent, 0..1. */
  readonly sent: number;
  readonly study: Study | null;
  /** Whether the archive had the file before. */
  readonly known: boolean;
  readonly error: ApiError | null;
}

export type UploadAction =
  | { readonly type: "added"; readonly uploads: readonly Upload[] }
  | { readonly type: "started"; readonly id: number }
  | { readonly type: "progressed"; readonly id: number; readonly sent: number }
  | { readonly type: "finished"; readonly id: number; readonly study: Study; readonly known: boolean }
  | { readonly type: "failed"; readonly id: number; readonly error: ApiError }
  | { readonly type: "retried"; readonly id: number }
  | { readonly type: "dismissed"; readonly id: number }
  | { readonly type: "cleared" };

export function newUpload(id: number, file: File): Upload {
  return { id, file, phase: "waiting", sent: 0, study: null, known: false, error: null };
}

export function uploadsReducer(
  uploads: readonly Upload[],
  action: UploadAction,
): readonly Upload[] {
  switch (action.type) {
    case "added":
      return [...uploads, ...action.uploads];
    case "started":
      return changed(uploads, action.id, { phase: "sending", sent: 0 });
    case "progressed":
      return changed(uploads, action.id, {
        phase: action.sent >= 1 ? "analysing" : "sending",
        sent: action.sent,
      });
    case "finished":
      return changed(uploads, action.id, { phase: "done", sent: 1, study: action.study, known: action.known });
    case "failed":
      return changed(uploads, action.id, { phase: "failed", error: action.error });
    case "retried":
      return changed(uploads, action.id, { phase: "waiting", sent: 0, error: null });
    case "dismissed":
      return uploads.filter((upload) => upload.id !== action.id);
    case "cleared":
      return uploads.filter(isActive);
  }
}

export function isActive({ phase }: Upload): boolean {
  return phase === "waiting" || phase === "sending" || phase === "analysing";
}

/** The uploads that may start now, when at most `concurrency` run at once. */
export function startable(uploads: readonly Upload[], concurrency: number): Upload[] {
  const running = uploads.filter(({ phase }) => phase === "sending" || phase === "analysing");
  const waiting = uploads.filter(({ phase }) => phase === "waiting");
  return waiting.slice(0, Math.max(0, concurrency - running.length));
}

function changed(
  uploads: readonly Upload[],
  id: number,
  change: Partial<Omit<Upload, "id" | "file">>,
): readonly Upload[] {
  return uploads.map((upload) => (upload.id === id ? { ...upload, ...change } : upload));
}
