import type { Me } from "../../api/schema";
import { Outside } from "./Outside";
import { SignOutButton } from "./SignOutButton";
import { t } from "../../i18n/t";

/** Signed in, and of no use: whoever runs the installation has to give a role. */
export function NoRole({ me }: { readonly me: Me }) {
  return (
    <Outside title={t("No access")}>
      <p>
        {t("You are signed in as")}{" "}<strong>{me.name}</strong>{t(", and this account may not see radiographs here. Ask whoever runs this system for a role and a department.")}
      </p>
      <SignOutButton />
    </Outside>
  );
}
