import { useEffect, useState } from "react";

import { signInUrl } from "../../api/urls";
import { Outside } from "./Outside";
import { t } from "../../i18n/t";
import styles from "./access.module.css";

interface SignInProps {
  /** Where the gateway starts a sign-in; null where it takes keys alone. */
  readonly signIn: string | null;
  readonly wasIn: boolean;
}

/** What is shown to somebody whom the gateway does not know. It leads back to the same place. */
export function SignIn({ signIn, wasIn }: SignInProps) {
  const failed = useFailedSignIn();
  return (
    <Outside title={wasIn ? t("Your session has ended") : t("Sign in")}>
      {failed && <p role="alert">{t("The sign-in did not succeed. Try it again.")}</p>}
      {signIn === null ? (
        <p>{t("This installation has no sign-in for people; hospital systems use its REST API with a key.")}</p>
      ) : (
        <>
          <p>
            {wasIn
              ? t("Sign in again to go on where you were.")
              : t("Radiographs are shown to people with an account of this hospital.")}
          </p>
          <a
            className={`button button-primary ${styles.way ?? ""}`}
            href={signInUrl(signIn, window.location.pathname)}
          >
            {t("Sign in")}
          </a>
        </>
      )}
    </Outside>
  );
}

/** Whether the address says that a sign-in came back without success; it says so once. */
function useFailedSignIn(): boolean {
  const [failed] = useState(() => new URLSearchParams(window.location.search).has("sign-in"));
  useEffect(() => {
    if (failed) {
      window.history.replaceState(null, "", window.location.pathname);
    }
  }, [failed]);
  return failed;
}
