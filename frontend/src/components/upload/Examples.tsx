import { useId } from "react";

import { exampleUrl } from "../../api/urls";
import { choiceOf, type Example } from "../../domain/examples";
import { useExamples } from "../../state/useExamples";
import { t } from "../../i18n/t";
import styles from "./examples.module.css";

interface ExamplesProps {
  readonly onFile: (file: File) => void;
}

/** Synthetic radiographs to choose from; nothing where the installation has none. */
export function Examples({ onFile }: ExamplesProps) {
  const titleId = useId();
  const { examples, fetching, error, take } = useExamples(onFile);
  if (examples === null) {
    return null;
  }
  const { images, madeBy } = examples;
  return (
    <section className={styles.examples} aria-labelledby={titleId}>
      <h2 id={titleId}>{t("No radiograph at hand? Try an example")}</h2>
      <p className={styles.about}>
        <strong>{t("Synthetic:")}</strong>{" "}{t("made by a generator ({0}), no patient.", madeBy)}
        {" "}{choiceOf(images)}
      </p>
      <ul className={styles.images}>
        {images.map((image, index) => (
          <ExampleButton
            key={image.file}
            image={image}
            title={image.asked ?? t("Image {0}", index + 1)}
            isFetching={image.file === fetching}
            onTake={() => take(image)}
          />
        ))}
      </ul>
      {error !== null && (
        <p className={styles.error} role="alert">
          <strong>{t("The example could not be fetched.")}</strong> {error.detail}
        </p>
      )}
    </section>
  );
}

interface ExampleProps {
  readonly image: Example;
  readonly title: string;
  readonly isFetching: boolean;
  readonly onTake: () => void;
}

function ExampleButton({ image, title, isFetching, onTake }: ExampleProps) {
  return (
    <li>
      <button type="button" className={styles.image} aria-busy={isFetching} onClick={onTake}>
        <img src={exampleUrl(image.file)} alt="" width={112} height={112} />
        <span className={styles.asked}>
          <span className="visually-hidden">{t("Analyse a synthetic radiograph:")}{" "}</span>
          {title}
        </span>
      </button>
    </li>
  );
}
