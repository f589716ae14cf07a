import { t } from "../i18n/t";

/** What went wrong with a request, in words that can be shown as they are. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** The HTTP status; 0 where the gateway gave no answer. */
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    /** The study that was kept although its analysis failed. */
    readonly studyId: string | null = null,
    /** Where a person signs in, if nobody is. */
    readonly signIn: string | null = null,
  ) {
    super(`${title}: ${detail}`);
  }

  /** Whether the same request may succeed later: what is wrong with the file itself stays wrong. */
  get isWorthAgain(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** Whether the gateway does not know who asks. */
  get isSignedOut(): boolean {
    return this.status === 401;
  }

  /** Whether what was asked for is not there: deleted, never there, or another department's. */
  get isGone(): boolean {
    return this.status === 404;
  }

  /** Whether the gateway could not be reached at all, or what stands before it could not. */
  get isConnectionLoss(): boolean {
    return this.status === 0;
  }
}

export function connectionLost(): ApiError {
  return new ApiError(
    0,
    t("No connection"),
    t("The gateway cannot be reached. Check that it is running and that this computer is on its network."),
  );
}

export function timedOut(seconds: number): ApiError {
  return new ApiError(0, t("No answer"), t("The gateway did not answer within {0} seconds.", seconds));
}

/** The error in an answer: its problem body (RFC 9457) where there is one. */
export function problemOf(status: number, body: string): ApiError {
  const parsed = parseObject(body);
  const text = (key: string): string | null => {
    const value = parsed[key];
    return typeof value === "string" && value !== "" ? value : null;
  };
  const detail = [text("detail"), ...fieldErrors(parsed["errors"])].filter((part) => part !== null);
  return new ApiError(
    status,
    titleOf(text("type"), status),
    detail.length > 0 ? detail.join(" ") : t("The gateway answered with status {0}.", status),
    text("study_id"),
    text("sign_in"),
  );
}

/** By the last part of a problem's type; docs/problems.md lists them. */
const TITLES: Readonly<Record<string, string>> = {
  "bad-request": t("The request cannot be understood"),
  unauthenticated: t("Nobody is signed in"),
  forbidden: t("This is not allowed to you"),
  "not-found": t("It is not there"),
  "method-not-allowed": t("This cannot be done here"),
  "not-acceptable": t("It cannot be had in this form"),
  "cursor-gone": t("The list has changed"),
  "upload-timeout": t("The upload took too long"),
  conflict: t("It was changed meanwhile"),
  "text-in-image": t("There may be text in the image"),
  "too-large": t("The file is too large"),
  "unsupported-media": t("This kind of file is not read"),
  unprocessable: t("This cannot be used as it is"),
  "invalid-request": t("This cannot be used as it is"),
  misdirected: t("The request went to the wrong place"),
  "too-many-requests": t("Too much at once"),
  internal: t("The system has failed"),
  "inference-unavailable": t("The models cannot be reached"),
  overloaded: t("The system is busy"),
  "provider-down": t("Signing in is not possible now"),
  unavailable: t("Something is not there now"),
  "storage-full": t("The archive is full"),
};

/** Of the types, the one that a status alone means. */
const BY_STATUS: Readonly<Record<number, string>> = {
  ...{ 401: "unauthenticated", 403: "forbidden", 404: "not-found", 408: "upload-timeout", 409: "conflict" },
  ...{ 413: "too-large", 415: "unsupported-media", 422: "unprocessable", 429: "too-many-requests" },
  ...{ 503: "unavailable", 507: "storage-full" },
};

/** In the reader's own words; by the status where the type is a later version's, or a proxy answered. */
function titleOf(type: string | null, status: number): string {
  const named = type?.split(":").at(-1) ?? BY_STATUS[status] ?? "";
  return TITLES[named] ?? TITLES[BY_STATUS[status] ?? ""] ?? t("Error {0}", status);
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) {
    return error;
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new ApiError(0, t("Unexpected error"), detail);
}

/** The answer is ours only if it is an object; a proxy's HTML page is not. */
function parseObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function fieldErrors(errors: unknown): string[] {
  if (!Array.isArray(errors)) {
    return [];
  }
  return errors.filter((entry): entry is string => typeof entry === "string");
}
