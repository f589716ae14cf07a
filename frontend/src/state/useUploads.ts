import { useEffect, useEffectEvent, useState, useSyncExternalStore } from "react";

import type { Study, SystemStatus } from "../api/schema";
import { sendFile } from "../api/upload";
import { UploadQueue } from "./uploadQueue";
import type { Upload } from "./uploads";

export interface Uploads {
  readonly queue: UploadQueue;
  readonly uploads: readonly Upload[];
}

/** The queue of this page, and what is in it now. */
export function useUploads(
  system: SystemStatus | null,
  onRead: (study: Study, alone: boolean) => void,
): Uploads {
  const [queue] = useState(() => new UploadQueue(sendFile));
  const uploads = useSyncExternalStore(queue.subscribe, queue.snapshot);
  const tell = useEffectEvent(onRead);
  useEffect(
    () =>
      queue.onRead((study, alone, known) => {
        tell(study, alone);
        if (alone && !known) {
          // It is opened now: nothing is left to say about its upload. Of a known file there is.
          queue.dismissOf(study.id);
        }
      }),
    [queue],
  );
  const maxBytes = system?.max_upload_bytes ?? null;
  useEffect(() => {
    if (maxBytes !== null) {
      queue.limitTo(maxBytes);
    }
  }, [queue, maxBytes]);
  return { queue, uploads };
}
