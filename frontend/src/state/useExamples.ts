import { useEffect, useState } from "react";

import { getExampleFile, getExamples } from "../api/client";
import { type ApiError, asApiError } from "../api/errors";
import { type Example, type Examples, examplesOf } from "../domain/examples";

export interface ExamplesState {
  /** Null where there are none. */
  readonly examples: Examples | null;
  /** The file that is on its way. */
  readonly fetching: string | null;
  readonly error: ApiError | null;
  readonly take: (example: Example) => void;
}

/** The examples of the page's own folder; a chosen one goes to `onFile` like a file of the user's. */
export function useExamples(onFile: (file: File) => void): ExamplesState {
  const [examples, setExamples] = useState<Examples | null>(null);
  const [fetching, setFetching] = useState<string | null>(null);
  const [error, setError] = useState<ApiError | null>(null);

  useEffect(() => {
    const controller = new AbortController();
    // Whoever has a radiograph misses nothing if there is no list: none is offered then.
    getExamples(controller.signal).then(
      (index) => setExamples(examplesOf(index)),
      () => undefined,
    );
    return () => controller.abort();
  }, []);

  const take = ({ file }: Example): void => {
    if (fetching !== null) {
      return;
    }
    setFetching(file);
    setError(null);
    getExampleFile(file)
      .then(onFile, (reason: unknown) => setError(asApiError(reason)))
      .finally(() => setFetching(null));
  };
  return { examples, fetching, error, take };
}
