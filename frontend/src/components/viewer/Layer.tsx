import { useState } from "react";

import type { Size, View } from "../../domain/geometry";
import styles from "./viewer.module.css";

interface LayerProps {
  readonly src: string;
  /** As a sentence names it. */
  readonly name: string;
  readonly image: Size;
  readonly view: View;
  readonly opacity?: number;
  readonly filter?: string | undefined;
}

/** An image that covers the image plane. Decorative: the viewport around it carries the words. */
export function Layer({ src, name, image, view, opacity, filter }: LayerProps) {
  const [phase, setPhase] = useState<"loading" | "shown" | "failed">("loading");
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
          transform: `translate(${view.offsetX}px, ${view.offsetY}px) scale(${view.scale})`,
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
      {phase === "loading" && <p className={styles.layerNote}>Loading the {name}…</p>}
      {phase === "failed" && (
        <p className={styles.layerNote} role="alert">
          The {name} could not be loaded.
        </p>
      )}
    </>
  );
}
