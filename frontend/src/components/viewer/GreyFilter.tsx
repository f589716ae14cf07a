import { transferOf, type WindowLevel } from "../../domain/windowLevel";
import styles from "./viewer.module.css";

interface GreyFilterProps {
  readonly id: string;
  readonly windowLevel: WindowLevel;
  readonly inverted: boolean;
}

/** Window, level and inversion as one linear step on each grey, done by the graphics card. */
export function GreyFilter({ id, windowLevel, inverted }: GreyFilterProps) {
  const transfer = transferOf(windowLevel, inverted);
  return (
    <svg className={styles.definitions} aria-hidden="true" focusable="false">
      <filter id={id} colorInterpolationFilters="sRGB" x="0" y="0" width="1" height="1">
        <feComponentTransfer>
          <feFuncR type="linear" {...transfer} />
          <feFuncG type="linear" {...transfer} />
          <feFuncB type="linear" {...transfer} />
        </feComponentTransfer>
      </filter>
    </svg>
  );
}
