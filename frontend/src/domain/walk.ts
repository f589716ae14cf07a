/**
 * The order in which keys walk from study to study.
 *
 * The list moves while one walks through it: an opened study loses the place that waiting gave it,
 * a done one sinks. So the order of the start is kept (`walk`), and what came since (`listed`, the
 * list as it is now) is put in before the study that follows it in the list, but never behind the
 * walker.
 */
export function continued(
  walk: readonly string[],
  listed: readonly string[],
  current: string | null,
): string[] {
  const known = new Set(walk);
  const before = new Map<string | null, string[]>();
  let waiting: string[] = [];
  for (const id of listed) {
    if (known.has(id)) {
      append(before, id, waiting);
      waiting = [];
    } else {
      waiting.push(id);
    }
  }
  const here = current === null ? -1 : walk.indexOf(current);
  const passed = walk.slice(0, here + 1).flatMap((id) => before.get(id) ?? []);
  const ahead = walk.slice(here + 1).flatMap((id) => [...(before.get(id) ?? []), id]);
  return [...walk.slice(0, here + 1), ...passed, ...ahead, ...waiting];
}

function append(before: Map<string | null, string[]>, id: string, ids: readonly string[]): void {
  if (ids.length > 0) {
    before.set(id, [...(before.get(id) ?? []), ...ids]);
  }
}

/** The next or the previous of a walk; from nowhere, its first. Null at its end. */
export function neighbourIn(walk: readonly string[], current: string | null, by: 1 | -1): string | null {
  const here = current === null ? -1 : walk.indexOf(current);
  return here === -1 ? (walk[0] ?? null) : (walk[here + by] ?? null);
}
