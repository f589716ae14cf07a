import type { ReactNode } from "react";

import { Icon, type IconName } from "./Icon";

interface IconButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  /** For a button that is on or off. */
  readonly pressed?: boolean;
  readonly disabled?: boolean;
  /** The key that does the same. */
  readonly shortcut?: string;
}

export function IconButton(props: IconButtonProps) {
  const { icon, label, onClick, pressed, disabled = false, shortcut } = props;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      aria-pressed={pressed}
      aria-keyshortcuts={shortcut}
      title={shortcut === undefined ? label : `${label} (${shortcut.toUpperCase()})`}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

interface SliderProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number | "any";
  /** The value as it is shown and read out. */
  readonly text: string;
  readonly disabled?: boolean;
  readonly onChange: (value: number) => void;
}

export function Slider(props: SliderProps) {
  const { label, value, min, max, step, text, disabled = false, onChange } = props;
  return (
    <label className="slider">
      <span className="slider-label">{label}</span>
      <input
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        disabled={disabled}
        aria-valuetext={text}
        onChange={(event) => onChange(event.currentTarget.valueAsNumber)}
      />
      <output className="slider-value">{text}</output>
    </label>
  );
}

interface NoteProps {
  readonly tone: "warning" | "error" | "calm";
  readonly title: string;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
  /** Read out at once when it appears. */
  readonly urgent?: boolean;
}

/** A framed sentence or two, with what can be done about it. */
export function Note({ tone, title, children, actions, urgent = false }: NoteProps) {
  return (
    <div className={`note note-${tone}`} role={urgent ? "alert" : undefined}>
      <Icon name={tone === "calm" ? "unread" : "alert"} />
      <div className="note-body">
        <p className="note-title">{title}</p>
        {children}
        {actions !== undefined && <div className="note-actions">{actions}</div>}
      </div>
    </div>
  );
}
