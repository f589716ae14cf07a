import { useState } from "react";

import { signOut } from "../../api/client";
import { type ApiError, asApiError } from "../../api/errors";
import { t } from "../../i18n/t";

/** Ends the session here and at the provider. */
export function SignOutButton() {
  const [error, setError] = useState<ApiError | null>(null);
  const leave = (): void => {
    signOut().then(
      ({ location }) => window.location.assign(location),
      (reason: unknown) => setError(asApiError(reason)),
    );
  };
  return (
    <>
      {error !== null && <p role="alert">{error.detail}</p>}
      <button type="button" className="button" onClick={leave}>
        {t("Sign out")}
      </button>
    </>
  );
}
