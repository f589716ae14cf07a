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

  /** Whether the gateway does not know who asks. */
  get isSignedOut(): boolean {
    return this.status === 401;
  }

  /** Whether the gateway could not be reached at all, or what stands before it could not. */
  get isConnectionLoss(): boolean {
    return this.status === 0;
  }
}

export function connectionLost(): ApiError {
  return new ApiError(
    0,
    "No connection",
    "The gateway cannot be reached. Check that it is running and that this computer is on its network.",
  );
}

export function timedOut(seconds: number): ApiError {
  return new ApiError(0, "No answer", `The gateway did not answer within ${seconds} seconds.`);
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
    text("title") ?? `Error ${status}`,
    detail.length > 0 ? detail.join(" ") : `The gateway answered with status ${status}.`,
    text("study_id"),
    text("sign_in"),
  );
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) {
    return error;
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new ApiError(0, "Unexpected error", detail);
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
