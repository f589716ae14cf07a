import { useEffect, useMemo, useRef, useState } from "react";

import { coarser } from "../../domain/coarser";
import { type Place, transformOf } from "../../domain/turn";
import { storedEnds, type WindowLevel } from "../../domain/windowLevel";
import type { OwnGreys } from "../../state/useGreys";
import { type GreyPainter, greyPainter } from "./greyPainter";
import styles from "./viewer.module.css";

interface GreyLayerProps {
  readonly own: OwnGreys;
  readonly windowLevel: WindowLevel;
  readonly inverted: boolean;
  readonly place: Place;
  /** Not while the rendered image is as good. */
  readonly shown: boolean;
  /** Every pixel is painted, although the screen shows fewer: something else reads them. */
  readonly whole: boolean;
}

/** The file's own greys under the window of the person, over the rendered image. Decorative. */
export function GreyLayer({ own, windowLevel, inverted, place, shown, whole }: GreyLayerProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useRef<GreyPainter | null>(null);
  const [kind, setKind] = useState<GreyPainter["kind"] | null>(null);
  const { greys, pixels } = own;
  const times = whole ? 1 : timesCoarser(place.view.scale);
  const painted = useMemo(() => (pixels === null ? null : coarser(pixels, times)), [pixels, times]);
  useEffect(() => {
    if (canvas.current === null || painted === null) {
      return undefined;
    }
    const made = greyPainter(canvas.current, painted);
    painter.current = made;
    setKind(made?.kind ?? null);
    const element = canvas.current;
    // The rendered image beneath is shown again.
    const lost = (): void => setKind(null);
    element.addEventListener("webglcontextlost", lost);
    return () => {
      element.removeEventListener("webglcontextlost", lost);
      painter.current = null;
      made?.release();
    };
  }, [painted]);
  const isShown = shown && kind !== null && greys !== null;
  useEffect(() => {
    if (isShown) {
      const { black, white } = storedEnds(windowLevel, greys);
      painter.current?.paint(...(inverted ? ([white, black] as const) : ([black, white] as const)));
    }
  }, [isShown, greys, windowLevel, inverted, painted]);
  if (painted === null) {
    return null;
  }
  return (
    <canvas
      ref={canvas}
      className={styles.layer}
      data-layer="greys"
      data-painter={kind ?? undefined}
      data-shown={isShown}
      aria-hidden="true"
      style={{
        transform: transformOf(place),
        width: painted.width * times,
        height: painted.height * times,
        visibility: isShown ? "visible" : "hidden",
      }}
    />
  );
}

/** How many pixels of an image can be one before the screen has more. */
function timesCoarser(scale: number): number {
  return Math.max(1, Math.floor(1 / (scale * window.devicePixelRatio)));
}
