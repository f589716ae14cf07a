/** Images that were fetched before they are needed; the browser shows them without asking again. */

/** The next, and a little for whoever steps back. */
const KEPT = 4;

const preloaded = new Map<string, HTMLImageElement>();

export function preload(src: string): void {
  const known = preloaded.get(src);
  preloaded.delete(src);
  const image = known ?? new Image();
  preloaded.set(src, image);
  if (known === undefined) {
    image.src = src;
    // Whoever shows it hears of a failure.
    image.decode().catch(() => preloaded.delete(src));
  }
  [...preloaded.keys()].slice(0, -KEPT).forEach((oldest) => preloaded.delete(oldest));
}

/** Whether it can be painted at once. */
export function isPreloaded(src: string): boolean {
  return preloaded.get(src)?.complete === true;
}
