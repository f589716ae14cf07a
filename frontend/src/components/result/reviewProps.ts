import type { Dispatch } from "react";

import type { Editing } from "../../domain/review";
import type { OpenReview } from "../../state/useReview";
import type { ViewerAction } from "../../state/viewer";

/** What every part of a review has. */
export interface ReviewProps {
  readonly review: OpenReview;
  /** Of which a form is open. */
  readonly editing: Editing | null;
  readonly dispatch: Dispatch<ViewerAction>;
}
