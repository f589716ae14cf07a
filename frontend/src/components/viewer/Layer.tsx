import { memo, useState } from "react";

import { type Place, transformOf } from "../../domain/turn";
import { isPreloaded } from "../../state/preloaded";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface LayerProps {
  readonly src: string;
  /** As a sentence names it. */
  readonly name: string;
  readonly place: Place;
  readonly opacity?: number;
  readonly filter?: string | undefined;
}

/** An image that covers the image plane. Decorative: the viewport around it carries the words. */
export const Layer = memo(function Layer({ src, name, place, opacity, filter }: LayerProps) {
  const { image } = place;
  const [phase, setPhase] = useState<"loading" | "shown" | "failed">(() =>
    isPreloaded(src) ? "shown" : "loading",
  );
  return (
    <>
      <img
        className={styles.layer}
        data-layer={name}
        data-phase={phase}
        src={src}
        alt=""
        draggable={false}
        decoding="async"
        width={image.width}
        height={image.height}
        style={{
          transform: transformOf(place),
          opacity: phase === "shown" ? opacity : 0,
          filter,
        }}
        onLoad={({ currentTarget }) => {
          // Shown once it can be painted: decoding a large image takes longer than loading it.
          const show = (): void => setPhase("shown");
          currentTarget.decode().then(show, show);
        }}
        onError={() => setPhase("failed")}
      />
      {phase === "loading" && <p className={`${styles.layerNote ?? ""} ${styles.layerWaits ?? ""}`}>{t("Loading the {0}…", t(name))}</p>}
      {phase === "failed" && (
        <p className={styles.layerNote} role="alert">
          {t("The {0} could not be loaded.", t(name))}
        </p>
      )}
    </>
  );
});
