import { useState } from "react";

import { storedTheme, storeTheme, type Theme, THEMES } from "../../state/theme";
import { chime, SOUND_KEY } from "../../state/chime";
import { useStoredFlag } from "../../state/useStored";
import { type Shortcut, SHORTCUTS } from "../../state/shortcuts";
import { Dialog } from "./Dialog";
import { chooseLanguage, isLanguage, LANGUAGES } from "../../i18n/languages";
import { currentLanguage, t } from "../../i18n/t";
import styles from "./page.module.css";

interface HelpDialogProps {
  readonly shortcutsOn: boolean;
  readonly onShortcutsOn: (on: boolean) => void;
  readonly overlayFirst: boolean;
  readonly onOverlayFirst: (on: boolean) => void;
  readonly onClose: () => void;
}

const GROUPS: readonly Shortcut["group"][] = ["Studies", "Image", "Result", "Page"];

export function HelpDialog({ shortcutsOn, onShortcutsOn, overlayFirst, onOverlayFirst, onClose }: HelpDialogProps) {
  return (
    <Dialog
      title={t("Help and settings")}
      onClose={onClose}
      actions={
        <button type="button" className="button button-primary" onClick={onClose} autoFocus>
          {t("Close")}
        </button>
      }
    >
      <div className={styles.shortcutGroups}>
        {GROUPS.map((group) => (
          <ShortcutGroup key={group} group={group} />
        ))}
        <section>
          <h3>{t("Mouse and touch")}</h3>
          <dl className={styles.shortcuts}>
            <ShortcutLine keys={["Wheel", "Pinch"]} label={t("Zoom")} />
            <ShortcutLine keys={["Drag", "Arrows"]} label={t("Move the image")} />
            <ShortcutLine keys={["Right drag"]} label={t("Window and level")} />
            <ShortcutLine keys={["Double click"]} label={t("Into a place, or fit")} />
            <ShortcutLine keys={["Click"]} label={t("Point out a region")} />
          </dl>
        </section>
      </div>
      <ThemeChoice />
      <LanguageChoice />
      <SoundChoice />
      <label className={styles.switch}>
        <input
          type="checkbox"
          checked={shortcutsOn}
          onChange={({ currentTarget }) => onShortcutsOn(currentTarget.checked)}
        />
        {t("Single keys work as shortcuts")}
      </label>
      <label className={styles.switch}>
        <input
          type="checkbox"
          checked={overlayFirst}
          onChange={({ currentTarget }) => onOverlayFirst(currentTarget.checked)}
        />
        {t("Regions and map lie over each image from the start")}
      </label>
    </Dialog>
  );
}

/** Each by its own name, whoever may read it. */
function LanguageChoice() {
  return (
    <label className="field">
      <span className="field-label">{t("Language")}</span>
      <select
        value={currentLanguage()}
        onChange={({ currentTarget: { value } }) => {
          if (isLanguage(value)) {
            chooseLanguage(value);
          }
        }}
      >
        {Object.entries(LANGUAGES).map(([code, { name }]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function SoundChoice() {
  const [isOn, setOn] = useStoredFlag(SOUND_KEY, false);
  return (
    <label className={styles.switch}>
      <input
        type="checkbox"
        checked={isOn}
        onChange={({ currentTarget }) => {
          setOn(currentTarget.checked);
          if (currentTarget.checked) {
            chime();
          }
        }}
      />
      {t("A quiet sound for a new urgent study")}
    </label>
  );
}

const THEME_NAMES: Record<Theme, string> = { system: t("As the system"), light: t("Light"), dark: t("Dark") };

function ThemeChoice() {
  const [theme, setTheme] = useState(storedTheme);
  return (
    <label className="field">
      <span className="field-label">{t("Appearance")}</span>
      <select
        value={theme}
        onChange={({ currentTarget }) => {
          const chosen = THEMES.find((one) => one === currentTarget.value) ?? "system";
          storeTheme(chosen);
          setTheme(chosen);
        }}
      >
        {THEMES.map((one) => (
          <option key={one} value={one}>
            {THEME_NAMES[one]}
          </option>
        ))}
      </select>
    </label>
  );
}

function ShortcutGroup({ group }: { readonly group: Shortcut["group"] }) {
  return (
    <section>
      <h3>{t(group)}</h3>
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
          <kbd key={key}>{key.length === 1 ? key.toUpperCase() : t(key)}</kbd>
        ))}
      </dt>
      <dd>{label}</dd>
    </div>
  );
}
