import type { ApiError } from "./errors";

const listeners = new Set<() => void>();

/** Calls `listener` whenever a request is refused because nobody is signed in any more. */
export function onSignedOut(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Every refused request passes here. */
export function told(error: ApiError): ApiError {
  if (error.isSignedOut) {
    listeners.forEach((listener) => listener());
  }
  return error;
}
