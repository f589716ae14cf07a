import { ApiError, asApiError } from "../api/errors";
import type { Study } from "../api/schema";
import type { Send } from "../api/upload";
import { bytes } from "../domain/format";
import {
  newUpload,
  startable,
  type Upload,
  type UploadAction,
  uploadsReducer,
} from "./uploads";
import { t } from "../i18n/t";

export const CONCURRENT_UPLOADS = 2;

/** Called with each study that was analysed; `alone` if it was dropped without any other file. */
export type ReadListener = (study: Study, alone: boolean, known: boolean) => void;

/** Sends files, a few at a time, in the order in which they came. Lives outside React. */
export class UploadQueue {
  private uploads: readonly Upload[] = [];
  private readonly listeners = new Set<() => void>();
  private readonly controllers = new Map<number, AbortController>();
  private readonly alone = new Set<number>();
  private readonly readListeners = new Set<ReadListener>();
  private nextId = 1;
  private maxBytes: number | null = null;

  constructor(
    private readonly send: Send,
    private readonly concurrency = CONCURRENT_UPLOADS,
  ) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly onRead = (listener: ReadListener): (() => void) => {
    this.readListeners.add(listener);
    return () => this.readListeners.delete(listener);
  };

  readonly snapshot = (): readonly Upload[] => this.uploads;

  /** Above this size a file is not sent at all. */
  limitTo(maxBytes: number): void {
    this.maxBytes = maxBytes;
  }

  add(files: readonly File[]): void {
    const uploads = files.map((file) => newUpload(this.nextId++, file));
    const [first] = uploads;
    if (first !== undefined && uploads.length === 1) {
      this.alone.add(first.id);
    }
    this.apply({ type: "added", uploads });
    uploads.forEach((upload) => this.refuseTooLarge(upload));
    this.pump();
  }

  retry(id: number): void {
    this.apply({ type: "retried", id });
    this.pump();
  }

  /** Takes an upload out of the queue; one that is on its way is stopped. */
  dismiss(id: number): void {
    this.apply({ type: "dismissed", id });
    this.controllers.get(id)?.abort();
    this.pump();
  }

  /** Takes out what is analysed and in sight anyway. */
  dismissOf(studyId: string): void {
    this.uploads
      .filter(({ study }) => study?.id === studyId)
      .forEach(({ id }) => this.apply({ type: "dismissed", id }));
  }

  clearSettled(): void {
    this.apply({ type: "cleared" });
  }

  private pump(): void {
    startable(this.uploads, this.concurrency).forEach((upload) => void this.run(upload));
  }

  private async run({ id, file }: Upload): Promise<void> {
    const controller = new AbortController();
    this.controllers.set(id, controller);
    this.apply({ type: "started", id });
    try {
      const { study, known } = await this.send(file, {
        onProgress: (sent) => this.apply({ type: "progressed", id, sent }),
        signal: controller.signal,
      });
      this.apply({ type: "finished", id, study, known });
      this.readListeners.forEach((listener) => listener(study, this.alone.has(id), known));
    } catch (error) {
      this.apply({ type: "failed", id, error: asApiError(error) });
    } finally {
      this.controllers.delete(id);
      this.pump();
    }
  }

  private refuseTooLarge({ id, file }: Upload): void {
    if (this.maxBytes === null || file.size <= this.maxBytes) {
      return;
    }
    const detail = t("The file has {0}; at most {1} are accepted.", bytes(file.size), bytes(this.maxBytes));
    this.apply({ type: "failed", id, error: new ApiError(413, t("Too large"), detail) });
  }

  private apply(action: UploadAction): void {
    this.uploads = uploadsReducer(this.uploads, action);
    this.listeners.forEach((listener) => listener());
  }
}
