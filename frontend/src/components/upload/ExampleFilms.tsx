import { useId } from "react";

import { exampleUrl } from "../../api/urls";
import type { Example } from "../../domain/examples";
import { useExamples } from "../../state/useExamples";
import styles from "./examples.module.css";

interface ExampleFilmsProps {
  readonly onFile: (file: File) => void;
}

/** Synthetic films to choose from; nothing where the installation has none. */
export function ExampleFilms({ onFile }: ExampleFilmsProps) {
  const titleId = useId();
  const { examples, fetching, error, take } = useExamples(onFile);
  if (examples === null) {
    return null;
  }
  const { films, madeBy } = examples;
  const wereAsked = films.some(({ asked }) => asked !== null);
  return (
    <section className={styles.examples} aria-labelledby={titleId}>
      <h2 id={titleId}>No film at hand? Try an example</h2>
      <p className={styles.about}>
        <strong>Synthetic:</strong> made by a generator ({madeBy}), no patient.
        {wereAsked && " Below each stands what was asked for; the film need not show it."}
      </p>
      <ul className={styles.films}>
        {films.map((film, index) => (
          <Film
            key={film.file}
            film={film}
            title={film.asked ?? `Film ${index + 1}`}
            isFetching={film.file === fetching}
            onTake={() => take(film)}
          />
        ))}
      </ul>
      {error !== null && (
        <p className={styles.error} role="alert">
          <strong>The example could not be fetched.</strong> {error.detail}
        </p>
      )}
    </section>
  );
}

interface FilmProps {
  readonly film: Example;
  readonly title: string;
  readonly isFetching: boolean;
  readonly onTake: () => void;
}

function Film({ film, title, isFetching, onTake }: FilmProps) {
  return (
    <li>
      <button type="button" className={styles.film} aria-busy={isFetching} onClick={onTake}>
        <img src={exampleUrl(film.file)} alt="" width={112} height={112} />
        <span className={styles.asked}>
          <span className="visually-hidden">Read a synthetic film: </span>
          {title}
        </span>
      </button>
    </li>
  );
}
