import type { Me } from "../../api/schema";
import { Outside } from "./Outside";
import { SignOutButton } from "./SignOutButton";

/** Signed in, and of no use: whoever runs the installation has to give a role. */
export function NoRole({ me }: { readonly me: Me }) {
  return (
    <Outside title="No access">
      <p>
        You are signed in as <strong>{me.name}</strong>, and this account may not see radiographs
        here. Ask whoever runs this system for a role and a department.
      </p>
      <SignOutButton />
    </Outside>
  );
}
