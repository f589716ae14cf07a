import { type Shortcut, SHORTCUTS } from "../../state/shortcuts";
import { Dialog } from "./Dialog";
import styles from "./page.module.css";

interface HelpDialogProps {
  readonly shortcutsOn: boolean;
  readonly onShortcutsOn: (on: boolean) => void;
  readonly onClose: () => void;
}

const GROUPS: readonly Shortcut["group"][] = ["Studies", "Image", "Result", "Page"];

export function HelpDialog({ shortcutsOn, onShortcutsOn, onClose }: HelpDialogProps) {
  return (
    <Dialog
      title="Keyboard and mouse"
      onClose={onClose}
      actions={
        <button type="button" className="button button-primary" onClick={onClose} autoFocus>
          Close
        </button>
      }
    >
      <div className={styles.shortcutGroups}>
        {GROUPS.map((group) => (
          <ShortcutGroup key={group} group={group} />
        ))}
        <section>
          <h3>Mouse and touch</h3>
          <dl className={styles.shortcuts}>
            <ShortcutLine keys={["Wheel", "Pinch"]} label="Zoom" />
            <ShortcutLine keys={["Drag", "Arrows"]} label="Move the image" />
            <ShortcutLine keys={["Right drag"]} label="Window and level" />
            <ShortcutLine keys={["Double click"]} label="Into a place, or fit" />
            <ShortcutLine keys={["Click"]} label="Point out a region" />
          </dl>
        </section>
      </div>
      <label className={styles.switch}>
        <input
          type="checkbox"
          checked={shortcutsOn}
          onChange={({ currentTarget }) => onShortcutsOn(currentTarget.checked)}
        />
        Single keys work as shortcuts
      </label>
    </Dialog>
  );
}

function ShortcutGroup({ group }: { readonly group: Shortcut["group"] }) {
  return (
    <section>
      <h3>{group}</h3>
      <dl className={styles.shortcuts}>
        {SHORTCUTS.filter((shortcut) => shortcut.group === group).map(({ command, keys, label }) => (
          <ShortcutLine key={command} keys={keys.slice(0, 1)} label={label} />
        ))}
      </dl>
    </section>
  );
}

function ShortcutLine({ keys, label }: { readonly keys: readonly string[]; readonly label: string }) {
  return (
    <div>
      <dt>
        {keys.map((key) => (
          <kbd key={key}>{key.length === 1 ? key.toUpperCase() : key}</kbd>
        ))}
      </dt>
      <dd>{label}</dd>
    </div>
  );
}
