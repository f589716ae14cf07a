import { ANALYSIS_TIMEOUT_S } from "./client";
import { ApiError, connectionLost, problemOf, timedOut } from "./errors";
import type { Study } from "./schema";
import { told } from "./signedOut";
import { STUDIES_URL } from "./urls";
import { t } from "../i18n/t";

export interface SendCallbacks {
  /** `sent` runs from 0 to 1; at 1 the gateway has the file and reads it. */
  readonly onProgress: (sent: number) => void;
  readonly signal: AbortSignal;
}

export interface Sent {
  readonly study: Study;
  /** Whether the archive had this very file before. */
  readonly known: boolean;
}

export type Send = (file: File, callbacks: SendCallbacks) => Promise<Sent>;

/**
 * Sends one file. XMLHttpRequest, because fetch does not tell how much of a body is on its way.
 *
 * The time limit starts when the last byte is sent: a slow network is not a hanging service.
 */
export const sendFile: Send = (file, { onProgress, signal }) =>
  new Promise<Sent>((resolve, reject) => {
    const request = new XMLHttpRequest();
    let limit: ReturnType<typeof setTimeout> | undefined;
    const settle = (action: () => void): void => {
      clearTimeout(limit);
      action();
    };
    request.upload.addEventListener("progress", (event) => {
      onProgress(event.lengthComputable && event.total > 0 ? event.loaded / event.total : 0);
    });
    request.upload.addEventListener("load", () => {
      onProgress(1);
      limit = setTimeout(() => {
        reject(timedOut(ANALYSIS_TIMEOUT_S));
        request.abort();
      }, ANALYSIS_TIMEOUT_S * 1000);
    });
    request.addEventListener("load", () =>
      settle(() => {
        if (request.status >= 200 && request.status < 300) {
          // 200 where 201 says that a study was made.
          resolve({ study: JSON.parse(request.responseText) as Study, known: request.status === 200 });
        } else {
          reject(told(problemOf(request.status, request.responseText)));
        }
      }),
    );
    request.addEventListener("error", () => settle(() => reject(connectionLost())));
    request.addEventListener("abort", () =>
      settle(() => reject(new ApiError(0, t("Cancelled"), t("The upload was cancelled.")))),
    );
    signal.addEventListener("abort", () => request.abort(), { once: true });
    const form = new FormData();
    form.append("file", file, file.name);
    request.open("POST", STUDIES_URL);
    request.setRequestHeader("Accept", "application/json");
    request.send(form);
  });
